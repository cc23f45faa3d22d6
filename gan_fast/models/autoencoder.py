"""Discriminators that are autoencoders: EBGAN (Zhao et al. 2017, arXiv 1609.03126) and BEGAN (Berthelot et al. 2017,
arXiv 1703.10717).

    image -> encoder -> code -> decoder -> image';  D(image) = mean |image - image'|^power, low where it is real

To be trained with the objective "ebgan" (power 2, and `gan_fast.losses.pulling_away` of the codes of fakes) or "began"
(power 1). The generator is DCGAN's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_fast.layers import BatchNorm2d, Convolution
from gan_fast.losses import reconstruction_error
from gan_fast.models import common, dcgan
from gan_fast.ops import bias_act


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        channels: of the largest feature maps; each halving of the side doubles them.
        code_dim: size of the code.
        power: of the reconstruction error.
        batch_norm: whether the autoencoder has batch normalisation, as EBGAN's and not BEGAN's.
        The others are `dcgan.Config`'s.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 100
    channels: int = 64
    code_dim: int = 64
    power: float = 2.0
    batch_norm: bool = True


PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "ebgan-digits": Config(16, 1, c_dim=10, z_dim=64, channels=24, code_dim=32),
    "began-digits": Config(16, 1, c_dim=10, z_dim=64, channels=24, code_dim=16, power=1.0, batch_norm=False),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[dcgan.Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    generator = dcgan.Generator(
        dcgan.Config(config.img_resolution, config.img_channels, config.c_dim, config.z_dim, config.channels)
    )
    return generator, Discriminator(config)


class Discriminator(nn.Module):
    """D(img, c), an energy [N, 1]; a label enters as further channels of the image, and beside the code."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        self.power = config.power
        sizes = dcgan.stage_sizes(config.img_resolution)
        widths = [config.channels << i for i in range(len(sizes) - 1)]
        self.encoder = _stack([config.img_channels + config.c_dim, *widths], config.batch_norm)
        self.code = Convolution(widths[-1], config.code_dim, sizes[0], padding=0)
        self.expand = Convolution(
            config.code_dim + config.c_dim, widths[-1], sizes[0], padding=0, transposed=True, activation="relu"
        )
        self.decoder = _stack(widths[::-1], config.batch_norm, transposed=True)
        self.out = Convolution(
            widths[0], config.img_channels, 4, stride=2, padding=1, transposed=True, activation="tanh"
        )

    def encode(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """The code [N, code_dim] of img [N, img_channels, H, W] with labels c [N, c_dim]."""
        img = common.images(img, self.img_channels, (self.img_resolution,) * 2, self.code.weight)
        c = common.labels(c, self.c_dim, img, "images")
        x = img if c is None else torch.cat([img, c[:, :, None, None].expand(-1, -1, *img.shape[2:])], 1)
        return self.code(self.encoder(x)).flatten(1)

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        """The image of a code, in [-1, 1]."""
        c = common.labels(c, self.c_dim, code, "codes")
        x = code if c is None else torch.cat([code, c], 1)
        return self.out(self.decoder(self.expand(x[:, :, None, None])))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """The energy [N, 1] of img [N, img_channels, H, W] with labels c [N, c_dim]."""
        decoded = self.decode(self.encode(img, c), c)
        return reconstruction_error(img.to(decoded.dtype), decoded, self.power)


class _Activated(nn.Module):
    """Leaky ReLU of a convolution with stride 2, normalised or not."""

    def __init__(self, before: int, after: int, batch_norm: bool, transposed: bool):
        super().__init__()
        options = {"transposed": transposed, "bias": not batch_norm}
        self.conv = Convolution(before, after, 4, stride=2, padding=1, **options)
        self.norm = BatchNorm2d(after) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(self.norm(self.conv(x)), act="lrelu")


def _stack(widths: list[int], batch_norm: bool, transposed: bool = False) -> nn.Sequential:
    return nn.Sequential(*(_Activated(a, b, batch_norm, transposed) for a, b in pairwise(widths)))
