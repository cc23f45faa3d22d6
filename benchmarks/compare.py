"""Whether B is slower than A: two results files, or two revisions measured in turn, with a verdict that knows noise.

Each row is our time over the reference's, medians of neighbours in time, so that a machine that is slow for a while
does not count. What noise can do is found in one of two ways.

One run of each side: the 95 % interval of the row, which the results file has, and the largest change of a contender
that is no code of ours, torch.compile or plain PyTorch, and so is the same in A and B (10 % where there is none).

Several runs of each, in turn: the row's own spread from run to run, or that of the middle row if it is larger, by
Student's t at 99.9 %. Where memory lies differs from process to process, and moves some rows more than others.

A row is slower or faster when its change is larger than that and than 3 %.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_fast.benchmarks import record
from gan_fast.benchmarks.record import Results, Row, Timing

MARGIN = math.log(1.03)
SECONDS = 1.5  # that contenders race over a row: many times what a quick run gives them
STUDENT = {2: 31.6, 3: 8.61, 4: 5.96, 5: 5.04, 6: 4.59, 7: 4.32, 8: 4.14}  # by runs a side, each with a mean of its own
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
    """changes: of every row that both sides have.

    noise: of single runs the largest factor by which an unchanged contender changed, of several that of one standard
    deviation of the middle row from run to run.
    """

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
    """Runs of A, and as many of B."""
    sides = [[_rows(results) for results in side] for side in (before, after)]
    keys = [key for key in sides[0][0] if all(key in rows for side in sides for rows in side)]
    yardsticks = {key: _yardstick(sides[0][0][key], sides[1][0][key]) for key in keys}
    keys = [key for key in keys if yardsticks[key] is not None]
    ratios = {  # the reference's time over ours, logarithms of the runs of A and of B
        key: [[math.log(rows[key].times[yardsticks[key]].ratio) for rows in side] for side in sides] for key in keys
    }
    changes = {key: statistics.fmean(a) - statistics.fmean(b) for key, (a, b) in ratios.items()}
    if len(before) == 1:
        pairs = {key: (sides[0][0][key], sides[1][0][key]) for key in keys}
        noise = max((abs(moved) for key in keys for moved in _controls(*pairs[key], yardsticks[key])), default=UNKNOWN)
        widths = {
            key: noise + math.hypot(*(_half_width(row.times[yardsticks[key]]) for row in pair))
            for key, pair in pairs.items()
        }
    else:
        spreads = {key: math.sqrt(statistics.fmean(map(statistics.variance, each))) for key, each in ratios.items()}
        noise = statistics.median(spreads.values()) if spreads else 0.0
        t = STUDENT.get(len(before), STUDENT[max(STUDENT)]) * math.sqrt(2 / len(before))
        widths = {key: t * max(spread, noise) for key, spread in spreads.items()}
    found = [
        Change(sides[1][0][key], *(math.exp(changes[key] + far * widths[key]) for far in (0, -1, 1))) for key in keys
    ]
    return Comparison(found, math.exp(noise))


def _controls(a: Row, b: Row, yardstick: str) -> Iterator[float]:
    """By how much contenders that are no code of ours changed against the yardstick."""
    for name in a.times.keys() & b.times.keys() - {yardstick}:
        if name == "compile" or name.startswith("plain"):
            yield sum(sign * math.log(r.times[name].ratio / r.times[yardstick].ratio) for sign, r in ((1, b), (-1, a)))


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
    """The cases of a quick run, of each tree, in turn, in processes of their own."""
    found: list[list[Results]] = [[] for _ in trees]
    for run in range(runs):
        for side, tree in enumerate(trees):
            tell(f"run {run + 1} of {runs}: {'AB'[side]}")
            path = ROOT / ".benchmarks" / f"{'ab'[side]}{run}.json"
            path.parent.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "gan_fast.benchmarks.measure", "--quick", "--seconds", str(SECONDS)]
            command += [*arguments, "--json", str(path)]
            done = subprocess.run(
                command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True
            )
            if done.returncode:
                raise ValueError(f"{tree}: {done.stderr.strip().splitlines()[-1]}")
            found[side].append(record.read(path))
    return found
