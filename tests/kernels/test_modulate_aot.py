"""What the compilers make of modulate for GPUs that are not here: registers, spills, shared memory, wide loads."""

import re
from pathlib import Path

import pytest
import sass

SHARED_LIMIT = 48 * 1024  # of a block, with no special request
REGISTERS = {"triton": 128, "cuda": 64}  # four blocks of 128 threads a multiprocessor, four of 256
INPUTS = {"modulate": 1, "modulate_grad": 3, "modulate_tangent": 3}  # of x's size


def calls(dtype: str, channels_last: bool, capabilities: tuple[int, ...] = (90,)) -> list[dict]:
    """The three primitives on a layer's activation, with all options."""
    x = {"shape": [16, 128, 64, 64], "dtype": dtype, "channels_last": channels_last}
    s, noise, strength, b, r = (
        {"shape": shape, "dtype": "float32"} for shape in ([16, 128], [16, 1, 64, 64], [], [128], [3, 16, 128])
    )
    settings = ["lrelu", 0.2, 1.4, 256.0, False]
    arguments = {
        "modulate": [x, s, noise, strength, b, *settings, x, None],
        "modulate_grad": [x, x, s, noise, x, *settings, True, x, r],
        "modulate_tangent": [x, x, x, s, r, noise, x, *settings, x],
    }
    return [{"op": "modulate", "primitive": p, "args": a, "capabilities": capabilities} for p, a in arguments.items()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    wanted = [*calls("float32", False), *calls("float32", True), *calls("bfloat16", False), *calls("bfloat16", True)]
    wanted += calls("float16", True, (80, 100, 120))[1:2]
    return sass.compile_triton(wanted, tmp_path_factory.mktemp("aot"))


def test_triton_compiles_for_every_architecture(compiled: list[dict]) -> None:
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}


def test_triton_sm90(compiled: list[dict]) -> None:
    sm90 = [c for c in compiled if c["capability"] == 90]
    assert [c["kernel"] for c in sm90] == ["modulate_kernel"] * 12
    for c in sm90:
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS["triton"], (c, kernel)
        assert kernel.local_bytes == 0, (c, kernel)
        assert c["shared"] <= SHARED_LIMIT, c
        assert kernel.instructions["LDG.E.128"] >= INPUTS[c["primitive"]], (c, kernel)
        assert kernel.instructions["STG.E.128"] >= 1, (c, kernel)


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("modulate", tmp_path)
    passes = [k for k in kernels if "modulate_kernel" in k.name]
    assert len(passes) == 48, "three passes over planes and pixels, by vectors and by elements, in four element types"
    assert len(kernels) == 50, "and the second stage of the sums"
    for kernel in kernels:
        assert kernel.registers <= REGISTERS["cuda"], kernel
        assert kernel.local_bytes == 0, kernel
        assert kernel.shared_bytes <= SHARED_LIMIT, kernel
    for kernel in passes:
        which, planes, size = map(int, re.search(r"PassE(\d)ELb(\d)ELi(\d)E", kernel.name).groups())
        if size > 1:
            halves_of_pixels = re.search("half|bfloat", kernel.name) and which > 0 and not planes
            width = ".64" if halves_of_pixels else ".128"  # as many elements as 16 bytes of their sums have
            assert kernel.instructions[f"LDG.E{width}"] >= list(INPUTS.values())[which], kernel
            assert kernel.instructions[f"STG.E{width}"] == 1, kernel
