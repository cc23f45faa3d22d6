"""gan-fast bench on tiny cases: rows, a report, contenders of third parties, comparisons."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gan_fast.benchmarks import cases, measure, record
from gan_fast.cli import app

TINY = [
    cases.Case("square_sum", "images", (2, 3, 8, 8), quick=True),
    cases.Case("upsample2d", "4x4", (1, 4, 8, 8), {"f": cases.BINOMIAL}, "a network", quick=True),
    cases.Case("upsample2d", "4x4", (1, 4, 16, 16), {"f": cases.BINOMIAL}),
]
RIGHT = """
def square_sum(x):
    return (x * x).flatten(1).sum(1)
"""
WRONG = """
import torch
def square_sum(x):
    return 1.001 * x.square().sum([1, 2, 3])
def upsample2d(x, f):
    raise NotImplementedError("on Tuesdays")
"""
IN_PLACE = """
def square_sum(x):
    total = x.square().sum([1, 2, 3])
    x.detach().mul_(2)
    return total
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "CASES", TINY)
    monkeypatch.setattr(measure.roofline, "SECONDS", 0.0)
    monkeypatch.setattr(measure, "QUICK_SECONDS", 0.0)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["bench", *map(str, arguments)])

    return call


def test_rows_report_and_a_right_contender(bench, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(RIGHT)
    result = bench(
        "--quick", "--ops", "square_sum,upsample2d", "--json", "a.json", "--html", "r.html", "--contender", "theirs.py"
    )
    assert result.exit_code == 0, result.output
    assert "Report: r.html" in result.output
    assert result.output.splitlines()[-1] == "Next: gan-fast bench compare a.json OTHER.json"
    results = record.read(tmp_path / "a.json")
    assert [row.mode for row in results.rows] == [*cases.MODES] * 2
    for row in results.rows:
        assert row.ours == "cpu"
        assert {"cpu", "reference"} <= row.times.keys()
        assert ("theirs" in row.times) == row.case.startswith("square_sum")
        assert row.bytes > 0
        assert row.floor_ms > 0
        assert row.fraction > 0
        assert row.memory.keys() == {"cpu", "reference"}
        assert not row.refused
    assert {row.network for row in results.rows} == {"", "a network"}
    assert results.machine.ceilings[0].products_gflops > 0
    assert "<svg" in (tmp_path / "r.html").read_text()


def test_a_wrong_contender_is_refused_by_name_and_not_timed(bench, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(WRONG)
    result = bench("--quick", "--ops", "square_sum,upsample2d", "--json", "a.json", "--contender", "theirs.py")
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("refused theirs")]
    assert re.search(r"refused theirs on square_sum-images-2x3x8x8, forward: error .* > ", "\n".join(lines))
    assert "NotImplementedError: on Tuesdays" in "\n".join(lines)
    for row in record.read(tmp_path / "a.json").rows:
        assert "theirs" not in row.times
        assert "theirs" in row.refused


def test_a_contender_that_changes_its_inputs_spoils_nobody_elses(bench, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(IN_PLACE)
    (tmp_path / "right.py").write_text(RIGHT)
    options = ["--quick", "--ops", "square_sum", "--json", "a.json"]
    assert bench(*options, "--contender", "theirs.py", "--contender", "right.py").exit_code == 1
    for row in record.read(tmp_path / "a.json").rows[:1]:
        assert row.refused == {"theirs": "changes its inputs"}
        assert {"right", "cpu", "reference"} <= row.times.keys()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--ops", "upsmaple2d"], "--ops: got upsmaple2d, takes"),
        (["--contender", "absent.py"], "--contender: absent.py is no Python file"),
        (["--contender", "empty.py"], "--contender: empty.py has no function named like an op"),
        (["compare", "absent.json", "HEAD"], "absent.json"),
        (["compare", "empty.py", "empty.py"], "empty.py holds no benchmark results"),
    ],
)
def test_bad_arguments_are_named(bench, tmp_path: Path, arguments: list[str], named: str) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    result = bench(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_compare_files(bench, tmp_path: Path) -> None:
    bench("--quick", "--ops", "square_sum", "--json", "a.json")
    for name, factor in (("before", 1.0), ("after", 1.2)):
        results = record.read(tmp_path / "a.json")
        for row in results.rows:
            row.times.update({other: _others_time(t, factor) for other, t in row.times.items() if other != row.ours})
        record.write(results, tmp_path / f"{name}.json")
    same = bench("compare", "before.json", "before.json")
    assert same.exit_code == 0, same.output
    assert "0 slower, 0 faster, 3 same" in same.output
    slower = bench("compare", "before.json", "after.json")
    assert slower.exit_code == 1
    assert "3 slower, 0 faster, 0 same; contenders that did not change differ by up to 0%" in slower.output
    assert "+20%" in slower.output


def _others_time(timing: record.Timing, factor: float) -> record.Timing:
    """Without noise, and with our time `factor` times as long."""
    ratio = timing.ratio / factor
    return replace(timing, ratio=ratio, low=ratio, high=ratio)


def test_what_compare_runs_for_a_revision(bench, tmp_path: Path) -> None:
    measure.main(["--quick", "--ops", "upsample2d", "--json", "a.json"])
    assert [row.mode for row in record.read(tmp_path / "a.json").rows] == [*cases.MODES]
