"""Samples of square_sum."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gan_fast.testing.sample import LAYOUTS, Draw, Sample, randn


def _square_sum_sample(name: str, shape: tuple[int, ...], layout: str = "contiguous", seed: int = 17) -> Sample:
    # of about unit length, as the sums that half precision is judged by
    elements = max(math.prod(shape[1:]), 1)
    x = LAYOUTS[layout](randn(seed, *shape) / math.sqrt(elements))
    return Sample("square_sum", name, {"x": x}, {}, layout, reductions={"y": elements, "dy": elements})


def samples() -> Iterator[Sample]:
    for layout in LAYOUTS:
        yield _square_sum_sample(layout, (3, 6, 4, 5), layout)
    for layout in ("contiguous", "channels_last"):
        yield _square_sum_sample(f"spans-{layout}", (2, 3, 64, 64), layout)
        yield _square_sum_sample(f"odd-{layout}", (3, 5, 37, 43), layout)
    yield _square_sum_sample("one-long", (1, 70001))
    yield _square_sum_sample("many-short", (70, 3))
    yield _square_sum_sample("numbers", (5,))
    yield _square_sum_sample("ws", (4, 6, 32))
    yield _square_sum_sample("5d", (2, 3, 2, 3, 4))
    yield _square_sum_sample("one-pixel", (4, 3, 1, 1))
    yield _square_sum_sample("no-pixels", (4, 3, 0, 2))
    yield _square_sum_sample("empty", (0, 3, 4, 4))


def drawn(draw: Draw) -> Sample:
    """Samples of any rank and size, of four dimensions in every layout, also longer than a span or a tile."""
    shape = draw.shape()
    return _square_sum_sample("drawn", shape, draw.layout() if len(shape) == 4 else "contiguous", draw.seed())
