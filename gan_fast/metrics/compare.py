"""All distances of one feature space, under names that say which it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from gan_fast.data import to_uint8
from gan_fast.metrics.frechet import frechet_distance
from gan_fast.metrics.kernel import kernel_distance
from gan_fast.metrics.neighbours import density_coverage, precision_recall


def compare(space: str, real: Tensor, fake: Tensor) -> dict[str, float]:
    """Distances and neighbourhoods of features [N, K] and [M, K].

    Returns:
        samples: M; fd_<space>: Frechet distance; kd_<space>: kernel distance; precision, recall (k = 3); density,
        coverage (k = 5).
    """
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    return {
        "samples": len(fake),
        f"fd_{space}": frechet_distance(real, fake),
        f"kd_{space}": kernel_distance(real, fake),
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
