"""Samples of filtered_lrelu."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gan_fast import ops
from gan_fast.testing.sample import LAYOUTS, Draw, NoSample, Sample, randn

MARGIN = 0.012  # several roundings to bfloat16


def _filter(kind: str, seed: int) -> Tensor | None:
    """ "12": separable. "3x5": not of rank 1. "radial12": of no rank either, and symmetric."""
    if kind == "none":
        return None
    if kind.startswith("radial"):
        n = int(kind.removeprefix("radial"))
        r = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
        f = torch.special.bessel_j1(1.6 * torch.hypot(r, r[:, None]) + 0.1).exp()
        return f / f.sum()
    rows, _, columns = kind.partition("x")
    if columns:
        return randn(seed, int(rows), int(columns)) / math.sqrt(int(rows) * int(columns))
    return randn(seed, int(rows)) / math.sqrt(int(rows))


def _away_from_kinks(x: Tensor, b: Tensor | None, settings: dict[str, Any], near: float = MARGIN) -> Tensor:
    """Moves x until no pre-activation u is near a kink: there a derivative is a matter of rounding.

    Near is relative to the norm of the taps behind a sample of u. Each step takes the offenders to the far side of
    what is near, as if each had x to itself; where they fight over it, chance decides.
    """
    up, fu, clamp = settings.get("up", 1), settings["fu"], settings.get("clamp")
    where = {k: settings[k] for k in ("padding", "flip_filter") if k in settings}
    squares = None if fu is None else fu.square()

    def upsampled(x: Tensor, f: Tensor | None, gain: float) -> Tensor:
        return ops.upfirdn2d(x, f, up=up, gain=gain, **where, backend="reference")

    power = upsampled(torch.ones_like(x), squares, up**4)
    kinks = [0.0]
    if clamp is not None:
        gain, slope = abs(settings.get("gain", math.sqrt(2))), settings.get("slope", 0.2)
        kinks += [clamp / gain, *([-math.copysign(clamp / gain, slope) / abs(slope)] if slope else [])]
    for trial in range(300):
        x = x.detach().requires_grad_()
        u = upsampled(x if b is None else x + b[:, None, None], fu, up**2)
        step = torch.zeros_like(u)
        for kink in kinks:
            distance, margin = u.detach() - kink, near * power.sqrt().clamp(min=abs(kink))
            away = torch.where(distance < 0, -1.3 * margin, 1.3 * margin) - distance
            step = torch.where((distance.abs() < margin) & (power > 0), away, step)
        if not step.any():
            return x.detach()
        (moves,) = torch.autograd.grad(u, [x], step / power.clamp(min=1e-30))
        x = x + 0.8 * moves + 0.05 * (moves != 0) * (trial % 10 == 9) * randn(trial, *x.shape)
    raise NoSample


def _make(
    name: str,
    shape: tuple[int, int, int, int],
    fu: str = "none",
    fd: str = "none",
    bias: bool = True,
    layout: str = "contiguous",
    **settings: Any,
) -> Sample:
    tensors = {"fu": _filter(fu, 21), "fd": _filter(fd, 22)}
    b = 0.5 * randn(23, shape[1]) if bias else None
    x = LAYOUTS[layout](2 * randn(24, *shape))
    if x.numel():
        x = LAYOUTS[layout](_away_from_kinks(x, b, settings | tensors))
    taps = math.prod(f.numel() ** (3 - f.ndim) for f in tensors.values() if f is not None)
    settings |= {k: None for k, f in tensors.items() if f is None}
    tensors = {"x": x} | {k: f for k, f in (tensors | {"b": b}).items() if f is not None}
    summed = taps * shape[0] * shape[2] * shape[3]
    reductions = dict.fromkeys(("y", "x", "dy"), taps) | {"b": max(summed, 1)}
    return Sample("filtered_lrelu", name, tensors, settings, layout, ("x", "b") if bias else ("x",), reductions)


def samples() -> Iterator[Sample]:
    common = {
        "up2-down2": ((2, 3, 6, 7), "12", "12", {"up": 2, "down": 2, "padding": [9, 10, 11, 8], "clamp": 3.0}),
        "up4-down2": ((1, 2, 5, 4), "24", "12", {"up": 4, "down": 2, "padding": [14, 15, 17, 14], "clamp": 2.5}),
        "up2-down4": ((1, 2, 9, 8), "12", "24", {"up": 2, "down": 4, "padding": [15, 13, 14, 13]}),
        "up1-down1": ((2, 3, 6, 5), "none", "none", {"clamp": 1.5}),
        "radial": ((1, 3, 7, 6), "12", "radial12", {"up": 2, "down": 2, "padding": [9, 10, 10, 10], "clamp": 3.0}),
        "radial-up": ((1, 2, 6, 6), "radial12", "radial12", {"up": 2, "down": 2, "padding": 10}),
        "asymmetric": ((2, 3, 6, 7), "3x5", "4x3", {"up": 2, "down": 2, "padding": [3, 2, 1, 4], "clamp": 2.0}),
    }
    for name, (shape, fu, fd, settings) in common.items():
        for layout in ("contiguous", "channels_last"):
            yield _make(f"{name}-{layout}", shape, fu, fd, layout=layout, **settings)
            wide = (1, 18, shape[2], 21)
            yield _make(f"{name}-wide-{layout}", wide, fu, fd, layout=layout, **settings)
    for layout in ("sliced", "expanded", "transposed"):
        yield _make(f"up2-down2-{layout}", (2, 3, 5, 6), "6", "4", layout=layout, up=2, down=2, padding=4, clamp=2.0)
    for layout in ("contiguous", "channels_last"):
        more = {"layout": layout}
        yield _make(f"up3-down2-{layout}", (2, 3, 5, 4), "7", "5", up=3, down=2, padding=[5, 3, 4, 6], **more)
        yield _make(f"up2-down3-{layout}", (2, 3, 7, 6), "5", "7", up=2, down=3, padding=[5, 3, 4, 6], **more)
        yield _make(f"up3-down3-{layout}", (1, 2, 4, 5), "6", "3x2", up=3, down=3, padding=5, **more)
        yield _make(f"up4-down4-{layout}", (1, 2, 5, 4), "9", "7", up=4, down=4, padding=[6, 7, 8, 6], **more)
        yield _make(f"up1-down2-{layout}", (2, 3, 9, 8), "none", "6", down=2, padding=[2, 3, 3, 2], **more)
        yield _make(f"up4-down1-{layout}", (1, 2, 3, 4), "8", "none", up=4, padding=4, **more)
        yield _make(f"crop-{layout}", (2, 3, 9, 8), "4", "4", up=2, down=2, padding=[-3, 1, 2, -4], clamp=2.0, **more)
        yield _make(f"flip-{layout}", (2, 3, 6, 5), "5", "2x4", up=2, down=2, padding=4, flip_filter=True, **more)
        yield _make(f"no-bias-{layout}", (2, 3, 6, 5), "6", "6", bias=False, up=2, down=2, padding=5, **more)
        # more rows, columns and channels than one tile of any kernel
        large = {"up": 2, "down": 2, "padding": [4, 5, 5, 4], "clamp": 3.0}
        yield _make(f"large-{layout}", (1, 20, 18, 38), "6", "6", **large, **more)
        yield _make(f"broad-{layout}", (1, 2, 4, 200), "12", "12", up=2, down=2, padding=10, **more)
        yield _make(f"one-pixel-{layout}", (2, 3, 1, 1), "6", "6", up=2, down=2, padding=5, **more)
    yield _make("tall", (1, 2, 90, 5), "6", "6", up=2, down=2, padding=5, clamp=3.0)
    yield _make("slope0", (2, 3, 6, 5), "4", "4", up=2, down=2, padding=3, slope=0.0, clamp=2.0)
    yield _make("slope1", (2, 3, 6, 5), "4", "4", up=2, down=2, padding=3, slope=1.0)
    yield _make("negative-slope", (2, 3, 6, 5), "4", "4", up=2, down=2, padding=3, slope=-0.3, clamp=2.0)
    yield _make("gain", (2, 3, 6, 5), "4", "4", up=2, down=2, padding=3, gain=0.4, clamp=0.5)
    yield _make("negative-gain", (2, 3, 6, 5), "4", "4", up=2, down=2, padding=3, gain=-1.5, clamp=2.0)
    yield _make("rank1", (2, 3, 6, 5), "1x5", "4x1", up=2, down=2, padding=[5, 4, 4, 4])
    yield _make("one-row", (2, 3, 1, 9), "6", "6", up=2, down=2, padding=5)
    yield _make("one-column", (2, 3, 9, 1), "6", "6", up=2, down=2, padding=5)
    yield _make("one-channel", (3, 1, 7, 5), "6", "6", up=2, down=2, padding=5, clamp=2.0)
    yield _make("empty", (0, 3, 4, 4), "4", "4", up=2, down=2, padding=3)


def drawn(draw: Draw) -> Sample:
    """Factors 1 to 4, filters of 1 to 24 taps a side of either rank, crops, any slope, gain and clamp.

    Kinks are as far as float32 needs: with so many filters and so few pixels there is no x as far as half precision's.
    """
    seed, up, down = draw.seed(), draw.integer(1, 4), draw.integer(1, 4)
    filters = {}
    for i, name in enumerate(("fu", "fd")):
        size = [draw.one_of([draw.integer(1, 8), 12, 24]) for _ in range(draw.integer(1, 2))]
        filters[name] = randn(seed + i, *size) / math.sqrt(math.prod(size))
    (uw, uh), (dw, dh) = [(f.shape[-1], f.shape[0]) for f in filters.values()]
    n, c, h, w = draw.batch(), draw.integer(1, 17), draw.integer(1, 9), draw.integer(1, 18)
    padding = draw.padding(w, up, uw + dw - 1, uw + dw) + draw.padding(h, up, uh + dh - 1, uh + dh)
    settings = {"up": up, "down": down, "padding": padding, "flip_filter": draw.boolean()}
    settings |= {"slope": draw.one_of([0.2, 0.0, 1.0, -0.5]), "gain": draw.one_of([1.4, -0.7])}
    settings["clamp"] = draw.one_of([None, 0.9, 256.0])
    layout = draw.layout()
    b = randn(seed + 3, c) if draw.boolean() else None
    x = LAYOUTS[layout](randn(seed + 2, n, c, h, w))
    if n:
        x = LAYOUTS[layout](_away_from_kinks(x, b, settings | filters, near=1e-4))
    tensors = {"x": x, **filters} | ({} if b is None else {"b": b})
    taps = uw * uh * dw * dh
    summed = {"y": taps, "x": taps, "dy": taps, "b": max(n * h * w, 1) * taps}
    wanted = tuple(name for name in ("x", "b") if name in tensors)
    return Sample("filtered_lrelu", "drawn", tensors, settings, layout, wanted, summed, half=False)
