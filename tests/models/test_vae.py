"""The evidence lower bound: where log p(x) is known, where it is an equality, and on networks."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from gan_fast.models import vae

assert_close = torch.testing.assert_close
NOISE = 0.5


class Linear(nn.Module):
    """p(x|z) = N(W z + b, NOISE^2), so that log p(x) and p(z|x) are known."""

    def __init__(self, x_dim=5, z_dim=3):
        super().__init__()
        self.decoder = nn.Linear(z_dim, x_dim).double()
        with torch.no_grad():  # orthogonal columns: the posterior's covariance is diagonal
            nn.init.orthogonal_(self.decoder.weight)
            self.decoder.weight.mul_(torch.tensor([0.5, 1.0, 2.0]))
        w = self.decoder.weight.detach()
        precision = torch.eye(z_dim) + w.T @ w / NOISE**2
        self.a = precision.inverse() @ w.T / NOISE**2
        self.log_var = -precision.diagonal().log()
        covariance = w @ w.T + NOISE**2 * torch.eye(x_dim)
        self.log_prob = MultivariateNormal(self.decoder.bias.detach(), covariance).log_prob

    def encoder(self, x, error=0.0):
        """The posterior p(z|x), or what lies beside it."""
        return (x - self.decoder.bias) @ self.a.T + error, (self.log_var + error).expand(len(x), -1)


# log p(x|z) is quadratic in eps here: its mean is that over any points whose mean is 0 and whose covariance is I.
EPS = 3**0.5 * torch.cat([torch.eye(3), -torch.eye(3)])[:, None].double()


def test_elbo_is_log_p_at_the_posterior_and_less_elsewhere():
    model = Linear()
    x = torch.randn(8, 5, dtype=torch.float64)
    bounds = {}
    for error in (0.0, 0.3, -0.5):
        encoder = lambda x, e=error: model.encoder(x, e)  # noqa: E731
        bound = vae.elbo(x, model.decoder, encoder, noise=NOISE, eps=EPS.expand(-1, 8, -1))
        bounds[error] = bound.detach()
    assert_close(bounds[0.0], model.log_prob(x), rtol=0, atol=1e-9)
    for error in (0.3, -0.5):
        assert (bounds[error] < model.log_prob(x) - 0.05).all()


def test_gap_is_the_divergence_from_the_posterior():
    model = Linear()
    x = torch.randn(4, 5, dtype=torch.float64)
    (mean, log_var), (true_mean, true_log_var) = model.encoder(x, 0.4), model.encoder(x)
    q, p = (Normal(m, (v / 2).exp()) for m, v in ((mean, log_var), (true_mean, true_log_var)))
    bound = vae.elbo(x, model.decoder, lambda x: (mean, log_var), noise=NOISE, eps=EPS.expand(-1, 4, -1))
    assert_close(model.log_prob(x) - bound, kl_divergence(q, p).sum(1))


def test_kl_is_that_of_the_normals_and_never_negative():
    mean, log_var = torch.randn(2, 100, 6, dtype=torch.float64)
    q, p = Normal(mean, (log_var / 2).exp()), Normal(torch.zeros(()), torch.ones(()))
    kl = vae.kl_divergence(mean, log_var)
    assert_close(kl, kl_divergence(q, p).sum(1))
    assert kl.min() > 0
    assert vae.kl_divergence(torch.zeros(1, 6), torch.zeros(1, 6)) == 0
    tiny = vae.kl_divergence(torch.zeros(1, 6), torch.linspace(-1e-4, 1e-4, 6)[None])
    assert tiny >= 0


def test_the_gradient_passes_the_draw():
    mean, log_var = torch.zeros(2, 1, 3, dtype=torch.float64, requires_grad=True).unbind()
    eps = torch.randn(1, 3, dtype=torch.float64)
    z = vae.reparametrise(mean, log_var, eps)
    dmean, dlog_var = torch.autograd.grad(z.sum(), [mean, log_var])
    assert_close(dmean, torch.ones_like(eps))
    assert_close(dlog_var, eps / 2)


def test_networks(device):
    decoder, encoder = (network.to(device) for network in vae.build("vae-digits", channels=4))
    x = torch.rand(6, 1, 16, 16, device=device) * 2 - 1
    c = torch.eye(10, device=device)[:6]
    mean, log_var = encoder(x, c)
    assert mean.shape == log_var.shape == (6, decoder.z_dim)
    bound = vae.elbo(x, decoder, encoder, c, noise=0.5, samples=2)
    assert bound.shape == (6,)
    bound.mean().backward()
    for network in (decoder, encoder):
        for name, p in network.named_parameters():
            assert p.grad.abs().max() > 0, name


def test_log_likelihood_counts_every_pixel(device):
    x = torch.zeros(2, 1, 4, 4, device=device)
    decoder = lambda z: torch.ones_like(x)  # noqa: E731
    encoder = lambda x: (torch.zeros(2, 3, device=device),) * 2  # noqa: E731
    want = 16 * (-0.5 / 0.2**2 - math.log(0.2 * (2 * math.pi) ** 0.5))
    assert vae.elbo(x, decoder, encoder, noise=0.2).tolist() == pytest.approx([want] * 2)
