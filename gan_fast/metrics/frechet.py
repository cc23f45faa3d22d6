"""The Frechet distance between two sets of features, each taken as a Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor]  # mean [K] and covariance [K, K], float64


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with the means mu and unbiased covariances S of a and b.

    tr((S_a S_b)^(1/2)) is the sum of the singular values of S_a^(1/2) S_b^(1/2), so only symmetric square roots are
    taken; everything runs in float64. The expectation over finite samples is above zero even for equal
    distributions: compare only values at the same number of samples.

    Args:
        a: features [N, K].
        b: features [M, K].

    Raises:
        ValueError: not two matrices of equal width, fewer than two rows, or values that are not finite.

    Source: D. C. Dowson and B. V. Landau, The Frechet distance between multivariate normal distributions (1982), and
    Heusel et al., arXiv 1706.08500, equation 6.
    """
    check_features(a, b)
    return distance_of_moments(*((x.mean(0), torch.atleast_2d(torch.cov(x.T))) for x in (a.double(), b.double())))


def distance_of_moments(a: Moments, b: Moments) -> float:
    """`frechet_distance` of two sets of which only these are left."""
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    cross = torch.linalg.svdvals(_square_root(cov_a) @ _square_root(cov_b)).sum()
    return max(float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross), 0.0)


def check_features(a: Tensor, b: Tensor) -> None:
    """Raise ValueError unless a and b are finite matrices of equal width with two rows at least."""
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"{name}: expected features [N >= 2, K], got shape {tuple(x.shape)}")
        if not torch.isfinite(x).all():
            raise ValueError(f"{name}: the features hold NaN or infinity")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"b: expected {a.shape[1]} features a row as in a, got {b.shape[1]}")


def _square_root(s: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
