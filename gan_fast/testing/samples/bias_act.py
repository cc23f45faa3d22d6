"""Samples of bias_act."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gan_fast import ops
from gan_fast.ops.bias_act import ACTIVATIONS
from gan_fast.testing.sample import LAYOUTS, Draw, NoSample, Sample, randn


def away_from_kinks(x: Tensor, b: Tensor | None, noise: Tensor | None, dim: int, act: str, **settings: Any) -> Tensor:
    """Moves elements of x off the points where a derivative jumps: there it is a convention, tested by itself."""
    clamp = settings.pop("clamp", None)
    for _ in range(20):
        u = x if noise is None else x + noise
        u = u if b is None else u + b.reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
        near = u.abs() < 0.05
        if clamp is not None:
            near |= (ops.bias_act(u, dim=dim, act=act, backend="reference", **settings).abs() / clamp - 1).abs() < 0.03
        if not near.any():
            return x
        x = torch.where(near, x + 0.1, x)
    raise NoSample


def _bias_act_sample(
    name: str,
    shape: tuple[int, ...],
    bias: bool,
    layout: str = "contiguous",
    noise: tuple[int, ...] | None = None,
    seed: int = 3,
    **settings: Any,
) -> Sample:
    settings = {"dim": 1, "act": "lrelu"} | settings
    dim = settings["dim"] % len(shape)
    x = LAYOUTS[layout](2 * randn(seed, *shape))
    b = randn(seed + 1, shape[dim]) if bias else None
    z = None if noise is None else randn(seed + 2, *noise)
    x = away_from_kinks(x, b, z, **settings)
    tensors = {name: t for name, t in (("x", x), ("b", b), ("noise", z)) if t is not None}
    summed = {"b": max(x.numel() // max(shape[dim], 1), 1), "noise": shape[dim] * shape[0], "dy": 3}
    return Sample("bias_act", name, tensors, settings, layout, tuple(tensors), summed)


def samples() -> Iterator[Sample]:
    for act, bias, clamp in itertools.product(ACTIVATIONS, (True, False), (None, 0.7)):
        name = f"{act}{'-bias' if bias else ''}{'-clamp' if clamp else ''}"
        yield _bias_act_sample(name, (2, 5, 3, 7), bias, act=act, clamp=clamp)
    for act in ("linear", "lrelu", "swish"):
        for layout in ("channels_last", "sliced", "expanded", "transposed"):
            yield _bias_act_sample(f"{act}-{layout}", (3, 6, 4, 5), True, layout, act=act, clamp=0.9)
        yield _bias_act_sample(f"{act}-large", (3, 33, 17, 19), True, act=act, clamp=1.5)
        yield _bias_act_sample(f"{act}-large-channels_last", (3, 33, 17, 19), True, "channels_last", act=act)
        yield _bias_act_sample(f"{act}-aligned", (2, 16, 16, 16), True, act=act)
        yield _bias_act_sample(f"{act}-aligned-channels_last", (2, 16, 16, 16), True, "channels_last", act=act)
        yield _bias_act_sample(f"{act}-many-tiles", (2, 3, 64, 80), True, act=act)
        yield _bias_act_sample(f"{act}-many-tiles-channels_last", (2, 3, 64, 80), True, "channels_last", act=act)
        yield _bias_act_sample(f"{act}-2d", (7, 130), True, act=act)
        yield _bias_act_sample(f"{act}-dim0", (6, 3, 5), True, act=act, dim=0)
        yield _bias_act_sample(f"{act}-dim-last", (2, 3, 9), True, act=act, dim=-1)
        yield _bias_act_sample(f"{act}-1d", (11,), True, act=act, dim=0)
        yield _bias_act_sample(f"{act}-5d", (2, 3, 2, 3, 4), True, act=act)
        yield _bias_act_sample(f"{act}-one-pixel", (4, 3, 1, 1), True, act=act)
        yield _bias_act_sample(f"{act}-one-channel", (4, 1, 3, 3), True, act=act)
        yield _bias_act_sample(f"{act}-empty", (0, 3, 4, 4), True, act=act)
        yield _bias_act_sample(f"{act}-gain", (2, 3, 4, 4), True, act=act, gain=0.3, clamp=0.4)
        yield _bias_act_sample(f"{act}-negative-gain", (2, 3, 4, 4), True, act=act, gain=-1.7, clamp=0.8)
        yield _bias_act_sample(f"{act}-zero-gain", (2, 3, 4, 4), True, act=act, gain=0.0)
    for act in ("lrelu", "swish"):
        for layout in ("contiguous", "channels_last", "sliced"):
            name = f"{act}-noise-{layout}"
            yield _bias_act_sample(name, (3, 6, 4, 5), True, layout, (3, 1, 4, 5), act=act, clamp=0.9)
            yield _bias_act_sample(f"{name}-large", (2, 33, 17, 19), True, layout, (17, 19), act=act)
            yield _bias_act_sample(f"{name}-aligned", (2, 16, 16, 16), False, layout, (2, 1, 16, 16), act=act)
        yield _bias_act_sample(f"{act}-noise-one-channel", (2, 1, 9, 9), True, noise=(1, 1, 9, 9), act=act)
    for alpha in (0.0, 0.01, 1.5, -0.3):
        yield _bias_act_sample(f"alpha{alpha}", (2, 3, 4, 4), True, alpha=alpha, clamp=1.1)


def drawn(draw: Draw) -> Sample:
    """Every activation, any rank and bias dimension, alpha, gain and clamp, every layout of four dimensions."""
    shape = draw.shape()
    rank = len(shape)
    dim = draw.integer(0, rank - 1)
    settings = {"act": draw.one_of(sorted(ACTIVATIONS)), "dim": dim, "gain": draw.one_of([None, 1.0, 0.3, -1.7])}
    settings["clamp"] = draw.one_of([None, 0.9, 256.0])
    if settings["act"] == "lrelu":
        settings["alpha"] = draw.one_of([None, 0.0, 0.01, 1.5, -0.3])
    noise = None
    if rank == 4 and dim == 1 and draw.boolean():
        noise = (draw.one_of([1, shape[0]]), 1, shape[2], draw.one_of([1, shape[3]]))
    layout = draw.layout() if rank == 4 else "contiguous"
    return _bias_act_sample("drawn", shape, draw.boolean(), layout, noise, draw.seed(), **settings)
