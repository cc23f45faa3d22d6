"""Fully connected networks for points in the plane: the GAN of the original paper (Goodfellow et al. 2014, arXiv
1406.2661), for `gan_fast.data.mixtures`.

    z, c -> hidden layers -> point [N, 2];  point, c -> hidden layers -> logit [N, 1], or an energy
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_fast.layers import MinibatchDiscrimination, MinibatchStdDev
from gan_fast.losses import reconstruction_error
from gan_fast.models import common
from gan_fast.ops import bias_act
from gan_fast.ops.bias_act import ACTIVATIONS


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        img_channels: coordinates of a point. (A point is an image of no extent: img_resolution is 0.)
        width, depth: units of a hidden layer, and how many such layers.
        activation: a name that `gan_fast.ops.bias_act` takes. Smooth ones suit unrolling and penalties.
        minibatch_discrimination: whether D's last layers see how close the points of a batch are (arXiv 1606.03498).
        minibatch_stddev: whether they see their standard deviation (arXiv 1710.10196).
        minibatch_group: over groups of so many points; None: over the whole batch.
        minibatch_depth: hidden layers between these statistics and the logit, which is else linear in them.
        code_dim: D is an autoencoder with a code of so many numbers and returns an energy, as EBGAN and BEGAN want;
            0: a logit.
        energy_power: of that reconstruction error.
    """

    img_resolution: int = 0
    img_channels: int = 2
    c_dim: int = 0
    z_dim: int = 16
    width: int = 64
    depth: int = 2
    activation: str = "relu"
    minibatch_discrimination: bool = False
    minibatch_stddev: bool = False
    minibatch_group: int | None = None
    minibatch_depth: int = 0
    code_dim: int = 0
    energy_power: float = 2.0

    def __post_init__(self):
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation: got {self.activation!r}, takes {', '.join(ACTIVATIONS)}")
        if self.code_dim and (self.minibatch_discrimination or self.minibatch_stddev or self.minibatch_depth):
            raise ValueError("code_dim: an autoencoder has no logit for statistics of the batch to enter")


PRESETS: dict[str, Config] = {
    "points": Config(),
    # An energy needs a code that is narrower than a point.
    "points-energy": Config(code_dim=1),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    return Generator(config), Discriminator(config)


class Hidden(nn.Sequential):
    """depth layers act(W x + b), with He's initialisation."""

    def __init__(self, in_features: int, config: Config, depth: int | None = None):
        super().__init__()
        self.activation = config.activation
        for _ in range(config.depth if depth is None else depth):
            layer = nn.Linear(in_features, config.width)
            nn.init.normal_(layer.weight, std=in_features**-0.5)
            self.append(layer)
            in_features = config.width

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = bias_act(nn.functional.linear(x, layer.weight), layer.bias, act=self.activation)
        return x


class Generator(nn.Module):
    """G(z, c): points [N, img_channels]."""

    def __init__(self, config: Config):
        super().__init__()
        self.z_dim, self.c_dim = config.z_dim, config.c_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.hidden = Hidden(config.z_dim + config.c_dim, config)
        self.out = nn.Linear(config.width, config.img_channels)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        z = common.rows("z", z, self.z_dim, self.out.weight)
        c = common.labels(c, self.c_dim, z, "rows of z")
        return self.out(self.hidden(z if c is None else torch.cat([z, c], 1)))


class Discriminator(nn.Module):
    """D(x, c), of points [N, img_channels]: logits or energies [N, 1]."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        self.power = config.energy_power
        self.hidden = Hidden(config.img_channels + config.c_dim, config)
        features = config.width
        self.minibatch: nn.Module = nn.Identity()
        if config.minibatch_discrimination:
            self.minibatch = MinibatchDiscrimination(features)
            features += self.minibatch.kernels
        if config.minibatch_stddev:
            stddev = nn.Sequential(nn.Unflatten(1, (-1, 1, 1)), MinibatchStdDev(config.minibatch_group), nn.Flatten())
            self.minibatch = nn.Sequential(self.minibatch, stddev)
            features += 1
        self.behind: nn.Module = nn.Identity()
        if config.minibatch_depth:
            self.behind = Hidden(features, config, config.minibatch_depth)
            features = config.width
        self.out = nn.Linear(features, config.code_dim or 1)
        self.decoder = None
        if config.code_dim:
            self.decoder = nn.Sequential(
                Hidden(config.code_dim + config.c_dim, config), nn.Linear(config.width, config.img_channels)
            )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x = common.rows("x", x, self.img_channels, self.out.weight)
        c = common.labels(c, self.c_dim, x, "points")
        beside = [] if c is None else [c]
        y = self.out(self.behind(self.minibatch(self.hidden(torch.cat([x, *beside], 1)))))
        if self.decoder is None:
            return y
        return reconstruction_error(x, self.decoder(torch.cat([y, *beside], 1)), self.power)
