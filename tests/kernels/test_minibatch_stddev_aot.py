"""What the compilers make of minibatch_stddev for GPUs that are not here: registers, spills, shared memory, loads."""

from pathlib import Path

import pytest
import sass

SHARED_LIMIT = 48 * 1024  # of a block, with no special request
REGISTERS = 128  # one block of 512 threads: few blocks run, and what counts is how soon each of them ends
GROUP = 4


def calls(dtype: str, channels_last: bool, labels: bool, capabilities: tuple[int, ...] = (90,)) -> list[dict]:
    """The three primitives on the activation that a discriminator's end takes."""
    x = {"shape": [16, 512, 4, 4], "dtype": dtype, "channels_last": channels_last}
    y = {"shape": [16, 513, 4, 4], "dtype": dtype, "channels_last": channels_last}
    groups = [{"shape": [16], "dtype": "int64"}, {"shape": [17], "dtype": "int64"}] if labels else [None, None]
    settings = [*groups, GROUP, 1]
    arguments = {
        "minibatch_stddev": [x, *settings, y],
        "minibatch_stddev_grad": [y, x, *settings, x],
        "minibatch_stddev_grad2": [x, y, x, *settings, True, True, y, x],
    }
    op = "minibatch_stddev"
    return [{"op": op, "primitive": p, "args": a, "capabilities": capabilities} for p, a in arguments.items()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    wanted = [
        *calls("float32", False, False),
        *calls("bfloat16", False, False),
        *calls("float32", True, True),
        *calls("float64", False, True),
        *calls("float16", False, False, (80, 100, 120))[2:],
    ]
    return sass.compile_triton(wanted, tmp_path_factory.mktemp("aot"))


def test_triton_compiles_for_every_architecture(compiled: list[dict]) -> None:
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}


def test_triton_sm90(compiled: list[dict]) -> None:
    sm90 = [c for c in compiled if c["capability"] == 90]
    assert [c["kernel"] for c in sm90] == ["minibatch_stddev_kernel"] * 12, "one launch each"
    inputs = {"minibatch_stddev": 1, "minibatch_stddev_grad": 2, "minibatch_stddev_grad2": 2}
    for i, c in enumerate(sm90):
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS, (c, kernel)
        assert kernel.local_bytes == 0, (c, kernel)
        assert c["shared"] <= SHARED_LIMIT, c
        if i < 6:  # planes of every fourth sample: whole vectors
            assert kernel.instructions["LDG.E.128"] >= inputs[c["primitive"]], (c, kernel)
            assert kernel.instructions["STG.E.128"] >= 1, (c, kernel)


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("minibatch_stddev", tmp_path)
    assert len(kernels) == 12, "three orders in four element types"
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
        assert kernel.shared_bytes <= SHARED_LIMIT, kernel
        if "IfLi" in kernel.name or "IdLi" in kernel.name:  # half precision moves 8 bytes, for its registers' sake
            wide = kernel.instructions["LDG.E.128.CONSTANT"] + kernel.instructions["LDG.E.128"]
            assert wide >= (8 if "Li2E" in kernel.name else 4), "four loads are in flight together"
            assert kernel.instructions["STG.E.128"] >= 1, kernel
