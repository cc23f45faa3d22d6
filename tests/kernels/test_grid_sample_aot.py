"""What nvcc makes of grid_sample for a GPU that is not here: registers, spills, atomics."""

import shutil
import subprocess
from pathlib import Path

import pytest
import sass

ROOT = Path(__file__).resolve().parents[2]
REGISTERS = 80  # three blocks of 256 threads a multiprocessor


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
def test_cuda_sm90(tmp_path: Path) -> None:
    cubin = tmp_path / "grid_sample.cubin"
    flags = ["-std=c++17", "-O3", "--expt-relaxed-constexpr", "-arch=sm_90", "-cubin"]
    subprocess.run(["nvcc", *flags, ROOT / "csrc/cuda/grid_sample.cu", "-o", cubin], check=True)
    kernels = sass.read_cubin(cubin)
    assert len(kernels) == 20, "sampling, its gradient in the points and three kernels of its adjoint, in four types"
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        atomics = [name for name in kernel.instructions if name.startswith(("RED", "ATOM"))]
        assert all("64" in name and "F" not in name for name in atomics), "sums of integers have no order"
        assert bool(atomics) == ("scatter" in kernel.name), kernel
