"""Samples of modulated_conv2d."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gan_fast import ops
from gan_fast.testing.sample import LAYOUTS, Sample, randn

# the ops with kernels that it is made of
PARTS = ("bias_act", "modulate", "upfirdn2d")


def _modulated_sample(
    name: str,
    shape: tuple[int, int, int, int] = (3, 5, 6, 6),
    out: int = 4,
    k: int = 3,
    layout: str = "contiguous",
    without: tuple[str, ...] = (),
    **settings: Any,
) -> Sample:
    n, c, h, w = shape
    up, down = settings.get("up", 1), settings.get("down", 1)
    settings = {"act": "lrelu", "padding": k // 2} | settings
    tensors = {
        "x": LAYOUTS[layout](randn(8, *shape)),
        "w": randn(9, out, c, k, k),
        "s": randn(10, n, c) + 1.5,
        "b": randn(11, out),
        "noise": randn(12, n, 1, h * up // down, w * up // down),
        "strength": randn(13) + 1,
        "f": ops.setup_filter([1, 3, 3, 1]).double(),
    }
    tensors = {key: t for key, t in tensors.items() if key not in without}
    differentiable = tuple(key for key in tensors if key != "f")
    summed = {"y": c * k * k, "x": out * k * k, "dy": 2 * c * k * k}
    pixels = n * h * w * up * up // down**2
    summed |= {"w": pixels, "s": pixels * k, "b": pixels, "noise": c * k * k * out, "strength": pixels * out}
    return Sample("modulated_conv2d", name, tensors, settings, layout, differentiable, summed)


def samples() -> Iterator[Sample]:
    yield _modulated_sample("plain")
    yield _modulated_sample("winograd", (2, 33, 9, 8), 34)
    yield _modulated_sample("down2", down=2)
    yield _modulated_sample("1x1", k=1, demodulate=False, act="linear", without=("noise", "strength"))
    yield _modulated_sample("up2", (2, 3, 5, 4), up=2)
    for name, settings in (("plain", {}), ("up2", {"up": 2}), ("down2", {"down": 2})):
        yield _modulated_sample(f"{name}-softplus", act="softplus", **settings)
    yield _modulated_sample("clamp-gain", gain=0.7, clamp=3.0)
    yield _modulated_sample("1x1-only", k=1, demodulate=False, act="linear", without=("noise", "strength", "b"))
    yield _modulated_sample("5x5-no-bias", (1, 3, 7, 6), k=5, without=("b",))
    yield _modulated_sample("linear", act="linear")
    yield _modulated_sample("flipped", (2, 3, 5, 4), flip_weight=False, without=("strength",))
    yield _modulated_sample("up2-flipped", (2, 3, 5, 4), up=2, flip_weight=False)
    yield _modulated_sample("4x4", (5, 8, 4, 4), 8)
    for layout in ("channels_last", "sliced"):
        yield _modulated_sample(layout, (2, 6, 5, 4), layout=layout)
