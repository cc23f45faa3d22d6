"""The CUDA kernels executed on the CPU, with memory errors, undefined behaviour and missing barriers caught."""

import platform
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "cuda_on_cpu"))
import emulated

pytestmark = pytest.mark.skipif(
    shutil.which(emulated.CXX) is None or platform.machine() != "x86_64", reason="needs g++ and its sanitizers"
)
VARIANTS = {
    "upfirdn2d": (
        "planes: NCHW with 4x4 taps, or in float32 12 separable ones",
        "pixels: channels_last with 3x3 or 4x4 taps",
        "separable: float64",
        "separable: up and down are not 1 and 1, 2 and 1, or 1 and 2 on both axes",
        "separable: channels_last with a filter other than 3x3 and 4x4",
        "direct: float64",
        "direct: the channels are not whole vectors of 16 bytes",
        "direct: the filter has neither 4x4 taps nor, in float32 to resample, 12 separable ones",
    )
}
# a process each, of a minute or two: importing PyTorch takes long under sanitizers
TOGETHER = (
    ("bias_act",),
    ("filtered_lrelu",),
    ("modulate", "noise"),
    ("grid_sample", "minibatch_stddev"),
    ("upfirdn2d", "interpolate", "square_sum"),
)
BRIEF = ("modulate", "noise")


@pytest.mark.parametrize(
    "ops", [pytest.param(ops, marks=[pytest.mark.exhaustive] if ops != BRIEF else []) for ops in TOGETHER], ids=" ".join
)
def test_matches_reference(ops: tuple[str, ...]) -> None:
    done = emulated.run("reference", *ops)
    assert done.returncode == 0, done.stdout + done.stderr
    for op in ops:
        assert f"\n{op}: drawn samples" in done.stdout
        for variant in VARIANTS.get(op, ()):
            assert f"\n{variant}" in done.stdout, "the samples leave it out"


def test_every_kernel_file_is_executed() -> None:
    files = {path.stem for path in emulated.ROOT.glob("csrc/cuda/*.cu")}
    assert files == {op for ops in TOGETHER for op in ops}


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
