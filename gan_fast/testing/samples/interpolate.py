"""Samples of interpolate."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan_fast.testing.sample import LAYOUTS, Sample, randn


def interpolate_sample(name: str, shape: tuple[int, ...], layout: str = "contiguous", offset: int = 3) -> Sample:
    tensors = {f: LAYOUTS[layout](randn(i, *shape)) for i, f in ((18, "a"), (19, "b"))}
    seed = torch.tensor([-5, offset])
    return Sample("interpolate", name, {**tensors, "seed": seed}, {}, layout, differentiable=("a", "b"))


def samples() -> Iterator[Sample]:
    for layout in LAYOUTS:
        yield interpolate_sample(layout, (6, 6, 4, 5), layout)
    for layout in ("contiguous", "channels_last"):
        yield interpolate_sample(f"spans-{layout}", (2, 3, 64, 64), layout, offset=2**40 + 3)
        yield interpolate_sample(f"odd-{layout}", (3, 5, 37, 43), layout)
    yield interpolate_sample("many-short", (70, 3))
    yield interpolate_sample("numbers", (5,))
    yield interpolate_sample("one-pixel", (4, 3, 1, 1))
    yield interpolate_sample("empty", (0, 3, 4, 4))
