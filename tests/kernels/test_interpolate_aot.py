"""What the compilers make of interpolate for GPUs that are not here: registers, spills, wide loads and stores."""

from pathlib import Path

import sass

REGISTERS = 64


def test_triton(tmp_path: Path) -> None:
    x, seed = {"shape": [8, 3, 128, 128], "dtype": "bfloat16"}, {"shape": [2], "dtype": "int64"}
    calls = [
        {"op": "interpolate", "primitive": "interpolate", "args": [x, x, seed, x]},
        {"op": "interpolate", "primitive": "interpolate_grad", "args": [x, seed, True, True, x, x]},
    ]
    compiled = sass.compile_triton([c | {"capabilities": [80, 90, 100, 120]} for c in calls], tmp_path)
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}
    for c in (c for c in compiled if c["capability"] == 90):
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        assert kernel.instructions["LDG.E.128"] >= 1, (c, kernel)
        assert kernel.instructions["STG.E.128"] >= 1, (c, kernel)


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("interpolate", tmp_path)
    assert len(kernels) == 16, "both in four element types, by vectors and one by one"
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        if "Li1E" not in kernel.name:
            assert kernel.instructions["LDG.E.128"] == (1 if "grad" in kernel.name else 2), kernel
            assert kernel.instructions["STG.E.128"] == (2 if "grad" in kernel.name else 1), kernel
