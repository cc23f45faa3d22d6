import pytest
import torch

from gan_fast.metrics import frechet_distance


def exact_sample(mean, covariance, n=64):
    """Rows whose sample mean and unbiased covariance are exactly the given ones."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, len(mean), generator=generator, dtype=torch.float64)
    x = x - x.mean(0)
    whiten = torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)))
    return x @ whiten.T @ torch.linalg.cholesky(covariance).T + mean


MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
EYE = torch.eye(3, dtype=torch.float64)
ROTATION = torch.linalg.qr(torch.tensor([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]], dtype=torch.float64))[0]


def test_equal_sets_are_at_zero():
    x = exact_sample(MEAN, EYE)
    assert frechet_distance(x, x) < 1e-12


def test_a_shift_counts_its_square():
    a = exact_sample(MEAN, EYE)
    assert frechet_distance(a, a + torch.tensor([3.0, 0, 4])) == pytest.approx(25)


def test_commuting_covariances():
    # Both diagonal in one rotated basis: the distance is the sum of (sqrt(l_a) - sqrt(l_b))^2.
    la, lb = torch.tensor([1.0, 4, 9], dtype=torch.float64), torch.tensor([16.0, 4, 1], dtype=torch.float64)
    a = exact_sample(MEAN, ROTATION @ la.diag() @ ROTATION.T)
    b = exact_sample(MEAN, ROTATION @ lb.diag() @ ROTATION.T)
    assert frechet_distance(a, b) == pytest.approx(9 + 0 + 4)


def test_covariances_that_do_not_commute():
    # In two dimensions tr(M^(1/2)) = sqrt(tr M + 2 sqrt(det M)).
    sa = torch.tensor([[2.0, 1], [1, 3]], dtype=torch.float64)
    sb = torch.tensor([[1.0, -0.5], [-0.5, 4]], dtype=torch.float64)
    m = sa @ sb
    want = sa.trace() + sb.trace() - 2 * (m.trace() + 2 * m.det().sqrt()).sqrt()
    zero = torch.zeros(2, dtype=torch.float64)
    assert frechet_distance(exact_sample(zero, sa), exact_sample(zero, sb)) == pytest.approx(float(want))


def test_symmetric_and_agrees_with_torchmetrics():
    from torchmetrics.image.fid import _compute_fid

    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(90, 7, generator=generator).double(), torch.rand(70, 7, generator=generator).double()
    want = _compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert frechet_distance(a, b) == pytest.approx(float(want))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_flat_sets_have_a_distance_too():
    a = torch.zeros(5, 4)
    assert frechet_distance(a, a + 1) == pytest.approx(4)


@pytest.mark.parametrize(
    ("a", "b", "named"),
    [
        (torch.zeros(1, 3), torch.zeros(9, 3), "a: expected"),
        (torch.zeros(9, 3), torch.zeros(9, 2), "b: expected 3"),
        (torch.zeros(9, 3), torch.full((9, 3), float("nan")), "b: .*NaN"),
    ],
)
def test_bad_features_are_named(a, b, named):
    with pytest.raises(ValueError, match=named):
        frechet_distance(a, b)
