"""Fidelity and variety from nearest neighbours: balls around each sample stand for its distribution's support."""

from __future__ import annotations

import torch
from torch import Tensor


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall.

    B_k(x; X) is the ball around x that reaches to its k-th nearest other point of X.
    precision = share of the fakes in the union of B_k(x; real); recall = share of the reals in the union of
    B_k(y; fake). Recall falls when the generator leaves out part of the data: it is what shows a collapse.

    Args:
        real: features [N, K].
        fake: features [M, K].
        k: neighbour that sets the radius.

    Raises:
        ValueError: shapes do not agree, or either set has k samples or fewer.

    Source: Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991, equations 1 and 2.
    """
    distance = _distances(real, fake, k)
    precision = (distance <= _radii(real, k)[:, None]).any(0).double().mean()
    recall = (distance <= _radii(fake, k)[None, :]).any(1).double().mean()
    return float(precision), float(recall)


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage.

    density = number of (real ball, fake inside it) pairs / (k M), which may pass 1; coverage = share of the reals
    whose ball B_k(x; real) holds a fake. Both use balls of the reals alone, so outliers among the fakes widen nothing.

    Args, errors: as `precision_recall`.

    Source: Naeem et al., Reliable Fidelity and Diversity Metrics, arXiv 2002.09797, section 3.
    """
    inside = _distances(real, fake, k) <= _radii(real, k)[:, None]
    return float(inside.double().sum() / (k * len(fake))), float(inside.any(1).double().mean())


def _distances(real: Tensor, fake: Tensor, k: int) -> Tensor:
    for name, x in (("real", real), ("fake", fake)):
        if x.ndim != 2 or len(x) <= k:
            raise ValueError(f"{name}: expected features [N > k = {k}, K], got shape {tuple(x.shape)}")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"fake: expected {real.shape[1]} features a row as in real, got {fake.shape[1]}")
    return _pairwise(real, fake)


def _radii(x: Tensor, k: int) -> Tensor:
    # The nearest point is the point itself, hence k + 1.
    return _pairwise(x, x).kthvalue(k + 1, dim=1).values


def _pairwise(a: Tensor, b: Tensor) -> Tensor:
    # The matrix-product form of the distance loses small differences.
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
