import dataclasses
import math

import numpy as np
import pytest
import torch

from gan_fast.losses import (
    OBJECTIVES,
    began_control,
    began_discriminator,
    ebgan_discriminator,
    logistic_discriminator,
    logistic_generator,
    minimax_generator,
    mode_seeking,
    pulling_away,
    reconstruction_error,
)

assert_close = torch.testing.assert_close


def log_sigmoid(x):
    return -np.log(1 + np.exp(-x))


K = 0.3  # began's k
# name: (the generator's loss of fakes and reals, the discriminator's of reals and fakes), from the papers
FORMULAS = {
    "minimax": (
        lambda f, r: np.log(1 - 1 / (1 + np.exp(-f))),
        lambda r, f: -log_sigmoid(r) - np.log(1 - 1 / (1 + np.exp(-f))),
    ),
    "logistic": (lambda f, r: -log_sigmoid(f), lambda r, f: -log_sigmoid(r) - log_sigmoid(-f)),
    "least_squares": (lambda f, r: (f - 1) ** 2 / 2, lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2),
    "absolute": (lambda f, r: abs(f - 1), lambda r, f: abs(r - 1) + abs(f)),
    "wasserstein": (lambda f, r: -f, lambda r, f: f - r),
    "hinge": (lambda f, r: -f, lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f)),
    "relativistic": (lambda f, r: -log_sigmoid(f - r), lambda r, f: -log_sigmoid(r - f)),
    "ebgan": (lambda f, r: f, lambda r, f: r + np.maximum(0, 1 - f)),
    "began": (lambda f, r: f, lambda r, f: r - K * f),
}


def k_of(objective):
    return [K] if objective.needs_k else []


@pytest.mark.parametrize("shape", [(5, 1), (5, 1, 3, 4)], ids=["logits", "maps"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_by_their_formulas(name, shape, device):
    objective, (generator, discriminator) = OBJECTIVES[name], FORMULAS[name]
    real, fake = 2 * torch.randn(2, *shape, dtype=torch.float64, device=device)
    r, f = real.cpu().numpy(), fake.cpu().numpy()
    for got, want in [
        (objective.generator(fake, real if objective.needs_real else None), generator(f, r)),
        (objective.discriminator(real, fake, *k_of(objective)), discriminator(r, f)),
    ]:
        assert got.shape == (5,)
        np.testing.assert_allclose(got.cpu(), want.reshape(5, -1).mean(1), rtol=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_player_gains_where_it_should(name, device):
    """D by telling real from fake, G by what D calls real; an energy is low where it is real."""
    real, fake = torch.full((2, 4, 1), 0.3, device=device).unbind()
    real.requires_grad_(), fake.requires_grad_()
    objective = OBJECTIVES[name]
    sign = -1 if objective.energy else 1
    d_real, d_fake = torch.autograd.grad(objective.discriminator(real, fake, *k_of(objective)).sum(), [real, fake])
    (g_fake,) = torch.autograd.grad(objective.generator(fake, real).sum(), [fake])
    assert (sign * d_real < 0).all()
    assert (sign * d_fake > 0).all()
    assert (sign * g_fake < 0).all()


def test_limits_of_the_minimax_game(device):
    """The discriminator's value V = E log D(x) + E log(1 - D(G(z))) is minus its loss."""
    half = torch.zeros(4, 1, device=device)
    sure = torch.full((4, 1), 50.0, device=device)
    d = OBJECTIVES["minimax"].discriminator
    assert d(sure, -sure).max() < 1e-6  # right: log 1 + log 1
    assert (-d(-1e30 * sure, -sure)).max() < -1e30  # real called fake: log 0
    assert (-d(half, half)).tolist() == pytest.approx([-2 * math.log(2)] * 4)
    assert logistic_generator(half).tolist() == pytest.approx([math.log(2)] * 4)


@pytest.mark.parametrize(("loss", "gradient"), [(minimax_generator, 0), (logistic_generator, -1)])
def test_where_d_is_sure_only_the_non_saturating_gradient_is_left(loss, gradient, device):
    logits = torch.tensor([[-40.0]], device=device, requires_grad=True)
    loss(logits).sum().backward()
    assert logits.grad.item() == pytest.approx(gradient, abs=1e-6)


def test_relativistic_losses_see_differences_only(device):
    real, fake = torch.randn(2, 3, 1, device=device, dtype=torch.float64)
    objective = OBJECTIVES["relativistic"]
    assert_close(objective.discriminator(real + 7, fake + 7), objective.discriminator(real, fake))
    assert_close(objective.generator(fake + 7, real + 7), objective.generator(fake, real))
    assert [name for name, o in OBJECTIVES.items() if o.needs_real] == ["relativistic"]
    assert [name for name, o in OBJECTIVES.items() if o.needs_k] == ["began"]


def test_an_objective_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        OBJECTIVES["hinge"].needs_real = True


def test_maps_of_logits_count_as_their_mean(device):
    real, fake = torch.randn(2, 3, 1, 4, 4, device=device)
    want = torch.stack(
        [logistic_discriminator(r.reshape(-1, 1), f.reshape(-1, 1)).mean() for r, f in zip(real, fake, strict=True)]
    )
    torch.testing.assert_close(logistic_discriminator(real, fake), want)
    assert logistic_generator(fake).shape == (3,)


# ---------------------------------------------------------------- energies


def test_reconstruction_error(device):
    x, y = torch.randn(2, 3, 2, 4, 4, device=device, dtype=torch.float64)
    for power in (1, 2):
        want = (np.abs((x - y).cpu().numpy()) ** power).mean((1, 2, 3))[:, None]
        np.testing.assert_allclose(reconstruction_error(x, y, power).cpu(), want)


def test_fakes_beyond_the_margin_are_left_alone(device):
    real, fake = torch.zeros(3, 1, device=device), torch.tensor([[1.0], [4.0], [9.0]], device=device).requires_grad_()
    loss = ebgan_discriminator(real, fake, margin=5)
    assert loss.tolist() == [4, 1, 0]
    loss.sum().backward()
    assert fake.grad[:, 0].tolist() == [-1, -1, 0]


def test_pulling_away(device):
    s = torch.randn(5, 7, device=device, dtype=torch.float64)
    c = s.cpu().numpy() / np.linalg.norm(s.cpu().numpy(), axis=1, keepdims=True)
    want = sum((c[i] @ c[j]) ** 2 for i in range(5) for j in range(5) if i != j) / (5 * 4)
    assert pulling_away(s).mean().item() == pytest.approx(want)
    assert_close(pulling_away(torch.eye(4, device=device)), torch.zeros(4, device=device))
    assert_close(pulling_away(torch.ones(4, 3, 2, device=device)), torch.ones(4, device=device))
    with pytest.raises(ValueError, match="codes: got 1"):
        pulling_away(s[:1])


def test_began_by_hand(device):
    real, fake, k = (torch.tensor(x, device=device) for x in ([[2.0], [4.0]], [[0.5], [0.5]], 0.2))
    assert began_discriminator(real, fake, k).tolist() == pytest.approx([1.9, 3.9])
    measure = began_control(k, real.mean(), fake.mean(), gamma=0.5, rate=0.1)
    assert k.item() == pytest.approx(0.2 + 0.1 * (0.5 * 3 - 0.5))
    assert measure.item() == pytest.approx(3 + abs(0.5 * 3 - 0.5))


def test_began_balances_until_fakes_are_gamma_times_as_hard(device):
    k, one = torch.zeros(2, device=device)
    one += 1

    def moved(fake):
        began_control(k, one, fake * one, gamma=0.5, rate=10)
        return k.item()

    assert moved(0) == 1  # fakes are too easy: D turns to them, no more than wholly
    assert moved(4) == 0
    assert moved(0.5) == 0


# ---------------------------------------------------------------- mode seeking


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
