"""The lab in a browser: gradio on 127.0.0.1, asking nothing of any other machine."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gan_fast.explorer.app import add_control, data_uri, load_gradio
from gan_fast.explorer.panels import Choice, Slider
from gan_fast.lab.picture import HEIGHT, WIDTH, draw
from gan_fast.lab.session import MIXTURES, Session, Settings, Snapshot
from gan_fast.losses import OBJECTIVES
from gan_fast.training.phases import PENALTIES

if TYPE_CHECKING:
    import gradio

TITLE = "The GAN lab"
TICK = 0.15  # seconds between pictures
TEXT = (
    "Blue points are real, orange ones are what G makes of noise. The background is what D takes each place for, and an"
    " arrow is where G's loss draws a point. What you change holds from the next step on; the networks stay."
)


def make_app(settings: Settings) -> gradio.Blocks:
    """The page. Everyone who opens it has a game of their own, which begins with these settings.

    Raises:
        ValueError: gradio, an extra, is not installed.
    """
    gr = load_gradio()
    lock = threading.Lock()  # the engine seeds PyTorch's one global generator

    def act(session: Session | None, action: Callable[[Session], object], steps: int = 0) -> tuple[Session, str]:
        with lock:
            session = session or Session(settings)
            action(session)
            return session, _html(session.advance(steps))

    def play(session: Session | None, steps: float) -> tuple[Session, str]:
        return act(session, lambda session: None, round(steps))

    def restart(session: Session | None) -> tuple[Session, str]:
        return act(session, Session.restart)

    def change(session: Session | None, *values: float) -> tuple[Session, str]:
        try:
            wanted = _settings(*map(float, values))
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return act(session, lambda session: session.change(wanted))

    with gr.Blocks(title=TITLE, fill_width=True) as app:
        gr.Markdown(f"# {TITLE}\n{TEXT}")
        session = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                with gr.Row():
                    timer = _add_timer(gr)
                    step, reset = (gr.Button(name, size="sm", min_width=80) for name in ("Step", "Reset"))
                speed = gr.Slider(1, 50, 5, step=1, label="Steps a picture")
                inputs = [add_control(gr, control) for control in _controls(settings)]
            with gr.Column(scale=3):
                view = gr.HTML(_html(Session(settings).advance(0)))
        events = [(step.click, play, [speed]), (timer.tick, play, [speed]), (reset.click, restart, [])]
        events += [(component.change, change, inputs) for component in inputs]
        for event, answer, given in events:
            event(answer, [session, *given], [session, view], show_progress="hidden", api_visibility="private")
    return app


def _add_timer(gr: Any) -> Any:
    """A timer, and a button that starts and stops it."""
    button, timer = gr.Button("▶ Play", size="sm", min_width=80), gr.Timer(TICK, active=False)
    playing = gr.State(False)

    def toggle(was: bool) -> tuple[bool, Any, Any]:
        return not was, gr.Timer(active=not was), "▶ Play" if was else "⏸ Stop"

    button.click(toggle, playing, [playing, timer, button], show_progress="hidden", api_visibility="private")
    return timer


def _controls(start: Settings) -> tuple[Choice | Slider, ...]:
    def choice(label: str, names: dict[str, Any], name: str) -> Choice:
        return Choice(label, tuple(names), tuple(names).index(name), ())

    return (
        choice("Objective", OBJECTIVES, start.objective),
        choice("Penalty", PENALTIES, start.penalty),
        choice("Mixture", MIXTURES, start.mixture),
        Choice("Minibatch discrimination", ("off", "on"), int(start.minibatch_discrimination), ()),
        Slider("Weight of the penalty", 0, 20, 0.1, start.gamma, ()),
        Slider("Learning rate of G", 0, 0.02, 0.0005, start.g_lr, ()),
        Slider("Learning rate of D", 0, 0.02, 0.0005, start.d_lr, ()),
        Slider("Steps of D to one of G", 1, 10, 1, start.n_critic, ()),
        Slider("Seed", 0, 99, 1, start.seed, ()),
    )


def _settings(
    objective: float,
    penalty: float,
    mixture: float,
    minibatch: float,
    gamma: float,
    g_lr: float,
    d_lr: float,
    n_critic: float,
    seed: float,
) -> Settings:
    """The settings that the controls' values, in their order, stand for."""
    objective, penalty, mixture = (
        tuple(names)[round(value)]
        for names, value in ((OBJECTIVES, objective), (PENALTIES, penalty), (MIXTURES, mixture))
    )
    return Settings(mixture, objective, penalty, gamma, g_lr, d_lr, round(n_critic), bool(minibatch), round(seed))


def _html(snapshot: Snapshot) -> str:
    stream = io.BytesIO()
    draw(snapshot).save(stream, "png", compress_level=1)
    style = f"width: 100%; max-width: {WIDTH}px; aspect-ratio: {WIDTH} / {HEIGHT}; border-radius: 0.4rem"
    uri, now = data_uri(stream.getvalue(), "png"), snapshot.records[-1]
    alt = f"Step {now.step}: divergence {now.divergence:.3f}, {now.modes} modes"
    return f'<img class="gf-lab" decoding="sync" src="{uri}" alt="{alt}" style="{style}">'
