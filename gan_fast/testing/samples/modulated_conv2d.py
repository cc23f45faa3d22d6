"""Samples of modulated_conv2d."""

from __future__ import annotations

from collections.abc import Iterator

from gan_fast import ops
from gan_fast.testing.sample import Sample, randn

# the ops with kernels that it is made of
PARTS = ("bias_act", "modulate", "upfirdn2d")


def samples() -> Iterator[Sample]:
    f = ops.setup_filter([1, 3, 3, 1]).double()
    for name, k, settings in (
        ("plain", 3, {}),
        ("up2", 3, {"up": 2}),
        ("down2", 3, {"down": 2}),
        ("1x1", 1, {"demodulate": False, "act": "linear"}),
    ):
        size = 6 * settings.get("up", 1) // settings.get("down", 1)
        tensors = {
            "x": randn(8, 3, 5, 6, 6),
            "w": randn(9, 4, 5, k, k),
            "s": randn(10, 3, 5) + 1.5,
            "b": randn(11, 4) + 4.0,  # keeps lrelu's kink out of reach of most elements
            "noise": randn(12, 3, 1, size, size),
            "strength": randn(13) + 1,
            "f": f,
        }
        settings = {"act": "softplus", "padding": k // 2} | settings
        yield Sample(
            "modulated_conv2d",
            name,
            tensors,
            settings,
            differentiable=("x", "w", "s", "b", "noise", "strength"),
            reductions=dict.fromkeys(("y", "x", "w", "s", "b", "noise", "strength", "dy"), 5 * k * k),
        )
