"""What several commands take in the same way, the pages they serve, and the progress they show."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import gradio
    from rich.table import Table
    from torch import nn

Run = Annotated[str, typer.Argument(help="Run folder, checkpoint file of any dialect, or 'latest'.")]

FORMS = {"fd": "{:.3f}", "kd": "{:.4f}", "is": "{:.3f}"}


@dataclass(frozen=True)
class Trained:
    """A trained generator, and what commands say of it.

    Attributes:
        generator: on the GPU where there is one; in eval mode, without gradients.
        class_names: a name a class; empty where there are none.
        name: of the run; `source`: which of its states this is.
        folder: where results go that are given no other place.
        settings: of the run; empty for a file of another program.
    """

    generator: nn.Module
    class_names: tuple[str, ...]
    name: str
    source: str
    folder: Path
    settings: dict[str, Any]


def load(run: str) -> Trained:
    """What `Run` names."""
    import torch

    from gan_fast.training import latest_run, load_generator
    from gan_fast.training.checkpoint import NAME

    path = latest_run() if run == "latest" else Path(run)
    folder = path if path.is_dir() else path.parent
    if path.is_file() and not NAME.fullmatch(path.name):
        from gan_fast.compat import checkpoints

        model = checkpoints.load(path, discriminator=False)
        if model.generator is None:
            raise ValueError(f"{path} holds no generator")
        generator, names, name, source, settings = model.generator, model.class_names, path.stem, str(path), {}
    else:
        generator, found = load_generator(path)
        names, name, settings = found.class_names, folder.resolve().name, found.config
        source = f"step {found.step} of {name}"
    names = tuple(names) or tuple(map(str, range(generator.c_dim)))
    generator = generator.to("cuda" if torch.cuda.is_available() else "cpu")
    return Trained(generator, names if generator.c_dim else (), name, source, folder, settings)


def scores_table(title: str, columns: dict[str, dict[str, Any]]) -> Table:
    """Metrics by name, a column a measurement; what the first does not have is left out."""
    from rich.table import Table

    table = Table(title=title)
    for name in ("", *columns):
        table.add_column(name, justify="right" if name else "left")
    for key, value in next(iter(columns.values())).items():
        if isinstance(value, int | float) and key in columns["real halves"]:
            kind = key.partition("_")[0]
            form = "{:d}" if isinstance(value, int) else FORMS.get(kind, "{:.3f}")
            name = key.replace(kind, kind.upper(), 1) if kind in FORMS else key.replace("_", " ")
            table.add_row(name, *(form.format(values[key]) for values in columns.values()))
    return table


def protocol_line(protocol: dict[str, Any]) -> str:
    """What the values of a table rest on, in a line."""
    revision = f", revision {protocol['revision']}" if protocol["revision"] else ""
    return (
        f"Features: {protocol['features']}{revision}, {protocol['width']} an image; resized: {protocol['resize']};"
        f" against {protocol['reference']}. FD and KD: lower is better; the rest: higher."
        " real halves: the other half measured the same way, which is what a perfect generator would get."
    )


def numbers(option: str, text: str) -> list[int]:
    """The numbers of "0-7,20". Raises ValueError, naming the option, for anything else."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f"{option}: expected numbers and ranges such as 0-7,20, got {text!r}")
        found += range(first, last + 1)
    return found


def classes(option: str, text: str | None, names: Sequence[str]) -> list[int]:
    """The classes that a list of names and of ranges of numbers chooses: all for None, [0] where there are no classes.

    Raises ValueError, naming the option, for one that is not there.
    """
    if not names:
        if text is not None:
            raise ValueError(f"{option}: this generator was trained without classes")
        return [0]
    if text is None:
        return list(range(len(names)))
    chosen: list[int] = []
    for part in text.split(","):
        chosen += [names.index(part.strip())] if part.strip() in names else numbers(option, part)
    if max(chosen) >= len(names):
        raise ValueError(f"{option}: there are {len(names)} ({', '.join(names)}), got {text!r}")
    return chosen


def serve(make: Callable[[], gradio.Blocks], name: str, port: int) -> None:
    """Serve the page that `make` returns, say where, and wait for Ctrl-C."""
    from gan_fast.explorer.app import serving

    with serving(make, port) as address:
        typer.echo(f"{name} is at {address}")
        typer.echo("Next: open it in a browser; Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[..., None]]:
    """Yields report(done, note=""): a bar on a terminal, that goes when it is full; silence elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn(f"{{task.completed}}/{total} {unit} {{task.description}}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, note="": bar.update(task, completed=done, description=note)
