"""The CUDA kernels executed on the CPU, with memory errors, undefined behaviour and missing barriers caught."""

import platform
import shutil
import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent / "cuda_on_cpu"), str(Path(__file__).parents[1] / "ops")]
import emulated
from argument_space import STRATEGIES

pytestmark = pytest.mark.skipif(
    shutil.which(emulated.CXX) is None or platform.machine() != "x86_64", reason="needs g++ and its sanitizers"
)
OPS = [path.stem for path in sorted(emulated.ROOT.glob("csrc/cuda/*.cu"))]


@pytest.mark.parametrize("op", OPS)
def test_matches_reference(op: str) -> None:
    done = emulated.run("reference", op)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "samples match" in done.stdout


@pytest.mark.parametrize("op", [op for op in OPS if op in STRATEGIES])
def test_matches_reference_whatever_the_arguments(op: str) -> None:
    done = emulated.run("properties", op)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "drawn samples match" in done.stdout


@pytest.mark.parametrize(
    ("bug", "report"),
    [
        ("global_overrun", "heap-buffer-overflow"),
        ("shared_overrun", "global-buffer-overflow"),
        ("no_barrier", "^NaN"),
        ("divergent_barrier", "threads of a block wait for others"),
        ("misaligned_vector", "misaligned address"),
        ("too_many_threads", "planted: CUDA refused the launch: invalid configuration argument"),
    ],
)
def test_planted_bugs_are_caught(bug: str, report: str) -> None:
    done = emulated.run("planted", bug)
    if report.startswith("^"):
        assert done.stdout.startswith(report[1:]), done.stdout + done.stderr
    else:
        assert done.returncode != 0
        assert report in done.stderr, done.stdout + done.stderr
