"""Mixtures in the plane."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from gan_fast.data.mixtures import Mixture, grid, line, ring


@pytest.mark.parametrize("mixture", [ring(), grid(), line()])
def test_samples(mixture):
    points, modes = mixture.sample(20000, torch.Generator().manual_seed(0))
    shares = torch.bincount(modes) / 20000
    assert shares.min() > 0.8 / len(mixture.centres)
    errors = points - mixture.centres[modes]
    assert errors.std().item() == pytest.approx(mixture.std, rel=0.02)
    assert mixture.modes_covered(points) == len(mixture.centres)
    assert mixture.counts(points).sum() / 20000 == pytest.approx(1 - math.exp(-4.5), abs=0.003)


def test_centres():
    assert len(ring().centres) == 8
    torch.testing.assert_close(ring().centres.norm(dim=1), torch.full([8], 2.0))
    assert grid().centres.min() == -4
    assert len(grid(3).centres) == 9
    assert line(3, length=2.0).centres.tolist() == [[-1, 0], [0, 0], [1, 0]]


def test_log_prob():
    mixture = Mixture(torch.tensor([[0.0, 0], [1, 2], [-1, 0]]), 0.7)
    normals = MultivariateNormal(mixture.centres, 0.49 * torch.eye(2))
    points = torch.randn(10, 2)
    want = MixtureSameFamily(Categorical(torch.ones(3)), normals).log_prob(points)
    torch.testing.assert_close(mixture.log_prob(points), want)


def test_modes_that_no_point_is_near_are_not_covered():
    mixture = ring(4, radius=1.0, std=0.1)
    points = torch.tensor([[1.0, 0.0], [1.2, 0.1], [0.0, 0.69], [-0.95, 0.0], [0.0, 0.0]])
    assert mixture.counts(points).tolist() == [2, 0, 1, 0]
    assert mixture.modes_covered(points) == 2
