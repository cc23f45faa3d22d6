"""What Triton makes of modulated convolution for GPUs that are not here: matrix instructions, registers, shared memory."""

from pathlib import Path
from typing import NamedTuple

import pytest
import sass


class Layer(NamedTuple):
    channels: int
    out_channels: int
    size: int
    samples: int = 4
    up: int = 1
    down: int = 1

    def calls(self, dtype: str, capabilities: tuple[int, ...] = (90,), precision: str = "ieee") -> list[dict]:
        """The three launchers, first order, with every option of the epilogue."""
        n, i, o = self.samples, self.channels, self.out_channels
        out = self.size * 2 + 1 if self.up == 2 else self.size // self.down

        def activation(channels: int, size: int) -> dict:
            return {"shape": [n, channels, size, size], "dtype": dtype, "channels_last": True}

        def single(*shape: int) -> dict:
            return {"shape": shape, "dtype": "float32"}

        x, y, w = activation(i, self.size), activation(o, out), activation(i, 3) | {"shape": [o, i, 3, 3]}
        s, d = single(n, i), single(n, o)
        pad = 2 if self.up == 2 else 1
        geometry = [self.up, self.down, [pad, pad, pad, pad]]
        epilogue = [d, single(n, out, out), single(), single(o)]
        settings = ["lrelu", 0.2, 2**0.5, 256.0, precision]
        arguments = {
            "modulated_conv2d": [x, s, None, None, w, *epilogue, *geometry, *settings, y],
            "modulated_conv2d_input_grad": [y, d, None, None, w, s, x, *geometry, precision, x, s],
            "modulated_conv2d_weight_grad": [x, s, None, None, y, d, None, None, *geometry, precision, w],
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
