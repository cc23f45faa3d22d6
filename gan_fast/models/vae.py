"""The variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114), which GANs are compared with.

    ELBO(x) = E_q(z|x) log p(x|z) - KL(q(z|x) || p(z)) <= log p(x)
    q(z|x) = N(mu(x), sigma(x)^2),  p(z) = N(0, I),  p(x|z) = N(decoder(z), noise^2)

z is drawn as mu + sigma eps, so that the gradient passes it (section 2.4). The decoder is DCGAN's generator, G(z, c) to
all who ask for one; the encoder is DCGAN's discriminator with two numbers for each latent in place of a logit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_fast.models import common, dcgan


@dataclasses.dataclass(frozen=True)
class Config:
    """A decoder and its encoder; the fields are `dcgan.Config`'s."""

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 32
    channels: int = 64


PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "vae-digits": Config(16, 1, c_dim=10, z_dim=16, channels=24),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[dcgan.Generator, Encoder]:
    """Make (decoder, encoder) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    network = dcgan.Config(**dataclasses.asdict(config), d_norm="batch")
    return dcgan.Generator(network), Encoder(network)


class Encoder(nn.Module):
    """mu and log sigma^2 of q(z | img, c).

    Shapes: img [N, img_channels, H, W], c [N, c_dim] -> two of [N, z_dim].
    """

    def __init__(self, config: dcgan.Config):
        super().__init__()
        self.trunk = dcgan.Discriminator(config)
        self.trunk.out = nn.Linear(self.trunk.out.in_features, 2 * config.z_dim)

    def forward(self, img: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, log_var = self.trunk(img, c).chunk(2, 1)
        return mean, log_var


def reparametrise(mean: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mean + exp(log_var / 2) eps, of eps from N(0, I): section 2.4. All are [N, z_dim]."""
    return mean + (log_var / 2).exp() * eps


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, I)) = 1/2 sum(mean^2 + exp(log_var) - 1 - log_var), 0 or more: appendix B.

    mean, log_var: [N, z_dim]. Returns [N].
    """
    return (mean.square() + log_var.expm1() - log_var).sum(1) / 2


def elbo(
    x: Tensor,
    decoder: nn.Module,
    encoder: nn.Module,
    c: Tensor | None = None,
    *,
    noise: float,
    eps: Tensor | None = None,
    samples: int = 1,
) -> Tensor:
    """An unbiased estimate of the evidence lower bound, in nats: what is to be maximised, and log p(x) at most.

        mean over eps of log N(x; decoder(z), noise^2 I) - KL(q(z|x) || p(z)),  z = mu + sigma eps

    Args:
        x: images [N, ...].
        decoder, encoder: as `build` makes them, or any with their shapes; c is passed on where it is given.
        noise: standard deviation of p(x|z).
        eps: [samples, N, z_dim] from N(0, I); None: drawn here.
        samples: how many draws the mean is over.

    Returns:
        [N].

    Source: arXiv 1312.6114, equation 10.
    """
    labels = () if c is None else (c,)
    mean, log_var = encoder(x, *labels)
    if eps is None:
        eps = torch.randn(samples, *mean.shape, dtype=mean.dtype, device=mean.device)
    log_p = [_log_normal(x, decoder(reparametrise(mean, log_var, each), *labels), noise) for each in eps]
    return torch.stack(log_p).mean(0) - kl_divergence(mean, log_var)


def _log_normal(x: Tensor, mean: Tensor, std: float) -> Tensor:
    squares = ((x - mean) / std).square().flatten(1)
    return -(squares.sum(1) + squares.shape[1] * math.log(2 * math.pi * std**2)) / 2
