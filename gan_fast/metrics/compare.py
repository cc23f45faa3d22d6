"""All distances of one feature space, under names that say which it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from gan_fast.data import to_uint8
from gan_fast.metrics.features import Features
from gan_fast.metrics.frechet import distance_of_moments
from gan_fast.metrics.kernel import kernel_distance
from gan_fast.metrics.neighbours import density_coverage, precision_recall


def compare(space: str, real: Features, fake: Features) -> dict[str, float]:
    """Distances and neighbourhoods of two sets of features.

    Returns:
        samples: how many fakes; fd_<space>: Frechet distance, of all; and of the first `features.KEPT` of each
        kd_<space>: kernel distance; precision, recall (k = 3); density, coverage (k = 5).
    """
    precision, recall = precision_recall(real.first, fake.first)
    density, coverage = density_coverage(real.first, fake.first)
    return {
        "samples": fake.count,
        f"fd_{space}": distance_of_moments((real.mean, real.covariance), (fake.mean, fake.covariance)),
        f"kd_{space}": kernel_distance(real.first, fake.first),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def as_bytes(x: Tensor | Iterable[Tensor], channels: int) -> Iterator[Tensor]:
    """Images [N, channels, H, W], or batches of them, nominally in [-1, 1] -> the batches in uint8, on the CPU.

    Raises:
        ValueError: another number of channels, NaN or infinity.
    """
    for batch in [x] if isinstance(x, Tensor) else x:
        if batch.ndim != 4 or batch.shape[1] != channels:
            raise ValueError(f"x: expected images [N, {channels}, H, W], got shape {tuple(batch.shape)}")
        if not torch.isfinite(batch).all():
            raise ValueError("x: the images hold NaN or infinity")
        yield to_uint8(batch).cpu()
