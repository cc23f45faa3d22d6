"""What the compilers make of bias_act for GPUs that are not here: registers, spills, shared memory, wide loads."""

from pathlib import Path

import pytest
import sass

SHARED_LIMIT = 48 * 1024  # of a block, with no special request
REGISTERS = {"triton": 96, "cuda": 64}  # five blocks of 128 threads a multiprocessor, four of 256


def calls(dtype: str, channels_last: bool, capabilities: tuple[int, ...] = (90,)) -> list[dict]:
    """The three primitives on a layer's activation; act is among the heaviest."""
    x = {"shape": [16, 128, 64, 64], "dtype": dtype, "channels_last": channels_last}
    b = {"shape": [128], "dtype": dtype}
    settings = [1, "tanh", 0.0, 1.0, 256.0]
    arguments = {
        "bias_act": [x, b, None, *settings, x],
        "bias_act_grad": [x, x, b, *settings, False, True, x, b],
        "bias_act_grad2": [x, x, x, b, *settings, True, x, b],
    }
    return [{"op": "bias_act", "primitive": p, "args": a, "capabilities": capabilities} for p, a in arguments.items()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    wanted = [*calls("float32", False), *calls("float32", True), *calls("bfloat16", False), *calls("bfloat16", True)]
    wanted += calls("float16", True, (80, 100, 120))[1:2]
    return sass.compile_triton(wanted, tmp_path_factory.mktemp("aot"))


def test_triton_compiles_for_every_architecture(compiled: list[dict]) -> None:
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}


def test_triton_sm90(compiled: list[dict]) -> None:
    sm90 = [c for c in compiled if c["capability"] == 90]
    names = [c["kernel"] for c in sm90]
    assert names.count("bias_act_kernel") == 12
    assert names.count("bias_act_sum_kernel") == 8, "two derivatives sum the bias gradient, in two types and layouts"
    inputs = {"bias_act": 1, "bias_act_grad": 2, "bias_act_grad2": 3}
    for c in sm90:
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS["triton"], (c, kernel)
        assert kernel.local_bytes == 0, (c, kernel)
        assert c["shared"] <= SHARED_LIMIT, c
        if c["kernel"] == "bias_act_kernel":
            assert kernel.instructions["LDG.E.128"] >= inputs[c["primitive"]], (c, kernel)
            assert kernel.instructions["STG.E.128"] >= 1, (c, kernel)


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("bias_act", tmp_path)
    passes = [k for k in kernels if "bias_act_kernel" in k.name]
    assert len(passes) == 16, "three orders and the first with noise, in four element types"
    assert len(kernels) == 20, "and the second stage of the sums"
    for kernel in kernels:
        assert kernel.registers <= REGISTERS["cuda"], kernel
        assert kernel.local_bytes == 0, kernel
        assert kernel.shared_bytes <= SHARED_LIMIT, kernel
    for order in range(3):
        of_order = [k for k in passes if f"Li{order}E" in k.name]
        assert len(of_order) == (8 if order == 0 else 4)
        for kernel in of_order:
            assert kernel.instructions["LDG.E.128.CONSTANT"] + kernel.instructions["LDG.E.128"] > order, kernel
            assert kernel.instructions["STG.E.128"] >= 1, kernel
