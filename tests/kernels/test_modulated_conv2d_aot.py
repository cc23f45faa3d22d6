"""What Triton makes of modulated convolution for GPUs that are not here: matrix instructions, registers, memory."""

from pathlib import Path
from typing import NamedTuple

import sass


class Layer(NamedTuple):
    channels: int
    out_channels: int
    size: int
    samples: int = 4
    up: int = 1
    down: int = 1

    def calls(
        self, dtype: str, capabilities: tuple[int, ...] = (90,), precision: str = "ieee", tangents: bool = False
    ) -> list[dict]:
        """The three launchers with every option of the epilogue, and in the form of the second order with tangents."""
        n, i, o = self.samples, self.channels, self.out_channels
        out = self.size * 2 + 1 if self.up == 2 else self.size // self.down

        def activation(channels: int, size: int) -> dict:
            return {"shape": [n, channels, size, size], "dtype": dtype, "channels_last": True}

        def single(*shape: int) -> dict:
            return {"shape": shape, "dtype": "float32"}

        x, y, w = activation(i, self.size), activation(o, out), activation(i, 3) | {"shape": [o, i, 3, 3]}
        s, d = single(n, i), single(n, o)
        pad = 2 if self.up == 2 else 1
        geometry = [self.up, self.down, [pad, pad, pad, pad], False]
        epilogue = [d, single(n, out, out), single(), single(o)]
        settings = ["lrelu", 0.2, 2**0.5, 256.0, precision]
        tangent = [x, s] if tangents else [None, None]
        arguments = {
            "modulated_conv2d": [x, s, *tangent, w, *epilogue, *geometry, *settings, y, y],
            "modulated_conv2d_input_grad": [y, w, s, x, [self.size] * 2, *geometry, precision, x, s],
            "modulated_conv2d_weight_grad": [x, s, *tangent, y, [3, 3], *geometry, precision, w],
        }
        return [
            {"op": "modulated_conv2d", "primitive": p, "args": a, "capabilities": capabilities}
            for p, a in arguments.items()
        ]


LAYERS = {
    "512>512 64^2": Layer(512, 512, 64),
    "512>512 16^2": Layer(512, 512, 16, samples=32),
    "512>512 4^2": Layer(512, 512, 4, samples=32),
    "128>128 256^2": Layer(128, 128, 256),
    "64>64 512^2": Layer(64, 64, 512),
    "32>32 1024^2": Layer(32, 32, 1024),
    "256>128 up2": Layer(256, 128, 128, up=2),
    "64>128 down2": Layer(64, 128, 512, down=2),
}
CONVOLUTIONS = ("modulated_conv2d_kernel", "modulated_conv2d_weight_grad_kernel")
SHARED_LIMIT = {80: 163, 90: 227, 100: 227, 120: 99}  # KiB of a block
REGISTERS = 128  # sixteen warps a multiprocessor: two programs of eight or more of four


def check(compiled: list[dict], registers: int) -> list[sass.Kernel]:
    """The kernels that convolve."""
    kernels = []
    for c in compiled:
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= registers, (c, kernel)
        assert kernel.local_bytes == 0, (c, kernel)
        assert c["shared"] <= SHARED_LIMIT[c["capability"]] * 1024, c
        if c["kernel"] in CONVOLUTIONS:
            kernels.append(kernel)
    return kernels


def warpgroup_products(kernel: sass.Kernel) -> int:
    return sum(n for name, n in kernel.instructions.items() if name.startswith("HGMMA"))


def test_every_architecture(tmp_path: Path) -> None:
    layer = LAYERS["128>128 256^2"]
    calls = [*layer.calls("float64", precision="tf32x3"), *layer.calls("bfloat16", (80, 100, 120), tangents=True)]
    calls += layer.calls("float32", (120,), "tf32x3", tangents=True)
    compiled = sass.compile_triton(calls, tmp_path)
    assert {c["capability"] for c in compiled} == set(SHARED_LIMIT)
    for c in compiled:
        assert c["shared"] <= SHARED_LIMIT[c["capability"]] * 1024, c


def test_sm90(tmp_path: Path) -> None:
    calls = [call for layer in LAYERS.values() for call in layer.calls("bfloat16")]
    calls += LAYERS["512>512 64^2"].calls("bfloat16", tangents=True)
    kernels = check(sass.compile_triton(calls, tmp_path), REGISTERS)
    assert len(kernels) == 3 * len(LAYERS) + 3
    for kernel in kernels:
        assert warpgroup_products(kernel) >= 2, kernel
        assert kernel.instructions["LDGSTS.E.BYPASS.128"] >= 6, "both operands arrive asynchronously, in vectors"


def test_sm90_in_single_precision(tmp_path: Path) -> None:
    calls = LAYERS["512>512 16^2"].calls("float32", precision="tf32x3")
    for kernel in check(sass.compile_triton(calls, tmp_path), 255):
        assert warpgroup_products(kernel) > 0, kernel


def test_sm90_sizes_of_any_kind(tmp_path: Path) -> None:
    """Odd channels, three of them, a single pixel, and a sample of more than 2^31 elements."""
    layers = (Layer(513, 512, 4, samples=32), Layer(512, 3, 64), Layer(64, 64, 1, samples=1), Layer(64, 64, 8192))
    check(sass.compile_triton([c for layer in layers for c in layer.calls("bfloat16")], tmp_path), 255)
