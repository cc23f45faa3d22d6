import numpy as np
import pytest
import torch

from gan_fast.metrics import kernel_distance


def gaussian(n, seed, shift=0.0, dim=6):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) + shift


def by_definition(a, b):
    """Sums over pairs, in NumPy."""

    def k(x, y):
        return (np.dot(x, y) / len(x) + 1) ** 3

    def within(x):
        return np.mean([k(p, q) for i, p in enumerate(x) for j, q in enumerate(x) if i != j])

    return within(a) + within(b) - 2 * np.mean([k(p, q) for p in a for q in b])


def test_agrees_with_its_definition():
    a, b = gaussian(13, 0), gaussian(9, 1, shift=0.5)
    assert kernel_distance(a, b) == pytest.approx(by_definition(a.double().numpy(), b.double().numpy()), rel=1e-12)


def test_the_expectation_does_not_depend_on_the_number_of_samples():
    """Of equal distributions the mean over many pairs of small sets is 0 within three of its standard errors."""
    values = torch.tensor([kernel_distance(gaussian(8, 2 * i), gaussian(8, 2 * i + 1)) for i in range(300)])
    assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
    assert kernel_distance(gaussian(200, 0), gaussian(200, 1, shift=1.0)) > 20 * values.std() / len(values) ** 0.5


def test_bad_features_are_named():
    with pytest.raises(ValueError, match="b: expected 3"):
        kernel_distance(torch.zeros(9, 3), torch.zeros(9, 2))
