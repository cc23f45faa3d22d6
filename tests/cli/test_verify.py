"""gan-fast verify: what it finds, the programs that it prints, its results file and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from gan_fast import ops, testing
from gan_fast.cli import app
from gan_fast.ops.backends import BACKENDS

THEIRS = '''
import torch
from gan_fast import ops

def square_sum(x):
    """Right where it takes a call."""
    if x.ndim != 4:
        raise NotImplementedError("images only")
    return ops.square_sum(x, backend="reference")

def interpolate(a, b, seed):
    """Loses the last channel where there are more than two."""
    y = ops.interpolate(a, b, seed, backend="reference")
    return y if y.ndim < 4 or y.shape[1] < 3 else torch.cat([y[:, :-1], a[:, -1:]], 1)

def noise(shape, seed, strength):
    return strength * torch.randn(shape, dtype=strength.dtype)

def minibatch_stddev(x, **settings):
    return ops.minibatch_stddev(x, **settings, backend="reference").double()

def grid_sample(x, grid, align_corners):
    """Its derivative in the points is half of what it should be."""
    y = ops.grid_sample(x, grid, align_corners=align_corners, backend="reference")
    return 0.5 * (y + ops.grid_sample(x, grid.detach(), align_corners=align_corners, backend="reference"))
'''


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "their_ops.py"
    path.write_text(THEIRS)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_a_wrong_module_is_caught_with_a_program_that_shows_it(theirs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results" / "theirs.json"
    result = call("--against", theirs, "--ops", "interpolate", "--json", results)
    assert result.exit_code == 1, result.output
    assert "WRONG" in result.output
    found = json.loads(results.read_text())
    assert not found["passed"]
    program = found["runs"][0]["reproducer"]
    assert program in result.output
    assert "a: (1, 3, 1, 1), strides (3, 1, 1, 1), torch.float32" in program, "as small as it fails"

    def run_program() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True)

    assert "AssertionError: interpolate-" in run_program().stderr
    theirs.write_text(THEIRS.replace("y.shape[1] < 3", "True"))
    mended = run_program()
    assert mended.returncode == 0, mended.stderr


@pytest.mark.parametrize(
    ("op", "aspects", "told"),
    [
        ("noise", {"forward", "backward", "double backward", "equal bits", "gradcheck"}, "at a second run"),
        ("grid_sample", {"backward", "double backward", "gradcheck"}, "grad grid: WRONG"),
        ("minibatch_stddev", {"forward"}, "is torch.float64 (7, 5, 2, 3) and not torch.float32"),
    ],
)
def test_what_is_wrong_is_told(theirs: Path, op: str, aspects: set[str], told: str) -> None:
    module = testing.load(str(theirs))
    sample = next(s for s in testing.samples(op) if testing.can_check_gradients(s))
    wrong = []
    for dtype in (torch.float32, torch.float64):
        run = testing.Run(op, module, dtype, "cpu")
        wrong += [c for c in testing.verify(sample, run) if not c.passed]
    assert aspects <= {c.aspect for c in wrong}
    assert told in "\n".join(map(str, wrong))


def test_a_module_may_decline(theirs: Path, tmp_path: Path) -> None:
    results = tmp_path / "theirs.json"
    result = call("--against", theirs, "--ops", "square_sum,conv2d", "--json", results)
    assert result.exit_code == 0, result.output
    assert "conv2d on their_ops: it has no function of the name" in result.output
    assert "it declines 5 samples" in result.output
    found = json.loads(results.read_text())
    assert found["passed"]
    assert {"schema", "torch", "triton", "processor", "gpu", "samples", "seed", "not_run", "runs"} <= set(found)
    for row in found["runs"]:
        assert {"op", "backend", "dtype", "device", "samples", "checks", "declined", "worst", "failures"} == set(row)
        assert row["samples"] + row["declined"] == len(testing.samples("square_sum"))
    theirs.write_text("def square_sum(x):\n    raise NotImplementedError")
    assert "nothing was verified" in call("--against", theirs, "--ops", "square_sum").stderr


def test_nothing_is_planned_for_a_device_that_is_not_there() -> None:
    runs, _ = testing.plan(("square_sum",), tuple(BACKENDS))
    assert {"cpu", "triton"} <= {run.backend for run in runs}
    assert torch.cuda.is_available() or {run.device for run in runs} == {"cpu"}


def test_a_backend_that_raises_is_wrong_and_not_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*args: object, **settings: object) -> torch.Tensor:
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(ops, "noise", broken)
    result = call("--ops", "noise,square_sum", "--backends", "cpu", "--json", tmp_path / "a.json")
    assert result.exit_code == 1
    assert "RuntimeError: an illegal memory access" in result.output
    rows = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert {(row["op"], bool(row["failures"])) for row in rows} == {("noise", True), ("square_sum", False)}


def test_drawn_calls_are_the_same_for_the_same_seed() -> None:
    for op in testing.OPS:
        first, again, other = (testing.draw(op, seed) for seed in (5, 5, 6))
        assert first.settings == again.settings
        assert all(torch.equal(t, again.tensors[name]) for name, t in first.tensors.items())
        shown = [(s.settings, [t.tolist() for t in s.tensors.values()]) for s in (first, other)]
        assert shown[0] != shown[1]
    result = call("--ops", "noise", "--backends", "cpu", "--samples", 3, "--seed", 5)
    assert result.exit_code == 0, result.output


def test_a_reproducer_keeps_what_cannot_be_left_out(theirs: Path) -> None:
    """A failure that hangs on a NaN, in the layout of the sample, of a tensor too large to be cut at once."""
    module = testing.load(str(theirs))
    module.square_sum = lambda x: ops.square_sum(x.nan_to_num(), backend="reference")
    x = testing.randn(1, 3, 40, 5)
    x[2, 39, 4] = float("nan")
    run = testing.Run("square_sum", module, torch.float64, "cpu")
    small = testing.shrink(testing.Sample("square_sum", "nan", {"x": x}), run)
    assert small.tensors["x"].shape == (3, 40, 5), "the NaN is its last element"
    program = testing.snippet(small, run)
    assert "nan" in program
    with pytest.raises(AssertionError, match="square_sum-nan"):
        exec(program.replace(f"testing.load({str(theirs)!r})", "given"), {"given": module})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--ops", "bias_act,conv3d"], "--ops: got conv3d, takes bias_act"),
        (["--backends", "cpu,metal"], "--backends: got metal, takes cuda"),
        (["--dtypes", "float8"], "--dtypes: got float8, takes float32"),
        (["--against", "absent_module"], "absent_module: ModuleNotFoundError"),
        (["--against", "absent.py"], "absent.py: FileNotFoundError"),
        (["--against", "json", "--backends", "cpu"], "--backends"),
        (["--against", "json"], "nothing to verify"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], named: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
