"""What the compilers make of noise for GPUs that are not here: registers, spills, wide stores."""

from pathlib import Path

import sass

REGISTERS = 64


def test_triton(tmp_path: Path) -> None:
    strength, seed = {"shape": [], "dtype": "bfloat16"}, {"shape": [2], "dtype": "int64"}
    y = {"shape": [8, 1, 64, 64], "dtype": "bfloat16"}
    call = {"op": "noise", "primitive": "noise", "args": [strength, seed, [8, 1, 64, 64], y]}
    compiled = sass.compile_triton([call | {"capabilities": [80, 90, 100, 120]}], tmp_path)
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}
    for c in compiled:
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("noise", tmp_path)
    assert len(kernels) == 4
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
    assert any(k.instructions["STG.E.128"] for k in kernels), "four float32 numbers at once"
