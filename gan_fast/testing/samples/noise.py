"""Samples of noise."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan_fast.testing.sample import Sample


def samples() -> Iterator[Sample]:
    for shape in ((2, 1, 8, 8), (3, 1, 5, 7), (1,), (1031,), (2, 1, 64, 80), (), (0, 3)):
        for seed, offset in ((0, 0), (-5, 2**40 + 3)):
            strength = torch.tensor(1.3, dtype=torch.float64)
            name = f"{'x'.join(map(str, shape)) or 'scalar'}-{seed}"
            tensors = {"strength": strength, "seed": torch.tensor([seed, offset])}
            count = max(torch.Size(shape).numel(), 1)
            # numbers reach 5.8, and so does their error
            reductions = {"strength": 4 * count, "dy": 4, "y": 1}
            yield Sample(
                "noise", name, tensors, {"shape": list(shape)}, differentiable=("strength",), reductions=reductions
            )
