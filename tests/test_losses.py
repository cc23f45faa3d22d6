import math

import pytest
import torch

from gan_fast.losses import logistic_discriminator, logistic_generator


def test_values(device):
    zero = torch.zeros(4, 1, device=device)
    assert logistic_discriminator(zero, zero).tolist() == pytest.approx([2 * math.log(2)] * 4)
    assert logistic_generator(zero).tolist() == pytest.approx([math.log(2)] * 4)
    sure = torch.full((4, 1), 50.0, device=device)
    assert logistic_discriminator(sure, -sure).max() < 1e-6
    assert logistic_discriminator(-sure, -sure).tolist() == pytest.approx([50.0] * 4)


def test_they_are_the_cross_entropy(device):
    real, fake = torch.randn(2, 5, 1, device=device, dtype=torch.float64)
    want = -torch.log(torch.sigmoid(real)) - torch.log(1 - torch.sigmoid(fake))
    torch.testing.assert_close(logistic_discriminator(real, fake), want[:, 0])


def test_the_generators_gradient_does_not_vanish(device):
    logits = torch.tensor([[-40.0]], device=device, requires_grad=True)
    logistic_generator(logits).sum().backward()
    assert logits.grad.item() == pytest.approx(-1)


def test_maps_of_logits_count_as_their_mean(device):
    real, fake = torch.randn(2, 3, 1, 4, 4, device=device)
    want = torch.stack(
        [logistic_discriminator(r.reshape(-1, 1), f.reshape(-1, 1)).mean() for r, f in zip(real, fake, strict=True)]
    )
    torch.testing.assert_close(logistic_discriminator(real, fake), want)
    assert logistic_generator(fake).shape == (3,)
