"""gan-fast explore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_fast.cli import options

if TYPE_CHECKING:
    from gan_fast.explorer import Explorer


def explore(
    run: options.Run = "latest",
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one offline HTML file instead of serving a page.")
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="--html: an image file to project; may be given several times.")
    ] = None,
    steps: Annotated[int, typer.Option(help="--html: steps of each projection.")] = 300,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any that is free.")] = 7860,
) -> None:
    """Look inside a trained generator: walk, truncation, mixing, directions, arithmetic, classes, noise, projection.

    The page is for a browser on this machine: it is served on 127.0.0.1 alone, and asks nothing of any other machine.
    With --html everything is drawn beforehand into one file, which a browser shows without any program behind it.

    **Examples**

    gan-fast explore

    gan-fast explore runs/00000-digits --port 8000

    gan-fast explore latest --html explorer.html --image digit.png
    """
    if image and html is None:
        raise ValueError("--image: for --html; a served page takes images by upload")

    from gan_fast.explorer import Explorer

    trained = options.load(run)
    explorer = Explorer(trained.generator, trained.class_names)
    kind = f"in {len(trained.class_names)} classes" if trained.class_names else "without classes"
    subtitle = f"A generator of {explorer.width}x{explorer.height} images {kind}: {trained.source}."
    if html is None:
        from gan_fast.explorer.app import make_app

        options.serve(lambda: make_app(explorer, trained.name, subtitle), "The explorer", port)
    else:
        _write(explorer, trained.name, subtitle, html, image or [], steps)


def _write(explorer: Explorer, title: str, subtitle: str, out: Path, images: list[Path], steps: int) -> None:
    from gan_fast.explorer import page, projection_panel
    from gan_fast.projection import project, read_target
    from gan_fast.training.checkpoint import write_atomically

    targets = {str(file): read_target(explorer.generator, file.read_bytes(), str(file)) for file in images}
    found = {}
    for file, target in targets.items():
        with options.progress(steps, f"steps for {file}") as report:
            found[Path(file).name] = target, project(explorer.generator, target, steps=steps, report=report)
    panels = [*explorer.panels, *([projection_panel(explorer.generator, found)] if found else [])]
    total = page.count_points(panels)
    with options.progress(total, "images") as report:
        text = page.make_page(panels, title, subtitle, report)
    out.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    write_atomically(out, lambda file: file.write(data))
    typer.echo(f"{total} places of {len(panels)} panels are in {out} ({len(data) / 1e6:.1f} MB)")
    typer.echo("Next: open it in a browser; it needs nothing else.")
