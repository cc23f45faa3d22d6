import pytest
import torch

from gan_fast.models import stylegan2
from gan_fast.training.phases import Phases, lazy_adam


@pytest.fixture
def networks(device):
    tiny = {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    return [net.to(device) for net in stylegan2.build("digits", **tiny)]


def phases(networks, **changes):
    settings = {"seed": 0, "gamma": 2.0, "r1_interval": 4, "mode_seeking": 0.0, "style_mixing": 0.0, "translate": 0.0}
    return Phases(*networks, **{**settings, **changes})


@pytest.fixture
def batch(device):
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.rand(6, 1, 8, 8, generator=generator) * 2 - 1, torch.arange(6)
    return x.to(device), torch.nn.functional.one_hot(labels, 10).float().to(device)


def test_each_phase_has_one_value_a_sample(networks, batch):
    p = phases(networks)
    x, c = batch
    assert p.g_main(0, c).shape == p.d_main(0, x, c).shape == p.d_r1(0, x, c).shape == (6,)


def test_a_step_can_be_repeated(networks, batch):
    p = phases(networks, style_mixing=1.0, translate=0.25)
    x, c = batch
    assert torch.equal(p.d_main(3, x, c), p.d_main(3, x, c))
    assert not torch.equal(p.d_main(3, x, c), p.d_main(4, x, c))


def test_style_mixing_changes_the_image(networks, batch):
    _, c = batch
    plain, mixed = (phases(networks, style_mixing=share).g_main(0, c) for share in (0.0, 1.0))
    assert not torch.equal(plain, mixed)


def test_gradients_reach_their_own_network_alone(networks, batch):
    x, c = batch
    p = phases(networks)
    p.d_main(0, x, c).mean().backward()
    assert all(w.grad is None for w in networks[0].parameters())
    assert networks[1].b4.out.weight.grad.abs().sum() > 0


def test_lazy_r1_is_every_steps_r1_in_the_mean(networks, batch):
    x, c = batch
    every = phases(networks, r1_interval=1).d_r1(0, x, c)
    lazy = phases(networks, r1_interval=8).d_r1(0, x, c)
    torch.testing.assert_close(lazy / 8, every)


def test_lazy_adam_scales_its_rates(networks):
    group = lazy_adam(networks[1], 0.01, (0, 0.99), 4).param_groups[0]
    assert group["lr"] == pytest.approx(0.008)
    assert group["betas"] == pytest.approx((0.0, 0.99**0.8))
    assert lazy_adam(networks[0], 0.01, (0.5, 0.99), None).param_groups[0]["betas"] == (0.5, 0.99)
