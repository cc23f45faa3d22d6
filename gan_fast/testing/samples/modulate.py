"""Samples of modulate."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gan_fast import ops
from gan_fast.testing.sample import LAYOUTS, Draw, NoSample, Sample, randn

OPTIONS = ("s", "noise", "strength", "b")


def _away_from_kinks(x: Tensor, others: dict[str, Tensor], clamp: float | None, **settings: Any) -> Tensor:
    """Moves elements of x off the points where a derivative jumps: there it is a convention, tested by itself."""
    for _ in range(40):
        near = ops.modulate(x, **others, backend="reference").abs() < 0.05
        if clamp is not None:
            near |= (ops.modulate(x, **others, **settings, backend="reference").abs() / clamp - 1).abs() < 0.03
        if not near.any():
            return x
        x = torch.where(near, x + 0.1, x)
    raise NoSample


def modulate_sample(
    name: str,
    shape: tuple[int, ...],
    layout: str = "contiguous",
    noise: tuple[int, ...] | None = None,
    options: tuple[str, ...] = OPTIONS,
    seed: int = 31,
    **settings: Any,
) -> Sample:
    """noise: its shape, by default that of a plane a sample."""
    settings = {"act": "lrelu"} | settings
    n, c = shape[:2]
    pixels, numel = max(torch.Size(shape[2:]).numel(), 1), max(torch.Size(shape).numel(), 1)
    signs = torch.where(randn(seed, n, c) < 0, -1.0, 1.0)
    drawn = {
        "s": signs * (0.5 + randn(seed + 1, n, c).abs().clamp(max=1.5)),  # recover divides by it
        "noise": randn(seed + 2, *(noise or (n, 1, *shape[2:]))),
        "strength": torch.tensor(0.7, dtype=torch.float64),
        "b": randn(seed + 3, c),
    }
    others = {option: drawn[option] for option in OPTIONS if option in options}
    x = LAYOUTS[layout](2 * randn(seed + 4, *shape))
    outside = {key: value for key, value in settings.items() if key not in ("recover", "clamp")}
    x = _away_from_kinks(x, others, settings.get("clamp"), **outside)
    tensors = {"x": x, **others}
    summed = {"s": 4 * pixels, "noise": n * c, "strength": numel, "b": numel // max(c, 1), "x": 2, "dy": 4}
    return Sample("modulate", name, tensors, settings, layout, tuple(tensors), summed)


def samples() -> Iterator[Sample]:
    for act, recover, clamp in itertools.product(("linear", "relu", "lrelu"), (False, True), (None, 0.9)):
        name = f"{act}{'-recover' if recover else ''}{'-clamp' if clamp else ''}"
        yield modulate_sample(name, (2, 5, 3, 7), act=act, recover=recover, clamp=clamp)
    for recover, layout in itertools.product((False, True), LAYOUTS):
        name = f"{layout}{'-recover' if recover else ''}"
        yield modulate_sample(name, (3, 6, 4, 5), layout, recover=recover, clamp=1.5)
    for layout in ("contiguous", "channels_last"):
        yield modulate_sample(f"large-{layout}", (2, 33, 17, 19), layout, recover=True)
        yield modulate_sample(f"aligned-{layout}", (2, 16, 16, 16), layout)
        yield modulate_sample(f"many-tiles-{layout}", (2, 3, 96, 96), layout, recover=True)
        yield modulate_sample(f"many-channels-{layout}", (2, 200, 2, 4), layout)
        yield modulate_sample(f"one-pixel-{layout}", (3, 40, 1, 1), layout)
        yield modulate_sample(f"one-channel-{layout}", (3, 1, 5, 9), layout)
        yield modulate_sample(f"broadcast-noise-{layout}", (2, 3, 4, 6), layout, (4, 1))
        for left_out in OPTIONS:
            options = tuple(o for o in OPTIONS if left_out not in (o, "noise" if o == "strength" else o))
            yield modulate_sample(f"no-{left_out}-{layout}", (2, 6, 4, 5), layout, options=options, recover=True)
            yield modulate_sample(f"only-{left_out}-{layout}", (2, 6, 4, 5), layout, options=(left_out, "noise"))
    for act in ("linear", "lrelu"):
        yield modulate_sample(f"{act}-scale", (2, 6, 4, 5), options=("s",), act=act)
        yield modulate_sample(f"{act}-scale-recover", (2, 6, 4, 5), options=("s",), act=act, recover=True)
        yield modulate_sample(f"{act}-nothing", (2, 6, 4, 5), options=(), act=act)
        yield modulate_sample(f"{act}-empty", (0, 3, 4, 4), act=act)
        yield modulate_sample(f"{act}-no-pixels", (2, 3, 0, 4), act=act)
        yield modulate_sample(f"{act}-gain", (2, 3, 4, 4), act=act, gain=0.3, clamp=0.4)
    for alpha in (0.0, 1.5):
        yield modulate_sample(f"alpha{alpha}", (2, 3, 4, 4), alpha=alpha, clamp=1.1, recover=True)
    yield modulate_sample("2d", (7, 130), options=("s", "b"), recover=True)
    yield modulate_sample("5d", (2, 3, 2, 3, 4), options=("s", "b"))


def drawn(draw: Draw) -> Sample:
    """Any set of options, every activation that the kernels have, recovered styles or not.

    The gradient of the strength, one sum of everything, may cancel, which half precision does not survive.
    """
    shape = (draw.batch(), draw.width(), draw.size(), draw.width())
    options = tuple(o for o in OPTIONS if draw.boolean())
    if "strength" in options and "noise" not in options:
        options += ("noise",)
    settings = {"act": draw.one_of(["linear", "relu", "lrelu"]), "recover": draw.boolean()}
    settings |= {"gain": draw.one_of([None, 0.3]), "clamp": draw.one_of([None, 0.9, 256.0])}
    if settings["act"] == "lrelu":
        settings["alpha"] = draw.one_of([None, 0.0, 1.5])
    noise = (draw.one_of([1, shape[0]]), 1, shape[2], draw.one_of([1, shape[3]]))
    sample = modulate_sample("drawn", shape, draw.layout(), noise, options, draw.seed(), **settings)
    return replace(sample, half=False)
