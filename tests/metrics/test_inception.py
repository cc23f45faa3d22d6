import math

import pytest
import torch

from gan_fast.metrics import InceptionScore


def score(*batches):
    found = InceptionScore()
    for batch in batches:
        found.add(batch)
    return found.value()


def test_by_hand():
    """Sure of each image, all classes alike: as many as there are. Never sure, or one class only: 1."""
    assert score(torch.eye(4).repeat_interleave(10, 0)) == pytest.approx((4, 0))
    assert score(torch.full((40, 4), 0.25)) == pytest.approx((1, 0))
    assert score(torch.eye(4)[:1].repeat(40, 1)) == pytest.approx((1, 0))


def test_agrees_with_the_definition():
    p = torch.rand(200, 7, generator=torch.Generator().manual_seed(1)).double().pow(3)
    p = p / p.sum(1, keepdim=True)
    kls = []
    for split in range(10):
        q = p[split::10]
        kls.append(math.exp((q * (q / q.mean(0)).log()).sum(1).mean()))
    mean, spread = score(p)
    assert mean == pytest.approx(sum(kls) / 10)
    assert spread == pytest.approx(float(torch.tensor(kls).std(correction=0)), rel=1e-5)
    assert score(*p.split(33)) == pytest.approx((mean, spread))


def test_bad_probabilities_are_named():
    with pytest.raises(ValueError, match="add up to 1, got shape"):
        score(torch.ones(3, 4))
    with pytest.raises(ValueError, match="at least 10 images, got 4"):
        score(torch.eye(4))
