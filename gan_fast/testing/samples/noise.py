"""Samples of noise."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan_fast.testing.sample import Draw, Sample


def _noise_sample(name: str, shape: tuple[int, ...], seed: int, offset: int) -> Sample:
    tensors = {"strength": torch.tensor(1.3, dtype=torch.float64), "seed": torch.tensor([seed, offset])}
    count = max(torch.Size(shape).numel(), 1)
    reductions = {"strength": 4 * count, "dy": 4, "y": 1}  # numbers reach 5.8, and so does their error
    return Sample("noise", name, tensors, {"shape": list(shape)}, differentiable=("strength",), reductions=reductions)


def samples() -> Iterator[Sample]:
    for shape in ((2, 1, 8, 8), (3, 1, 5, 7), (1,), (1031,), (2, 1, 64, 80), (), (0, 3)):
        for seed, offset in ((0, 0), (-5, 2**40 + 3)):
            yield _noise_sample(f"{'x'.join(map(str, shape)) or 'scalar'}-{seed}", shape, seed, offset)


def drawn(draw: Draw) -> Sample:
    """Any shape, seed and offset."""
    seed, offset = (draw.integer(-(2**63), 2**63 - 1) for _ in range(2))
    return _noise_sample("drawn", draw.shape(), seed, offset)
