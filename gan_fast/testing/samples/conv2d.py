"""Samples of conv2d: PyTorch's own algorithms take the small ones, Winograd's those of 32 channels and 64 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gan_fast.testing.sample import Sample, randn


def _conv2d_sample(
    name: str, x: tuple[int, ...], w: tuple[int, ...], layout: str = "contiguous", **settings: Any
) -> Sample:
    summed = {"y": w[1] * w[2] * w[3], "x": w[0] * w[2] * w[3], "w": x[0] * x[2] * x[3], "dy": 2 * w[1] * w[2] * w[3]}
    tensors = {"x": randn(21, *x), "w": randn(22, *w)}
    return Sample("conv2d", name, tensors, settings, layout, ("x", "w"), summed)


def samples() -> Iterator[Sample]:
    yield _conv2d_sample("3x3", (2, 3, 7, 6), (4, 3, 3, 3), padding=1)
    yield _conv2d_sample("1x1", (2, 3, 5, 6), (4, 3, 1, 1))
    yield _conv2d_sample("1x1-padded", (2, 3, 5, 6), (4, 3, 1, 1), padding=1)
    yield _conv2d_sample("5x2", (2, 3, 7, 6), (4, 3, 5, 2), padding=(2, 1))
    yield _conv2d_sample("stride2", (2, 3, 8, 9), (4, 3, 3, 3), stride=2, padding=1)
    yield _conv2d_sample("stride3", (2, 3, 8, 9), (4, 3, 3, 3), stride=3)
    yield _conv2d_sample("groups", (2, 6, 7, 6), (4, 3, 3, 3), padding=1, groups=2)
    for layout in ("contiguous", "channels_last", "sliced", "expanded"):
        yield _conv2d_sample(f"winograd2-{layout}", (2, 32, 9, 10), (33, 32, 3, 3), layout, padding=1)
        yield _conv2d_sample(f"winograd4-{layout}", (1, 35, 18, 17), (48, 35, 3, 3), layout, padding=1)
    yield _conv2d_sample("winograd2-unpadded", (2, 32, 12, 11), (32, 32, 3, 3))
    yield _conv2d_sample("winograd2-padded-more", (1, 32, 8, 7), (32, 32, 3, 3), padding=(3, 2))
    yield _conv2d_sample("winograd4-wide", (1, 32, 5, 66), (32, 32, 3, 3), padding=1)
