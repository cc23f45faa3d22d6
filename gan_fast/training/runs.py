"""Runs as folders and processes: their names, what is in them, and how they are stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from gan_fast import models
from gan_fast.training import checkpoint as checkpoints

RUNS = Path("runs")


def new_run_folder(data: str, root: Path = RUNS) -> Path:
    """Make and return root/<number>-<name of the data>, with the lowest number above all those there."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = [int(p.name[:5]) for p in _numbered(root)]
    name = Path(data).stem if Path(data).is_file() else Path(data).name
    folder = root / f"{max(numbers, default=-1) + 1:05d}-{name}"
    folder.mkdir()
    return folder


def latest_run(root: Path = RUNS) -> Path:
    """The run under `root` with the highest number among those that hold a checkpoint.

    Raises:
        ValueError: there is none.
    """
    for run in sorted(_numbered(root), reverse=True) if root.is_dir() else []:
        if checkpoints.list_checkpoints(run):
            return run
    raise ValueError(f"latest: no run with a checkpoint in {root.resolve()}")


def _numbered(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if p.is_dir() and p.name[:5].isdigit() and p.name[5:6] == "-"]


@contextmanager
def stop_signals() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within the block SIGINT and SIGTERM are noted, not obeyed; the value tells which came, or None."""
    caught: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, lambda number, _: caught.append(signal.Signals(number))) for s in numbers]
    try:
        yield lambda: caught[0] if caught else None
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def load_generator(path: str | Path) -> tuple[nn.Module, checkpoints.Checkpoint]:
    """The averaged generator of a run's newest checkpoint, or of a checkpoint file, on the CPU.

    Raises:
        ValueError: no such file, or a damaged one; it is named.
    """
    checkpoint = checkpoints.load_checkpoint(checkpoints.find_checkpoint(path))
    generator, _ = models.build(models.from_fields(checkpoint.network))
    generator.load_state_dict(checkpoint.weights["G_ema"])
    return generator.eval().requires_grad_(False), checkpoint
