"""Samples of minibatch_stddev."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from gan_fast.testing.sample import LAYOUTS, Draw, Sample, randn


def _stddev_sample(
    name: str,
    shape: tuple[int, ...],
    layout: str = "contiguous",
    labels: list[int] | None = None,
    seed: int = 13,
    **settings: Any,
) -> Sample:
    n, c, h, w = shape
    # samples apart from each other: near a sigma of 0 second derivatives are differences of almost equal numbers
    apart = torch.arange(n, dtype=torch.float64)[:, None, None, None]
    x = LAYOUTS[layout](0.3 * randn(seed, *shape) + apart)
    tensors = {"x": x} if labels is None else {"x": x, "labels": torch.tensor(labels)}
    values = max(c // settings.get("num_channels", 1) * h * w, 1)
    members = min(settings.get("group_size", 4) or n, n)
    reductions = {"y": values, "x": members * max(h * w, 1), "dy": values}
    return Sample("minibatch_stddev", name, tensors, settings, layout, reductions=reductions)


def samples() -> Iterator[Sample]:
    for layout in LAYOUTS:
        yield _stddev_sample(f"{layout}", (8, 6, 4, 5), layout, num_channels=2)
    for layout in ("contiguous", "channels_last"):
        yield _stddev_sample(f"end-{layout}", (8, 512, 4, 4), layout)
        yield _stddev_sample(f"labels-{layout}", (9, 6, 3, 4), layout, [2, 0, 2, 2, 7, 0, 2, 2, -1], num_channels=3)
        yield _stddev_sample(f"odd-{layout}", (6, 35, 5, 7), layout, group_size=3, num_channels=5)
        yield _stddev_sample(f"large-{layout}", (4, 24, 32, 33), layout, num_channels=2)
        yield _stddev_sample(f"wide-{layout}", (4, 1100, 2, 1), layout, group_size=2)
    yield _stddev_sample("whole-batch", (7, 4, 2, 3), group_size=None)
    yield _stddev_sample("no-divisor", (7, 4, 2, 3), group_size=4)
    yield _stddev_sample("many", (40, 3, 2, 2), group_size=20)
    yield _stddev_sample("labels-whole-class", (6, 4, 2, 3), "contiguous", [1, 0, 1, 1, 0, 1], group_size=None)
    yield _stddev_sample("labels-one-class", (5, 4, 2, 3), "contiguous", [3] * 5, group_size=2)
    yield _stddev_sample("one-sample", (1, 4, 3, 3))
    yield _stddev_sample("one-channel", (4, 1, 3, 3), "channels_last", group_size=2)
    yield _stddev_sample("one-pixel", (4, 6, 1, 1), num_channels=3)
    yield _stddev_sample("no-pixels", (4, 6, 0, 3))


def drawn(draw: Draw) -> Sample:
    """Any batch, group size, number of channels, and classes or none.

    Groups of neighbours are close to each other, where second derivatives are differences of almost equal numbers.
    """
    n, channels = draw.integer(1, 9), draw.integer(1, 3)
    shape = (n, draw.size() * channels, draw.integer(1, 9), draw.width())
    labels = [draw.integer(-1, 2) for _ in range(n)] if draw.boolean() else None
    settings = {"group_size": draw.one_of([None, 1, 2, 3, 4, 7]), "num_channels": channels}
    layout = draw.layout("expanded")  # equal samples: sigma is 0, and not smooth
    return replace(_stddev_sample("drawn", shape, layout, labels, draw.seed(), **settings), order=1)
