"""What the compilers make of upfirdn2d for GPUs that are not here: registers, spills, shared memory, wide accesses."""

from pathlib import Path

import pytest
import sass

SHARED_LIMIT = 48 * 1024  # of a block, with no special request
# blocks of 128 threads a multiprocessor: four or three of Triton's, six to eight planes, three pixels
REGISTERS = {"triton": 168, "planes": 80, "pixels": 168, "separable": 64, "direct": 64}

# up, down and padding of a layer; the size of its output for an input of 64 by 64
MODES = {
    "up2": ([2, 2], [1, 1], [2, 1, 2, 1], 128),
    "fir": ([1, 1], [1, 1], [2, 1, 2, 1], 64),
    "down2": ([1, 1], [2, 2], [1, 1, 1, 1], 32),
    "up3-down2": ([3, 3], [2, 2], [4, 3, 4, 3], 97),
}
FAST = [(mode, dtype, last) for mode in list(MODES)[:3] for dtype in ("float32", "bfloat16") for last in (False, True)]


def call(
    mode: str, dtype: str, channels_last: bool, f: tuple[int, ...] = (4, 4), capabilities: tuple[int, ...] = (90,)
) -> dict:
    up, down, padding, size = MODES[mode]
    x = {"shape": [16, 128, 64, 64], "dtype": dtype, "channels_last": channels_last}
    y = x | {"shape": [16, 128, size, size]}
    args = [x, {"shape": f, "dtype": "float32"}, up, down, padding, False, 1.0, y]
    return {"op": "upfirdn2d", "primitive": "upfirdn2d", "args": args, "capabilities": capabilities}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    wanted = [call(*fast) for fast in FAST]
    wanted += [call("up2", "bfloat16", True, f=(12,)), call("up3-down2", "float32", False, f=(6, 6))]
    wanted += [call("up2", "float16", True, capabilities=(80, 100, 120))]
    return sass.compile_triton(wanted, tmp_path_factory.mktemp("aot"))


def test_triton_compiles_for_every_architecture(compiled: list[dict]) -> None:
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}


def test_triton_sm90(compiled: list[dict]) -> None:
    sm90 = [c for c in compiled if c["capability"] == 90]
    names = [c["kernel"] for c in sm90]
    assert names == ["upfirdn2d_window_kernel"] * (len(FAST) + 2) + ["upfirdn2d_kernel"], "12 taps take two passes"
    inputs = {"up2": 9, "fir": 25, "down2": 36}
    for i, c in enumerate(sm90):
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS["triton"], (c, kernel)
        assert kernel.local_bytes == 0, (c, kernel)
        assert c["shared"] <= SHARED_LIMIT, c
        if i < len(FAST):
            mode, dtype, channels_last = FAST[i]
            vectors = 4 if dtype == "float32" else 2  # of a thread
            assert kernel.instructions["STG.E.128"] + kernel.instructions["STG.E.64"] >= 2, (c, kernel)
            if channels_last:
                assert kernel.instructions["LDG.E.128"] == vectors * inputs[mode], "an input of a window is read once"
                assert kernel.instructions["LDG.E"] <= 16, "a tap is read once"
                assert kernel.instructions["STG.E.128"] == vectors * 4, "four outputs"


@sass.needs_nvcc
def test_cuda_sm90(tmp_path: Path) -> None:
    kernels = sass.compile_cuda("upfirdn2d", tmp_path)
    of = {v: [k for k in kernels if f"upfirdn2d_{v}_kernel" in k.name] for v in ("planes", "pixels", "separable")}
    of["direct"] = [k for k in kernels if not any(k in found for found in of.values())]
    counts = {variant: len(found) for variant, found in of.items()}
    assert counts == {"planes": 18, "pixels": 9, "separable": 8, "direct": 8}, "as many as are to be built"
    for variant, found in of.items():
        for kernel in found:
            assert kernel.registers <= REGISTERS[variant], kernel
            assert kernel.local_bytes == 0, kernel
            assert kernel.shared_bytes <= SHARED_LIMIT, kernel
            wide_loads = sum(n for name, n in kernel.instructions.items() if name.startswith("LDG.E.128"))
            if variant == "planes":
                assert wide_loads >= 4, kernel
                assert kernel.instructions["STG.E.128"] >= 1, kernel
            if variant == "pixels":
                assert wide_loads >= 9, kernel
                assert kernel.instructions["STG.E.128"] == 4, kernel
