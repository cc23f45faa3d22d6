from functools import partial

import pytest
import torch
from torch import nn

from gan_fast import models
from gan_fast.training.engine import Engine, lazy_adam
from gan_fast.training.recipe import Recipe

TINY = {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}


def networks(device, dtype=torch.float32, **changes):
    torch.manual_seed(1)
    return [net.to(device, dtype) for net in models.build(models.preset("digits", **{**TINY, **changes}))]


def engine(device, *, dtype=torch.float32, options=None, **recipe):
    return Engine(*networks(device, dtype), Recipe(**recipe), **(options or {}))


def phase(engine, name):
    return next(p for p in engine.phases if p.name == name)


def gradients(engine, name, batch):
    engine.gradients(phase(engine, name), *batch)
    return [p.grad.clone() for p in phase(engine, name).parameters if p.grad is not None]


@pytest.fixture
def batch(device):
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.rand(8, 1, 8, 8, generator=generator) * 2 - 1, torch.arange(8)
    return x.to(device), torch.nn.functional.one_hot(labels, 10).float().to(device)


class Mlp(nn.Sequential):
    """A network of points: G(z, c) and D(x, c)."""

    def __init__(self, n_in, n_out):
        super().__init__(nn.Linear(n_in, 16), nn.LeakyReLU(), nn.Linear(16, n_out))
        self.z_dim, self.c_dim = n_in, 0

    def forward(self, x, c=None):
        return super().forward(x)


def test_points_are_learned():
    """The generator's mean moves to that of the data, with two steps of D to one of G."""
    torch.manual_seed(0)
    engine = Engine(Mlp(4, 2), Mlp(2, 1), Recipe(g_lr=0.01, d_lr=0.01, gamma=0.1, penalty_interval=2, n_critic=2))
    data = torch.Generator().manual_seed(0)
    centre = torch.tensor([2.0, -1.0])
    ran = [engine.step(torch.randn(32, 2, generator=data) * 0.1 + centre).keys() for _ in range(300)]
    assert ran[0] == {"Gmain", "Dmain", "Dreg", "penalty"}
    assert ran[1] == {"Dmain"}
    fake = engine.averages.modules["G_ema"](torch.randn(256, 4))
    assert (fake.mean(0) - centre).norm() < 0.3 < centre.norm()


@pytest.mark.parametrize("penalty", ["r1", "r2", "r1+r2", "wgan_gp", "dragan", "zero_centred_gp"])
def test_every_penalty_reaches_the_discriminator(device, batch, penalty):
    values = engine(device, penalty=penalty, gamma=2.0, penalty_interval=3).step(*batch)
    factor = 3.0 if penalty.startswith("r") else 6.0
    torch.testing.assert_close(values["Dreg"], values["penalty"] * factor)
    assert values["penalty"] > 0


def test_phases_run_at_their_intervals(device, batch):
    e = engine(device, penalty_interval=2, path_length=2.0, path_length_interval=3)
    names = {p.name for p in e.phases}
    assert [sorted(names & e.step(*batch).keys()) for _ in range(4)] == [
        ["Dmain", "Dreg", "Gmain", "Greg"],
        ["Dmain", "Gmain"],
        ["Dmain", "Dreg", "Gmain"],
        ["Dmain", "Gmain", "Greg"],
    ]
    assert "Dreg" not in engine(device, penalty="none").step(*batch)


def test_a_step_can_be_repeated(device, batch):
    a, b = (engine(device, style_mixing=1.0, translate=0.25) for _ in range(2))
    torch.rand(3)  # what else draws random numbers in the process does not matter
    assert all(torch.equal(x, y) for x, y in zip(a.step(*batch).values(), b.step(*batch).values(), strict=True))
    assert not torch.equal(a.step(*batch)["Dmain"], engine(device).step(*batch)["Dmain"])


def test_gradients_reach_their_own_network_alone(device, batch):
    e = engine(device)
    for name, other in (("Gmain", e.discriminator), ("Dmain", e.generator)):
        for net in (e.generator, e.discriminator):
            net.zero_grad(set_to_none=True)
        assert any(g.abs().sum() > 0 for g in gradients(e, name, batch))
        assert all(p.grad is None for p in other.parameters())


def test_style_mixing_changes_the_image(device, batch):
    plain, mixed = (gradients(engine(device, style_mixing=share), "Gmain", batch) for share in (0.0, 1.0))
    assert not torch.equal(plain[-1], mixed[-1])


def test_lazy_adam_scales_its_rates():
    parameters = list(nn.Linear(2, 2).parameters())
    group = lazy_adam(parameters, 0.01, (0, 0.99), 4).param_groups[0]
    assert group["lr"] == pytest.approx(0.008)
    assert group["betas"] == pytest.approx((0.0, 0.99**0.8))
    assert lazy_adam(parameters, 0.01, (0.5, 0.99), None).param_groups[0]["betas"] == (0.5, 0.99)


@pytest.mark.parametrize("name", ["Gmain", "Dmain", "Dreg"])
def test_accumulation_equals_the_whole_batch(device, name):
    """In float64, with networks in which samples do not depend on each other and no noise is drawn."""
    x = torch.rand(8, 1, 8, 8, dtype=torch.float64, device=device)
    c = torch.eye(10, dtype=torch.float64, device=device)[:8]
    found = []
    for parts in (1, 4):
        pair = networks(device, torch.float64, mbstd_num_channels=0)
        pair[0].synthesis.forward = partial(pair[0].synthesis.forward, noise_mode="none")
        found.append(gradients(Engine(*pair, Recipe(style_mixing=1.0), accumulate=parts), name, (x, c)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
