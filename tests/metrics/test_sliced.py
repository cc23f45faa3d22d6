import math

import pytest
import torch

from gan_fast.metrics import sliced_wasserstein


def points(seed, n=500):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_of_points_that_were_moved():
    real = points(0)
    moved = real[torch.randperm(500)] + torch.tensor([3.0, -4.0])
    # Over equally spaced angles the mean of |cos| is 2 / pi but for O(1 / K^2).
    assert sliced_wasserstein(real, moved, 256) == pytest.approx(5 * 2 / math.pi, rel=1e-4)
    assert sliced_wasserstein(real, moved) == sliced_wasserstein(moved, real)
    assert sliced_wasserstein(real, real.flip(0)) == 0


def test_of_points_that_were_scaled():
    """Each projection of a normal distribution is one: W1 of N(0, 1) and N(0, s^2) is |s - 1| E|x|."""
    real = points(0, 20000)
    assert sliced_wasserstein(real, 3 * real) == pytest.approx(2 * math.sqrt(2 / math.pi), rel=0.02)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\[500, 2\] and \[499, 2\]"):
        sliced_wasserstein(points(0), points(1, 499))
