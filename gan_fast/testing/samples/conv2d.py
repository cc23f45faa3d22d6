"""Samples of conv2d: PyTorch's own algorithms take the small ones, Winograd's those of 32 channels and 64 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gan_fast.testing.sample import LAYOUTS, Draw, Sample, randn


def _conv2d_sample(
    name: str, x: tuple[int, ...], w: tuple[int, ...], layout: str = "contiguous", seed: int = 21, **settings: Any
) -> Sample:
    summed = {"y": w[1] * w[2] * w[3], "x": w[0] * w[2] * w[3], "w": x[0] * x[2] * x[3], "dy": 2 * w[1] * w[2] * w[3]}
    tensors = {"x": LAYOUTS[layout](randn(seed, *x)), "w": randn(seed + 1, *w)}
    return Sample("conv2d", name, tensors, settings, layout, ("x", "w"), summed)


def samples() -> Iterator[Sample]:
    yield _conv2d_sample("3x3", (2, 3, 7, 6), (4, 3, 3, 3), padding=1)
    yield _conv2d_sample("1x1", (2, 3, 5, 6), (4, 3, 1, 1))
    yield _conv2d_sample("1x1-padded", (2, 3, 5, 6), (4, 3, 1, 1), padding=1)
    yield _conv2d_sample("5x2", (2, 3, 7, 6), (4, 3, 5, 2), padding=(2, 1))
    yield _conv2d_sample("stride2", (2, 3, 8, 9), (4, 3, 3, 3), stride=2, padding=1)
    yield _conv2d_sample("stride3", (2, 3, 8, 9), (4, 3, 3, 3), stride=3)
    yield _conv2d_sample("groups", (2, 6, 7, 6), (4, 3, 3, 3), padding=1, groups=2)
    for layout in LAYOUTS:
        yield _conv2d_sample(f"winograd2-{layout}", (2, 32, 9, 10), (33, 32, 3, 3), layout, padding=1)
        yield _conv2d_sample(f"winograd4-{layout}", (1, 35, 18, 17), (48, 35, 3, 3), layout, padding=1)
    yield _conv2d_sample("winograd2-unpadded", (2, 32, 12, 11), (32, 32, 3, 3))
    yield _conv2d_sample("winograd2-padded-more", (1, 32, 8, 7), (32, 32, 3, 3), padding=(3, 2))
    yield _conv2d_sample("winograd4-wide", (1, 32, 5, 66), (32, 32, 3, 3), padding=1)


def drawn(draw: Draw) -> Sample:
    """Kernels of 1 to 5 by 1 to 5, any stride, padding and groups; or 3x3 of as many channels as Winograd's take."""
    layout, seed = draw.layout(), draw.seed()
    if draw.boolean():
        channels, height, width = draw.integer(32, 40), draw.integer(6, 20), draw.integer(11, 20)
        x, w = (draw.integer(1, 2), channels, height, width), (draw.integer(32, 40), channels, 3, 3)
        return _conv2d_sample("drawn", x, w, layout, seed, padding=(draw.integer(0, 3), draw.integer(0, 3)))
    groups, kernel = draw.one_of([1, 1, 2, 3]), (draw.integer(1, 5), draw.integer(1, 5))
    shape = [max(draw.size(), k) for k in kernel]
    x = (draw.integer(1, 3), groups * draw.integer(1, 8), *shape)
    w = (groups * draw.integer(1, 8), x[1] // groups, *kernel)
    padding = (draw.integer(0, 3), draw.integer(0, 3))
    return _conv2d_sample("drawn", x, w, layout, seed, stride=draw.integer(1, 3), padding=padding, groups=groups)
