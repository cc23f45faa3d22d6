"""Samples of modulated_conv2d."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from gan_fast import ops
from gan_fast.testing.sample import LAYOUTS, Draw, NoSample, Sample, randn

# the ops with kernels that it is made of
PARTS = ("bias_act", "modulate", "upfirdn2d")


def _modulated_sample(
    name: str,
    shape: tuple[int, int, int, int] = (3, 5, 6, 6),
    out: int = 4,
    k: int = 3,
    layout: str = "contiguous",
    without: tuple[str, ...] = (),
    seed: int = 8,
    **settings: Any,
) -> Sample:
    n, c, h, w = shape
    up, down = settings.get("up", 1), settings.get("down", 1)
    settings = {"act": "lrelu", "padding": k // 2} | settings
    tensors = {
        "x": LAYOUTS[layout](randn(seed, *shape)),
        "w": randn(seed + 1, out, c, k, k),
        "s": randn(seed + 2, n, c) + 1.5,
        "b": randn(seed + 3, out),
        "noise": randn(seed + 4, n, 1, h * up // down, w * up // down),
        "strength": randn(seed + 5) + 1,
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
    for layout in tuple(LAYOUTS)[1:]:
        yield _modulated_sample(layout, (2, 6, 5, 4), layout=layout)


def drawn(draw: Draw) -> Sample:
    """Any channels and sizes, kernels of 1, 3 and 5, up- and downsampling by 2, any set of options.

    Half precision has no sample whose results all lie far enough from where the activation's derivative jumps. Styles
    keep away from 0: their gradients divide by them. Second derivatives are sums over pixels of sums over channels and
    taps, which cancel: the fixed samples judge them.
    """
    up, down = draw.one_of([(1, 1), (1, 1), (2, 1), (1, 2)])
    shape = (draw.integer(1, 3), draw.width(), 2 * draw.integer(2, 8), 2 * draw.integer(2, 8))
    k = draw.one_of([1, 3, 3, 5]) if up == down else 3
    without = tuple(name for name in ("b", "noise", "strength") if draw.boolean())
    without += ("strength",) if "noise" in without else ()
    settings = {"act": draw.one_of(["linear", "lrelu", "swish"]), "demodulate": draw.boolean()}
    settings |= {"gain": draw.one_of([None, 0.7]), "clamp": draw.one_of([None, 3.0]), "up": up, "down": down}
    settings["flip_weight"] = draw.boolean()
    sample = _modulated_sample("drawn", shape, draw.width(), k, draw.layout(), without, draw.seed(), **settings)
    s = sample.tensors["s"]
    sample.tensors["s"] = torch.where(s < 0, s - 0.5, s + 0.5)
    linear = settings | {"padding": k // 2, "act": "linear", "clamp": None, "gain": None}
    u = ops.modulated_conv2d(**sample.tensors, **linear, backend="reference").abs()
    y = ops.modulated_conv2d(
        **sample.tensors, **linear | {k: settings[k] for k in ("act", "gain")}, backend="reference"
    )
    if (u < 1e-4).any() or (settings["clamp"] and ((y.abs() / settings["clamp"] - 1).abs() < 1e-4).any()):
        raise NoSample
    return replace(sample, order=1, half=False)
