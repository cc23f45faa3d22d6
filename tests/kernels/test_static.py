"""What the compilers make of the kernels for GPUs that are not here, held against gan_fast.testing.static's limits.

Triton kernels are compiled by a process of their own: in this one they may be bound to the interpreter.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gan_fast.cli import app
from gan_fast.testing import static

ROOT = Path(__file__).resolve().parents[2]
OTHERS = tuple(chip for chip in static.CHIPS if chip != "sm_90")
needs_cuda = pytest.mark.skipif(
    static.missing("cuda") is not None, reason="nvcc is optional: it builds the CUDA module"
)

TRITON = """
import json, sys
from dataclasses import replace
from gan_fast.testing import static
ops, every, *chips = sys.argv[1:]
found = []
for op in ops.split():
    first = next(call for call in static.CALLS if call.op == op)
    few = (replace(first, order=min(first.order, 1), dtypes=first.dtypes[-1:], layouts=first.layouts[-1:]),)
    found += static.kernels(op, "triton", tuple(chips), few)
    found += static.kernels(op, "triton", (every,)) if every else []
print(json.dumps([[kernel.chip, kernel.name, static.broken(kernel)] for kernel in found]))
"""


def compiled(folder: Path, ops: str, every: str, *chips: str) -> list[tuple[str, str, list[str]]]:
    """Chip, name and broken limits of the kernels of one call of each op for some chips, and of all for another."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TRITON, ops, every, *chips]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_triton_of_one_call(tmp_path: Path) -> None:
    found = compiled(tmp_path, " ".join(static.OPS["triton"]), "", "sm_90")
    for op in static.OPS["triton"]:
        kernels = re.findall(r"def (\w+_kernel)", (ROOT / f"kernels/{op}.py").read_text())
        assert any(name.split(" ")[1].startswith(tuple(kernels)) for _, name, _ in found), op
    assert [line for *_, broken in found for line in broken] == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("op", static.OPS["triton"])
def test_triton(op: str, tmp_path: Path) -> None:
    """All that layers launch for sm_90, and one call of each op for every other chip."""
    found = compiled(tmp_path, op, "sm_90", *OTHERS)
    assert {chip for chip, *_ in found} == set(static.CHIPS)
    assert [line for *_, broken in found for line in broken] == []
    sources = (ROOT / f"kernels/{op}.py").read_text()
    assert {re.split(r"\W", name.split(" ")[1])[0] for _, name, _ in found} == set(
        re.findall(r"def (\w+_kernel)", sources)
    )


# as many as are to be built
KERNELS = {
    # three orders over planes and pixels, by vectors and by elements, in four types; the first two with slopes, and
    # the first of those with noise, in three; the second stage of the sums
    "bias_act": 70,
    "filtered_lrelu": 28,  # seven of strips and the one of one tap, in three types, and the general kernel, in four
    "grid_sample": 21,  # sampling, its gradient in the points, three kernels of its adjoint, in four types; its unit
    "interpolate": 16,  # both in four types, by vectors and one by one
    "minibatch_stddev": 12,  # three orders in four types
    "modulate": 50,  # three passes over planes and pixels, by vectors and by elements, in four types; sums
    "noise": 4,
    "square_sum": 18,  # the sum and its derivative in four types, by vectors and one by one; two of parts
    "upfirdn2d": 45,  # 11 of planes, 18 of pixels, 8 separable, 8 direct
}


@needs_cuda
@pytest.mark.exhaustive
@pytest.mark.parametrize("op", static.OPS["cuda"])
def test_cuda(op: str) -> None:
    """For every chip that the module was built for, which are all with GAN_FAST_CUDA_ARCHS="80 90 100 120"."""
    chips = static.built_chips() or ("sm_90",)
    found = static.kernels(op, "cuda", chips)
    assert len(found) == KERNELS[op] * len(chips)
    assert [line for kernel in found for line in static.broken(kernel)] == []
    for kernel in found:
        atomics = [name for name in kernel.instructions if name.startswith(("RED", "ATOM"))]
        assert all("64" in name and "F" not in name for name in atomics), "sums of integers have no order"
        assert bool(atomics) == ("grid_sample_scatter" in kernel.name), kernel


def test_every_kernel_file_is_compiled() -> None:
    assert set(static.OPS["cuda"]) == {path.stem for path in ROOT.glob("csrc/cuda/*.cu")} == set(KERNELS)
    assert set(static.OPS["triton"]) == {path.stem for path in ROOT.glob("kernels/*.py")} - {"__init__"}


def test_occupancy() -> None:
    chip = static.CHIPS["sm_90"]
    assert chip.occupancy(registers=32, shared=0, threads=256) == 1
    assert chip.occupancy(registers=128, shared=0, threads=128) == 0.25, (
        "65536 registers are four warps of 128 a thread"
    )
    assert chip.occupancy(registers=32, shared=100 << 10, threads=128) == 8 / 64, "two blocks in 228 KiB"
    assert chip.occupancy(registers=16, shared=0, threads=32) == 0.5, "32 blocks, whatever their size"


@needs_cuda
@pytest.mark.exhaustive
def test_the_command_shows_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kernels.json"
    command = ["kernels", "--ops", "noise", "--backends", "cuda", "--json", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "4 kernels, all within their limits" in result.output
    rows = json.loads(file.read_text())["kernels"]
    for name in ("registers", "local", "shared", "occupancy", "mma", "wgmma", "wide_loads", "wide_stores", "broken"):
        assert all(name in row for row in rows)
    assert any(row["wide_stores"] for row in rows), "four float32 numbers at once"

    monkeypatch.setattr(static, "LIMITS", (static.Limit("cuda", "noise_kernel", registers=8, wide_stores=9),))
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert re.search(r"noise_kernel<float> for sm_90: registers \d+, at most 8", result.output)
    assert "wide_stores 1, at least 9" in result.output


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "_module", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    result = CliRunner().invoke(app, ["kernels"])
    assert result.exit_code == 2
    for told in ("nvcc was not found, and gan_fast._cuda is not built", "TRITON_INTERPRET=1 binds"):
        assert told in result.stderr
    assert "--chips: got sm_70" in CliRunner().invoke(app, ["kernels", "--chips", "sm_70"]).stderr
