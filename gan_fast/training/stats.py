"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gan_fast.training.checkpoint import write_atomically

Record = dict[str, Any]
LOG = "log.jsonl"


def append(run: Path, record: Record) -> None:
    """Add a record to the run's log."""
    with (run / LOG).open("a") as file:
        file.write(json.dumps(record) + "\n")


def read(run: Path) -> list[Record]:
    """All records of the run's log; a last line that a crash cut short is left out."""
    path = run / LOG
    if not path.exists():
        return []
    records = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: {error}") from error
    return records


def rewind(run: Path, step: int) -> None:
    """Drop the records after `step`, which a resumed run will write again."""
    if not (run / LOG).exists():
        return
    kept = "".join(json.dumps(r) + "\n" for r in read(run) if r["step"] <= step)
    write_atomically(run / LOG, lambda file: file.write(kept.encode()))


def autocorrelation(values: Sequence[float]) -> float | None:
    """How alike neighbours are: the correlation of a series with itself one step later; None where it does not vary.

    About -1/n for n values without memory, towards 1 for a slow drift or cycle, towards -1 for one that alternates.
    """
    n, mean = len(values), sum(values) / max(len(values), 1)
    square = sum((v - mean) ** 2 for v in values)
    return sum((values[i] - mean) * (values[i + 1] - mean) for i in range(n - 1)) / square if square else None


def scored(records: Iterable[Record]) -> list[Record]:
    """Of evaluations those whose metrics did not fail."""
    return [r for r in records if "real_halves" in r]


def evaluations(run: Path) -> list[Record]:
    """The records of the run's evaluations, oldest first."""
    return [r for r in read(run) if r["kind"] == "evaluation"]
