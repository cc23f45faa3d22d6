"""Samples of interpolate."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan_fast.testing.sample import LAYOUTS, Draw, Sample, randn


def _interpolate_sample(
    name: str, shape: tuple[int, ...], layout: str = "contiguous", offset: int = 3, drawn: int = 18
) -> Sample:
    tensors = {end: LAYOUTS[layout](randn(drawn + i, *shape)) for i, end in enumerate("ab")}
    seed = torch.tensor([-5, offset])
    return Sample("interpolate", name, {**tensors, "seed": seed}, {}, layout, differentiable=("a", "b"))


def samples() -> Iterator[Sample]:
    for layout in LAYOUTS:
        yield _interpolate_sample(layout, (6, 6, 4, 5), layout)
    for layout in ("contiguous", "channels_last"):
        yield _interpolate_sample(f"spans-{layout}", (2, 3, 64, 64), layout, offset=2**40 + 3)
        yield _interpolate_sample(f"odd-{layout}", (3, 5, 37, 43), layout)
    yield _interpolate_sample("many-short", (70, 3))
    yield _interpolate_sample("numbers", (5,))
    yield _interpolate_sample("one-pixel", (4, 3, 1, 1))
    yield _interpolate_sample("empty", (0, 3, 4, 4))


def drawn(draw: Draw) -> Sample:
    """Batches of any size, in every layout, under any offset."""
    shape, offset = (draw.integer(0, 9), draw.size(), draw.size(), draw.width()), draw.integer(-(2**63), 2**63 - 1)
    return _interpolate_sample("drawn", shape, draw.layout(), offset, draw.seed())
