"""Figures of trainings, from the folders of the runs.

    gan-fast train --outdir RUN
    python benchmarks/runs.py RUN --table demo --json benchmarks/results/figures/FILE.json

Runs that differ in their seed make one table together, a figure a run in each cell. The file names the machine, the
versions and the revision that this command finds: run it where, and with what, the training ran.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from gan_fast.benchmarks import record
from gan_fast.benchmarks.record import Cell, Figure
from gan_fast.benchmarks.table import figures_table
from gan_fast.training import stats
from gan_fast.training.checkpoint import find_checkpoint, load_checkpoint
from gan_fast.training.stats import Record

SCORES = ("precision", "recall", "coverage", "classes", "class_accuracy")
REAL = "real halves"


def read(run: Path) -> tuple[dict, list[Record]]:
    """The settings and the log of a run."""
    records = stats.read(run)
    if not stats.scored(records):
        raise ValueError(f"{run}: holds no run with metrics")
    return load_checkpoint(find_checkpoint(run)).config, records


def speed(records: Sequence[Record]) -> dict[str, float]:
    """Wall time of the steps, without evaluations and checkpoints."""
    seconds, before = 0.0, 0.0
    for r in records:
        if r["kind"] == "progress":
            seconds += r["seconds_per_kimg"] * (r["kimg"] - before)
            before = r["kimg"]
    return {"training, s": seconds, "s/kimg": seconds / before}


def scores(record: Record) -> dict[str, float]:
    distances = {name.replace("fd_", "FD_"): v for name, v in record.items() if name.startswith("fd_")}
    return {**distances, **{name.replace("_", " "): record[name] for name in SCORES if name in record}}


def rows(runs: Sequence[Path], kimg: Sequence[float] = ()) -> list[dict[str, Cell]]:
    """Each evaluation at `kimg`, or the first and the last, then what real images get, then what the training took.

    Raises:
        ValueError: a folder holds no run, or the runs differ in more than their seed and their length.
    """
    settings, logs = zip(*map(read, runs), strict=True)
    for name, value in settings[0].items():
        if name not in ("seed", "kimg") and any(other[name] != value for other in settings):
            raise ValueError(f"{name}: differs from run to run; give runs that differ in their seed alone")
    evaluations = [{r["kimg"]: r for r in stats.scored(log)} for log in logs]
    ends = [list(found)[i] for found in evaluations for i in (0, -1)]
    seeds = ", ".join(str(s["seed"]) for s in settings)
    first = f"kimg, seed{'s' if len(runs) > 1 else ''} {seeds}"
    table: list[dict[str, Cell]] = []
    for place in kimg or sorted(set(ends)):
        found = [scores(each[place]) for each in evaluations if place in each]
        table.append({first: place, **_joined(found)})
        if place == max(ends):
            table[-1] |= _joined([speed(log) for log in logs])
    real = next(iter(evaluations[0].values()))["real_halves"]
    return [*table, {first: REAL, **scores(real)}]


def _joined(found: Sequence[dict[str, float]]) -> dict[str, Cell]:
    return {name: found[0][name] if len(found) == 1 else [each[name] for each in found] for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--table", default="runs", help="name of the table")
    parser.add_argument("--kimg", type=float, nargs="+", default=(), help="which; if absent the first and the last")
    parser.add_argument("--how", default="", help="what else is to be known of it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = read(arguments.runs[0])[0]["device"]
    device = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    how = f"gan-fast train; times are wall time, without evaluations and checkpoints. {arguments.how}".rstrip()
    found = [Figure(kind=arguments.table, values=row) for row in rows(arguments.runs, arguments.kimg)]
    figures = record.figures(device, how, found)
    print(figures_table(figures, arguments.table))
    if arguments.json:
        record.write_figures(figures, arguments.json)


if __name__ == "__main__":
    main()
