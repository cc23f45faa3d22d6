"""gan-fast data check, gan-fast data build."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

LISTED = 20


def check(
    path: Annotated[Path, typer.Argument(help="Folder, zip, LMDB, WebDataset shards or Hugging Face data set.")],
) -> None:
    """Read every image: how many, of which sizes, modes and classes; broken files and duplicates by name.

    Ends with exit code 1 if a file is broken or a label has no image.

    **Examples**

    gan-fast data check photos/

    gan-fast data check photos-256.zip
    """
    from rich.console import Console
    from rich.table import Table

    from gan_fast.data.check import check as check_source
    from gan_fast.data.sources import open_source

    console = Console(highlight=False, markup=False)
    source = open_source(path)
    with _progress(console, "check", len(source)) as advance:
        report = check_source(source, lambda: advance(1))
    table = Table(title=f"{path}: {source.kind}, {report.images} images", show_header=False)
    table.add_row("sizes", _counts({f"{w}x{h}": count for (w, h), count in report.sizes.items()}))
    table.add_row("modes", _counts(report.modes))
    if source.labels.vectors is not None:
        table.add_row("labels", f"vectors of {source.labels.vectors.shape[1]}")
    else:
        names = source.labels.class_names
        members = {names[k]: n for k, n in Counter(source.labels.labels.tolist()).items()} if names else {}
        table.add_row("classes", _counts(members) if names else "none")
    console.print(table)
    _list(console, "broken", report.broken.values())
    _list(console, "a label without an image", report.unmatched)
    _list(console, "alike", [", ".join(names) for names in report.duplicates])
    if not report.sound:
        console.print(f"Not sound: {len(report.broken)} broken files, {len(report.unmatched)} labels without an image.")
        console.print("Mend or remove them, or leave them out: gan-fast data build --on-error skip")
        raise typer.Exit(1)
    shorter = statistics.median_low(min(size) for size in report.sizes.elements())
    side = 1 << (shorter.bit_length() - 1)  # a power of two that few images are enlarged to
    console.print(f"Sound. Next: gan-fast data build {path} OUT.zip --resolution {side}", soft_wrap=True)


def build(
    src: Annotated[Path, typer.Argument(help="What gan-fast data check takes.")],
    out: Annotated[Path, typer.Argument(help="The zip to write; an existing file is not overwritten.")],
    resolution: Annotated[int, typer.Option(help="Height and width in pixels.")],
    crop: Annotated[str, typer.Option(help="center: a square; wide: 4:3, with black bars.")] = "center",
    channels: Annotated[int, typer.Option(help="3 for RGB, 1 for grey.")] = 3,
    on_error: Annotated[str, typer.Option(help="A broken file: raise or skip.")] = "raise",
) -> None:
    """Crop and resize (Lanczos) every image once, into a zip with labels that trains faster and can be moved.

    The same source gives the same bytes. The zip holds dataset.json as existing tools read it.

    **Examples**

    gan-fast data build photos/ photos-256.zip --resolution 256

    gan-fast data build cars.zip cars-512.zip --resolution 512 --crop wide --on-error skip
    """
    from rich.console import Console

    from gan_fast.data import ImageFiles, Protocol
    from gan_fast.data.build import write_zip
    from gan_fast.data.sources import open_source
    from gan_fast.training.checkpoint import write_atomically

    if out.exists():
        raise ValueError(f"OUT: {out} exists; it is not overwritten")
    if out.suffix != ".zip":
        raise ValueError(f"OUT: expected a name that ends in .zip, got {out}")
    console = Console(highlight=False, markup=False)
    images = ImageFiles(open_source(src, resolution), Protocol(resolution, channels, crop), on_error)
    written = []
    with _progress(console, "build", len(images)) as advance:
        write_atomically(out, lambda file: written.append(write_zip(images, file, advance)))
    _list(console, "left out", images.skipped.values())
    console.print(f"{written[0]} images are in {out}", soft_wrap=True)
    grey = ", img_channels=1" if channels == 1 else ""
    model = f'--set "model={{img_resolution={resolution}{grey}}}"'
    console.print(f"Next: gan-fast train --data {out} --preset auto {model}", soft_wrap=True)


@contextmanager
def _progress(console: Console, name: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(name, total=total)
        yield lambda count: progress.advance(bar, count)


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    rest = f", and {len(ordered) - LISTED} others" if len(ordered) > LISTED else ""
    return ", ".join(f"{name} ({count})" for name, count in ordered[:LISTED]) + rest


def _list(console: Console, what: str, lines: Collection[str]) -> None:
    for line in list(lines)[:LISTED]:
        console.print(f"{what}: {line}", soft_wrap=True)
    if len(lines) > LISTED:
        console.print(f"{what}: {len(lines) - LISTED} others")
