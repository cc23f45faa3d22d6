"""Steps that damp a game's oscillation: against loops written out, and on the bilinear game x y."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from gan_fast.losses import logistic_discriminator, logistic_generator
from gan_fast.updates import OptimisticAdam, OptimisticSGD, clip_weights, historical_averaging, unrolled

assert_close = torch.testing.assert_close


def critic(device):
    d = nn.Sequential(nn.Linear(2, 6), nn.Softplus(), nn.Linear(6, 1))
    return d.to(device, torch.float64)


def test_clipped_weights(device):
    d = critic(device)
    before = [p.detach().clone() for p in d.parameters()]
    clip_weights(d, 0.1)
    for p, start in zip(d.parameters(), before, strict=True):
        assert_close(p.detach(), start.clamp(-0.1, 0.1))
    assert max(p.abs().max() for p in before) > 0.1


@pytest.mark.parametrize(
    ("optimistic", "plain", "options"),
    [
        (OptimisticAdam, torch.optim.Adam, {"betas": (0.5, 0.9)}),
        (OptimisticSGD, torch.optim.SGD, {}),
        (OptimisticSGD, torch.optim.SGD, {"momentum": 0.5}),
    ],
)
def test_steps_are_twice_this_less_the_last(optimistic, plain, options, device):
    x = nn.Parameter(torch.randn(3, device=device, dtype=torch.float64))
    y = nn.Parameter(x.detach().clone())
    ours, theirs = optimistic([x], lr=0.1, **options), plain([y], lr=0.1, **options)
    last = torch.zeros_like(y)
    want = x.detach().clone()
    for step in range(4):
        x.grad = torch.randn_like(x)
        y.grad = x.grad.clone()
        before = y.detach().clone()
        ours.step()
        theirs.step()
        update = y.detach() - before
        want, last = want + 2 * update - last, update
        assert_close(x.detach(), want)
        if step == 1:  # a checkpoint in between
            state = ours.state_dict()
            ours = optimistic([x], lr=0.1, **options)
            ours.load_state_dict(state)


def test_losses_that_take_turns_foresee_their_own_steps(device):
    x = nn.Parameter(torch.zeros([], device=device))
    optimiser = OptimisticSGD([x], lr=1.0)
    for turn, gradient, want in [("a", 1.0, -2), ("b", 10.0, -22), ("a", 1.0, -23), ("b", 10.0, -33)]:
        x.grad = torch.full_like(x, gradient)
        optimiser.step(turn=turn)
        assert x.item() == want


def test_a_closure_makes_the_gradients(device):
    x = nn.Parameter(torch.ones(3, device=device))
    optimiser = OptimisticSGD([x], lr=0.1)

    def closure():
        optimiser.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    assert optimiser.step(closure) == 3
    assert_close(x.detach(), torch.full([3], 1 - 2 * 0.2, device=device))


def bilinear(optimizer, steps=600):
    """Distances from the equilibrium 0 of min_x max_y x y, both players moving at once, and of the mean of the path."""
    x, y = (nn.Parameter(torch.ones([])) for _ in range(2))
    players = optimizer([x, y], lr=0.1)
    path = []
    for _ in range(steps):
        x.grad, y.grad = y.detach().clone(), -x.detach()
        players.step()
        path.append(torch.stack([x, y]).detach())
    return path[-1].norm().item(), torch.stack(path).mean(0).norm().item()


def test_optimistic_steps_converge_where_plain_ones_spiral_out():
    plain, _ = bilinear(torch.optim.SGD)
    optimistic, averaged = bilinear(OptimisticSGD)
    assert plain == pytest.approx(2**0.5 * 1.01**300)  # sqrt(1 + lr^2) a step
    assert optimistic < 0.1  # about 1 - lr^2 / 2 a step
    assert averaged < 0.1


def test_historical_averaging(device):
    d = critic(device)
    average = AveragedModel(d)
    states = []
    for _ in range(3):
        with torch.no_grad():
            for p in d.parameters():
                p.add_(torch.randn_like(p))
        average.update_parameters(d)
        states.append([p.detach().clone() for p in d.parameters()])
    means = [torch.stack(ps).mean(0) for ps in zip(*states, strict=True)]
    want = sum((p - m).square().sum() for p, m in zip(d.parameters(), means, strict=True))
    distance = historical_averaging(d, average.parameters())
    assert_close(distance, want.detach())
    distance.backward()
    for p, m in zip(d.parameters(), means, strict=True):
        assert_close(p.grad, 2 * (p - m).detach())


# ---------------------------------------------------------------- unrolling


def steps_by_hand(d, fake, real, k, lr):
    """theta_k of a critic linear-softplus-linear, written out."""
    theta = [p.detach().clone().requires_grad_() for p in d.parameters()]

    def at(x):
        w1, b1, w2, b2 = theta
        return nn.functional.softplus(x @ w1.T + b1) @ w2.T + b2

    for _ in range(k):
        grads = torch.autograd.grad(logistic_discriminator(at(real), at(fake)).mean(), theta, create_graph=True)
        theta = [p - lr * g for p, g in zip(theta, grads, strict=True)]
    return at(fake)


@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("frozen", [False, True])
def test_unrolled_gradient_is_that_of_a_loop(k, frozen, device):
    d = critic(device).requires_grad_(not frozen)
    real, z = torch.randn(2, 8, 2, dtype=torch.float64, device=device)
    gradients = []
    for way in ("ours", "by hand"):
        shift = torch.zeros(2, dtype=torch.float64, device=device, requires_grad=True)
        fake = z + shift
        if way == "ours":
            answer = unrolled(d, lambda D, fake=fake: logistic_discriminator(D(real), D(fake)).mean(), k, lr=0.3)(fake)
        else:
            answer = steps_by_hand(d, fake, real, k, lr=0.3)
        logistic_generator(answer).mean().backward()
        gradients.append(shift.grad)
    assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_gradient_goes_through_the_steps_and_d_stays(device):
    d = critic(device)
    state = {name: p.clone() for name, p in d.state_dict().items()}
    real, fake = torch.randn(2, 8, 2, dtype=torch.float64, device=device)
    fake.requires_grad_()

    def answer(seen):
        return unrolled(d, lambda D: logistic_discriminator(D(real), D(seen)).mean(), 3, lr=1.0)(fake).sum()

    (through,) = torch.autograd.grad(answer(fake), [fake])
    (around,) = torch.autograd.grad(answer(fake.detach()), [fake])
    assert (through - around).norm() > 0.1 * around.norm()
    assert all(p.grad is None for p in d.parameters())
    assert all(torch.equal(p, state[name]) for name, p in d.state_dict().items())
    with pytest.raises(ValueError, match="k: got -1"):
        unrolled(d, lambda D: D(real).mean(), -1, lr=1.0)
