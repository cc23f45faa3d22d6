"""Whether B is slower than A: two results files, or two revisions measured in turn, with a verdict that knows noise.

Each row is our time over the reference's, medians of neighbours in time, so that a machine that is slow for a while
does not count. Two things make that ratio noisy. Within a run: its 95 % interval, which the results file has. From run
to run: contenders that are no code of ours, torch.compile and plain PyTorch, are the same in A and B, so the largest
change of one of them is what noise alone can do here (10 % where there is none). A row is slower or faster when its
change is larger than both together and than 3 %. With several runs of each side, in turn, every change is the median
over the pairs of runs.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_fast.benchmarks import record
from gan_fast.benchmarks.record import Results, Row, Timing

MARGIN = math.log(1.03)
UNKNOWN = math.log(1.1)  # the noise from run to run where nothing tells it
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Change:
    """Of one row. factor: our time in B over A, corrected by the reference; low, high: with what noise can do."""

    row: Row
    factor: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        margin = math.exp(MARGIN)
        if self.low > 1 and self.factor > margin:
            return "slower"
        return "faster" if self.high < 1 and self.factor < 1 / margin else "same"


@dataclass(frozen=True)
class Comparison:
    """changes: of every row that both sides have. noise: the largest factor by which an unchanged contender changed."""

    changes: list[Change]
    noise: float

    def of(self, verdict: str) -> list[Change]:
        return [change for change in self.changes if change.verdict == verdict]


def _rows(results: Results) -> dict[tuple[str, str, int], Row]:
    return {(row.case, row.mode, row.threads): row for row in results.rows if row.ours in row.times}


def _yardstick(a: Row, b: Row) -> str | None:
    others = [name for name in a.times if name != a.ours and name in b.times]
    return next((name for name in ("reference", *others) if name in others), None)


def _half_width(timing: Timing) -> float:
    if timing.low is None or timing.high is None:
        return math.log(timing.q3 / timing.q1)
    return max(math.log(timing.high / timing.ratio), math.log(timing.ratio / timing.low))


def compare(before: Sequence[Results], after: Sequence[Results]) -> Comparison:
    """Runs of A and of B, as many, each beside that of the other side which was made next to it."""
    pairs = [(_rows(a), _rows(b)) for a, b in zip(before, after, strict=True)]
    keys = [key for key in pairs[0][0] if all(key in a and key in b for a, b in pairs)]
    ours: dict[tuple, list[tuple[float, float]]] = {}
    controls: dict[tuple, list[float]] = {}
    for key in keys:
        for rows_a, rows_b in pairs:
            a, b = rows_a[key], rows_b[key]
            if (name := _yardstick(a, b)) is None:
                continue
            yard_a, yard_b = a.times[name], b.times[name]
            change = math.log(yard_a.ratio / yard_b.ratio)
            ours.setdefault(key, []).append((change, math.hypot(_half_width(yard_a), _half_width(yard_b))))
            for control in a.times.keys() & b.times.keys():
                if control == "compile" or (control.startswith("plain") and control != name):
                    moved = math.log(b.times[control].ratio / a.times[control].ratio)
                    controls.setdefault((key, control), []).append(moved + change)
    noise = max((abs(statistics.median(moved)) for moved in controls.values()), default=UNKNOWN)
    changes = []
    for key, found in ours.items():
        change = statistics.median(c for c, _ in found)
        width = statistics.median(w for _, w in found) / math.sqrt(len(found)) + noise
        row = pairs[0][1][key]
        changes.append(Change(row, math.exp(change), math.exp(change - width), math.exp(change + width)))
    return Comparison(changes, math.exp(noise))


# ------------------------------------------------------------------------------------------------ revisions


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    if check and done.returncode:
        raise ValueError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def _modules() -> list[Path]:
    """This tree's native modules, if they are as new as their sources."""
    found = list((ROOT / "gan_fast").glob("_c*.so"))
    sources = [ROOT / "setup.py", *(path for path in (ROOT / "csrc").rglob("*") if path.is_file())]
    newest = max(path.stat().st_mtime for path in sources)
    return [path for path in found if path.stat().st_mtime >= newest]


def source_tree(revision: str) -> Path:
    """A built source tree of a revision in .benchmarks/, with this tree's benchmarks; "." is this tree as it is.

    Raises ValueError for a revision that there is not, and for "." if it was not built since its sources changed.
    """
    if revision == ".":
        if not _modules():
            raise ValueError(f"{ROOT}: its native modules are older than csrc: build it first, pip install -e .")
        return ROOT
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}").stdout.strip()
    tree = ROOT / ".benchmarks" / commit[:12]
    if not tree.is_dir():
        _git("worktree", "add", "--detach", str(tree), commit)
    shutil.copytree(ROOT / "benchmarks", tree / "benchmarks", dirs_exist_ok=True)
    shutil.copy(ROOT / "gan_fast" / "benchmarks.py", tree / "gan_fast")
    if _git("diff", "--quiet", commit, "--", "csrc", "setup.py", check=False).returncode == 0:
        for module in _modules():
            shutil.copy(module, tree / "gan_fast")
    if not list((tree / "gan_fast").glob("_c*.so")):
        environment = os.environ | ({} if torch.cuda.is_available() else {"GAN_FAST_CUDA": "0"})
        subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tree, env=environment, check=True
        )
    return tree


def measure_in_turn(
    trees: Sequence[Path], runs: int, arguments: Sequence[str], tell: Callable[[str], None]
) -> list[list[Results]]:
    """Quick runs of each tree, in turn, in processes of their own."""
    found: list[list[Results]] = [[] for _ in trees]
    for run in range(runs):
        for side, tree in enumerate(trees):
            tell(f"run {run + 1} of {runs}: {'AB'[side]}")
            path = ROOT / ".benchmarks" / f"{'ab'[side]}{run}.json"
            path.parent.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "gan_fast.benchmarks.measure", "--quick", *arguments, "--json", str(path)]
            done = subprocess.run(
                command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True
            )
            if done.returncode:
                raise ValueError(f"{tree}: {done.stderr.strip().splitlines()[-1]}")
            found[side].append(record.read(path))
    return found
