"""Objectives of one's own, from a Python file: FILE.py:NAME."""

from __future__ import annotations

import hashlib
import traceback
from pathlib import Path

from gan_fast.losses import OBJECTIVES, Objective


def load_objective(place: str) -> tuple[str, Objective]:
    """Execute a file and return what it calls NAME, with the name that settings and checkpoints have for it.

    Checkpoints name the file and never execute it: call this only for what the person at the keyboard has asked for.

    Args:
        place: "path/to/file.py:NAME", where NAME is a `gan_fast.losses.Objective`.

    Returns:
        ("file.py:NAME@HASH", the objective); HASH is of the file's text, so that a resumed run knows its own loss.

    Raises:
        ValueError: no such file or NAME, NAME is something else, or the file raised an error; line and file are named.
    """
    file, _, name = place.rpartition(":")
    path = Path(file)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ValueError(f"objective: cannot read {path}: {error.strerror}") from error
    found: dict[str, object] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(text, str(path), "exec"), found)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1]
        raise ValueError(f"objective: {path}, line {line}: {type(error).__name__}: {error}") from error
    if not isinstance(found.get(name), Objective):
        got = f"its {name} is of {type(found[name])}" if name in found else f"it has no {name}"
        raise ValueError(f"objective: {path} must define {name or 'NAME'} = gan_fast.losses.Objective(...); {got}")
    return f"{path.name}:{name}@{hashlib.sha256(text).hexdigest()[:12]}", found[name]


def check_objective(name: str, own: Objective | None) -> None:
    """Raises ValueError unless the objective of this name is known or given."""
    if own is not None or name in OBJECTIVES:
        return
    place, own_name, _ = name.rpartition("@")
    if own_name:
        raise ValueError(f"objective: this run's is its user's own, which checkpoints never bring: --objective {place}")
    raise ValueError(f"objective: got {name!r}, takes {', '.join(OBJECTIVES)}, or --objective FILE.py:NAME")
