import math

import pytest
import torch

from gan_fast.losses import logistic_discriminator, logistic_generator, mode_seeking


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


def test_mode_seeking_by_hand(device):
    x = torch.tensor([0.0, 0, 0.5, 2], device=device).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)
    z = torch.tensor([[0.0, 0], [1, 1], [1, 1], [0, 4]], device=device)
    # Pairs (0, 2): images 0.5 apart, latents 1; (1, 3): images 2 apart, latents 2.
    assert mode_seeking(x, z, eps=0.0).tolist() == pytest.approx([2, 1])


def test_mode_seeking_pushes_apart_what_has_collapsed(device):
    collapsed = 1e-3 * torch.randn(8, 1, 4, 4, device=device)
    z = torch.randn(8, 3, device=device)
    gradients = []
    for x in (collapsed, torch.randn(8, 1, 4, 4, device=device)):
        x = x.requires_grad_()
        mode_seeking(x, z).sum().backward()
        gradients.append(x.grad.abs().mean())
        assert mode_seeking(x - 0.01 * x.grad.sign(), z).sum() < mode_seeking(x, z).sum()
    assert gradients[0] > 100 * gradients[1]


def test_mode_seeking_needs_pairs(device):
    with pytest.raises(ValueError, match="even numbers of rows, got 3 and 3"):
        mode_seeking(torch.zeros(3, 1, 4, 4, device=device), torch.zeros(3, 2, device=device))
