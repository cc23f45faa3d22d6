"""What the compilers make of square_sum for GPUs that are not here: registers, spills, wide loads and stores."""

from pathlib import Path

import pytest
import sass

REGISTERS = 80  # three blocks of 256 threads on a multiprocessor


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_triton(dtype: str, tmp_path: Path) -> None:
    x = {"shape": [8, 3, 128, 128], "dtype": dtype}
    p = {"shape": [8], "dtype": "float64" if dtype == "float64" else "float32"}
    calls = [
        {"op": "square_sum", "primitive": "square_sum", "args": [x, None, 1.0, p]},
        {"op": "square_sum", "primitive": "square_sum", "args": [x, x, 2.0, p]},
        {"op": "square_sum", "primitive": "square_sum_grad", "args": [p, x, 2.0, x]},
    ]
    compiled = sass.compile_triton([c | {"capabilities": [80, 90, 100, 120]} for c in calls], tmp_path)
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}
    for c in (c for c in compiled if c["capability"] == 90):
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        if c["kernel"] != "square_sum_parts_kernel":
            assert kernel.instructions["LDG.E.128"] >= 4, (c, kernel)
        if c["kernel"] == "square_sum_grad_kernel":
            assert kernel.instructions["STG.E.128"] >= 4, (c, kernel)


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("square_sum", tmp_path)
    assert len(kernels) == 18, (
        "the sum and its derivative of four element types, by vectors and one by one; two of parts"
    )
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        if "parts" in kernel.name or "Li1E" in kernel.name:
            continue
        if "grad" in kernel.name:
            assert kernel.instructions["LDG.E.128"] == kernel.instructions["STG.E.128"] == 1, kernel
        else:
            assert kernel.instructions["LDG.E.128"] >= 4, "four loads are in flight together"
