import pytest
import torch

from gan_fast.metrics import density_coverage, precision_recall


def line(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_by_hand_on_a_line():
    # k = 1: radii of the reals 0, 1, 3 are 1, 1, 2; of the fakes 0.5, 10, 10.1 they are 9.5, 0.1, 0.1.
    real, fake = line(0, 1, 3), line(0.5, 10, 10.1)
    assert precision_recall(real, fake, k=1) == pytest.approx((1 / 3, 1))
    # 0.5 lies in the balls of 0 and 1, not in that of 3 (reaching from 1 to 5): 2 pairs of k M = 3.
    assert density_coverage(real, fake, k=1) == pytest.approx((2 / 3, 2 / 3))


def gaussian(n, seed, dim=8):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_equal_distributions_score_high():
    precision, recall = precision_recall(gaussian(400, 0), gaussian(400, 1))
    density, coverage = density_coverage(gaussian(400, 0), gaussian(400, 1))
    assert min(precision, recall) > 0.7
    assert density == pytest.approx(1, abs=0.15)
    assert coverage > 0.9


def test_a_collapsed_generator_is_seen_by_recall_and_coverage_alone():
    real = gaussian(400, 0)
    fake = real[:4].repeat(100, 1) + 0.01 * gaussian(400, 1)
    precision, recall = precision_recall(real, fake)
    _, coverage = density_coverage(real, fake)
    assert precision == 1
    assert recall < 0.05
    assert coverage < 0.2


def test_noise_is_seen_by_precision_and_density():
    real, fake = gaussian(400, 0), 4 * gaussian(400, 1)
    assert precision_recall(real, fake)[0] < 0.1
    assert density_coverage(real, fake)[0] < 0.1


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_bad_features_are_named(metric):
    with pytest.raises(ValueError, match="fake: expected features"):
        metric(torch.zeros(9, 3), torch.zeros(3, 3), k=3)
    with pytest.raises(ValueError, match="fake: expected 3"):
        metric(torch.zeros(9, 3), torch.zeros(9, 2))
