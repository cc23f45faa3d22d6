"""What nvcc makes of grid_sample for a GPU that is not here: registers, spills, atomics."""

from pathlib import Path

import sass

REGISTERS = 80  # three blocks of 256 threads a multiprocessor


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("grid_sample", tmp_path)
    assert len(kernels) == 20, "sampling, its gradient in the points and three kernels of its adjoint, in four types"
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        atomics = [name for name in kernel.instructions if name.startswith(("RED", "ATOM"))]
        assert all("64" in name and "F" not in name for name in atomics), "sums of integers have no order"
        assert bool(atomics) == ("scatter" in kernel.name), kernel
