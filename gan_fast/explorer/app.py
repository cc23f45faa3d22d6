"""The explorer in a browser: gradio on 127.0.0.1, asking nothing of any other machine."""

from __future__ import annotations

import base64
import copy
import html
import io
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from gan_fast.explorer.page import PIXELS
from gan_fast.explorer.panels import PROJECTION, Control, Explorer, Panel, Slider
from gan_fast.projection import SPACES, film, project, read_target
from gan_fast.training import sample

if TYPE_CHECKING:
    import gradio
    import uvicorn

HOST = "127.0.0.1"
FILM_FRAMES, FILM_FPS = 40, 15
STYLE = """
.gf-images { display: flex; flex-wrap: wrap; gap: 1.25rem; align-content: flex-start; }
.gf-images figure { margin: 0; flex: 1 1 6rem; max-width: 20rem; }
.gf-images figure:last-child { flex-grow: 2; flex-basis: 12rem; }
.gf-images img { display: block; width: 100%; border-radius: 0.4rem; background: #000; }
.gf-images .pixels { image-rendering: pixelated; }
.gf-images figcaption { margin-top: 0.35rem; opacity: 0.75; }
.gf-images figure:last-child figcaption { opacity: 1; font-weight: 600; }
.gf-choice label { padding: 0.15rem 0.6rem; border-radius: 0.4rem; }
.gf-choice label.selected { background: var(--primary-600); color: white; }
.gf-choice label:focus-within { outline: 2px solid var(--primary-400); outline-offset: 1px; }
.gf-choice input[type="radio"] { position: absolute; opacity: 0; }
.gf-choice label span { margin: 0; }
"""


def make_app(explorer: Explorer, title: str, subtitle: str) -> gradio.Blocks:
    """The page: a tab a panel, and one for the projection of an uploaded image.

    Raises:
        ValueError: gradio, an extra, is not installed.
    """
    gr = load_gradio()
    # While the noise panel draws, its planes stand in the generator: one panel at a time.
    lock = threading.Lock()
    with gr.Blocks(title=title) as app:
        gr.Markdown(f"# {title}\n{subtitle}")
        with gr.Tabs():
            for panel in explorer.panels:
                with gr.Tab(panel.title):
                    _add_panel(gr, panel, lock)
            with gr.Tab("Projection"):
                _add_projection(gr, explorer)
    return app


@contextmanager
def serving(make: Callable[[], gradio.Blocks], port: int = 7860) -> Iterator[str]:
    """Within the block the page that `make` makes is served; the value is its address.

    Raises:
        ValueError: the port is taken, or gradio is not installed. Port 0 takes any that is free.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # from now on browsers wait for the server, which takes a moment to start
        except OSError as error:
            raise ValueError(f"port: {HOST}:{port} cannot be had ({error.strerror}); give another") from error
        server = _server(make())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            # Pages that are still open are cut off, which the server would report as errors.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            server.should_exit = True
            thread.join()


def _server(app: gradio.Blocks) -> uvicorn.Server:
    gr = load_gradio()
    import fastapi
    import uvicorn

    # Gradio's own themes ask Google for fonts.
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    theme = gr.themes.Base(primary_hue="teal", **fonts)
    served = gr.mount_gradio_app(
        fastapi.FastAPI(), app, path="/", theme=theme, css=STYLE, footer_links=[], ssr_mode=False
    )
    return uvicorn.Server(uvicorn.Config(served, log_level="warning", timeout_graceful_shutdown=1))


def load_gradio() -> Any:
    """The module, with its analytics off.

    Raises:
        ValueError: it is not installed.
    """
    # Read when gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise ValueError(
            "a page in a browser needs gradio: pip install 'gan-fast[lab]'; or write a page with --html"
        ) from error
    return gradio


def _add_panel(gr: Any, panel: Panel, lock: threading.Lock) -> None:
    def draw(*values: float) -> str:
        with lock:
            return _figures(panel.draw([values])[0], panel.captions)

    gr.Markdown(panel.text)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            inputs = [add_control(gr, control) for control in panel.controls]
            loops = [i for i, control in enumerate(panel.controls) if isinstance(control, Slider) and control.loops]
            button = gr.Button("▶ Play", size="sm", visible=bool(loops))
        with gr.Column(scale=2):
            view = gr.HTML(draw(*(control.start for control in panel.controls)))
    for component in inputs:
        component.change(
            draw, inputs, view, show_progress="hidden", trigger_mode="always_last", api_visibility="private"
        )

    def play(*values: float) -> str:
        (i,) = loops
        points = [(*values[:i], at, *values[i + 1 :]) for at in panel.controls[i].page]
        with lock:
            images = panel.draw(points)
        films = [
            sample.encode_animation([_picture(image) for image in part], ".webp", FILM_FPS) for part in images.unbind(1)
        ]
        return _html([data_uri(film, "webp") for film in films], panel.captions, images.shape[2:])

    button.click(play, inputs, view, show_progress="hidden", api_visibility="private")


def add_control(gr: Any, control: Control) -> Any:
    """The control as a component; a choice's value is the option's number."""
    if isinstance(control, Slider):
        return gr.Slider(control.low, control.high, control.start, step=control.step, label=control.label)
    visible = len(control.options) > 1
    kind = gr.Dropdown if control.is_long else gr.Radio
    start, style = control.options[control.start], "gf-choice"
    return kind(control.options, value=start, type="index", label=control.label, visible=visible, elem_classes=style)


def _add_projection(gr: Any, explorer: Explorer) -> None:
    generator = copy.deepcopy(explorer.generator)  # its own, so that the panels need not wait for a search

    def find(file: str | None, space: str, steps: float, progress: Any = gr.Progress()) -> str:  # noqa: B008
        if file is None:
            raise gr.Error("Choose an image first.", print_exception=False)
        try:
            with open(file, "rb") as stream:
                target = read_target(generator, stream.read(), "you chose")
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        steps = round(steps)
        found = project(
            generator,
            target,
            space=space,
            steps=steps,
            report=lambda done, distance: progress((done, steps), desc=f"distance {distance:.4f}"),
        )
        frames = [_picture(image) for image in film(generator, found, FILM_FRAMES)]
        search = data_uri(sample.encode_animation(frames, ".webp", FILM_FPS), "webp")
        pictures = [_png(target), search, _png(found.image)]
        captions = ("The image", "The search", f"Found: distance {found.distances[0]:.4f} → {found.distances[-1]:.4f}")
        return _html(pictures, captions, target.shape)

    gr.Markdown(PROJECTION)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            file = gr.Image(type="filepath", sources=["upload", "clipboard"], label="Image", height=220)
            space = gr.Radio(
                SPACES, value="w", label="Space", info="w+ finds a w for each layer: nearer, less typical."
            )
            steps = gr.Slider(20, 1000, 200, step=20, label="Steps of the search")
            button = gr.Button("Project", variant="primary")
        with gr.Column(scale=2):
            view = gr.HTML("The image, and what the generator makes of it, will stand here.", min_height=260)
    button.click(find, [file, space, steps], view, api_visibility="private")


def _figures(images: Tensor, captions: Sequence[str]) -> str:
    return _html([_png(image) for image in images], captions, images.shape[1:])


def _html(uris: Sequence[str], captions: Sequence[str], shape: Sequence[int]) -> str:
    kind = ' class="pixels"' if max(shape[1:]) <= PIXELS else ""
    figures = [
        f'<figure><img{kind} src="{uri}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        for uri, caption in zip(uris, map(html.escape, captions), strict=True)
    ]
    return f'<div class="gf-images">{"".join(figures)}</div>'


def _picture(image: Tensor) -> Image.Image:
    return sample.grid(image[None], 1, min_side=1)


def _png(image: Tensor) -> str:
    stream = io.BytesIO()
    _picture(image).save(stream, "png", compress_level=1)
    return data_uri(stream.getvalue(), "png")


def data_uri(data: bytes, kind: str) -> str:
    """An image of this kind ("png", ...) as an address that holds it."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
