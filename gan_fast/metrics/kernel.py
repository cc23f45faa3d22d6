"""The kernel distance between two sets of features: the squared maximum mean discrepancy, without bias."""

from __future__ import annotations

from torch import Tensor

from gan_fast.metrics.frechet import check_features


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """mean k(a_i, a_j) + mean k(b_i, b_j) - 2 mean k(a_i, b_j), i != j in the first two.

    The kernel is k(x, y) = (x.y / K + 1)^3; all samples are compared at once, in float64. The expectation does not
    depend on their number and is 0 for equal distributions, so that a value may be negative. In Inception's features
    this is KID.

    Args:
        a: features [N, K].
        b: features [M, K].

    Raises:
        ValueError: not two matrices of equal width, fewer than two rows, or values that are not finite.

    Source: Binkowski et al., Demystifying MMD GANs, arXiv 1801.01401, section 4; Gretton et al. (2012), equation 3.
    """
    check_features(a, b)
    a, b = a.double(), b.double()
    within = (_mean_of_others(_kernel(x, x)) for x in (a, b))
    return float(sum(within) - 2 * _kernel(a, b).mean())


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_of_others(k: Tensor) -> Tensor:
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))
