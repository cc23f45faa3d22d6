"""What several commands take in the same way, and the progress they show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[str, typer.Argument(help="Run folder, checkpoint file, or 'latest'.")]


def run_path(run: str) -> Path:
    """The folder or file that `Run` names."""
    from gan_fast.training import latest_run

    return latest_run() if run == "latest" else Path(run)


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
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, note="": bar.update(task, completed=done, description=note)
