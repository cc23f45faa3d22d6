"""R3GAN (Huang et al. 2024, The GAN is dead; long live the GAN! A modern GAN baseline, arXiv 2501.05441): configuration
E, a GAN without tricks, for the relativistic loss with R1 and R2.

    z [, embedded c] -> basis 4x4 -> stages of ResNeXt blocks, bilinear upsampling between them -> image
    image -> the same, mirrored -> basis 4x4 -> logits [N, 1]

No normalisation and no equalised learning rate: fix-up initialisation (Zhang et al. 2019, arXiv 1901.09321) makes every
block the identity at the start and scales its weights by the number of blocks. To be trained with
`gan_fast.losses.OBJECTIVES["relativistic"]`, `gan_fast.ops.r1` and `gan_fast.ops.r2`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_fast.layers import Convolution, Downsample, Upsample
from gan_fast.models import common

BASE = 4  # side of the basis


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        widths: channels of each stage, from 4x4 upwards; img_resolution is 4 * 2^(number of stages - 1).
        cardinalities: groups of each stage's 3x3 convolutions.
        blocks: residual blocks of a stage.
        expansion: channels between a block's 1x1 convolutions, relative to its own.
        embed_dim: size of the embedded label.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 64
    widths: tuple[int, ...] = ()
    cardinalities: tuple[int, ...] = ()
    blocks: int = 2
    expansion: int = 2
    embed_dim: int = 64

    def __post_init__(self):
        sides = [BASE << i for i in range(len(self.widths))]
        if len(self.widths) != len(self.cardinalities) or self.img_resolution not in sides[-1:]:
            raise ValueError(
                f"widths, cardinalities: got {len(self.widths)} and {len(self.cardinalities)} stages,"
                f" take one for each power of two from {BASE} to img_resolution = {self.img_resolution}"
            )


def _published(side: int, scale: int, *base: int, **options) -> Config:
    """Widths and groups that the paper gives as multiples of a base width and of its share 1/32."""
    return Config(
        side, widths=tuple(scale * n // 4 for n in base), cardinalities=tuple(scale * n // 32 for n in base), **options
    )


# The paper's appendix on hyperparameters, and table 2 for FFHQ at 256x256.
PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "r3gan-digits": Config(16, 1, c_dim=10, widths=(48, 32, 16), cardinalities=(6, 4, 2), blocks=1, embed_dim=32),
    "r3gan-cifar": _published(32, 3, 1024, 1024, 1024, 1024, c_dim=10),
    "r3gan-ffhq64": _published(64, 3, 1024, 1024, 1024, 1024, 1024),
    "r3gan-ffhq256": _published(256, 3, 1024, 1024, 1024, 1024, 512, 256, 128),
    "r3gan-imagenet32": _published(32, 6, 1024, 1024, 1024, 1024, c_dim=1000),
    "r3gan-imagenet64": _published(64, 6, 1024, 1024, 1024, 1024, 1024, c_dim=1000),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    return Generator(config), Discriminator(config)


class Block(nn.Module):
    """x + W3 act(conv(act(W1 x + b1), W2) + b2): an inverted bottleneck, grouped in the middle (figure 2c).

    W1 and W2 start as He's, times num_blocks^(-1/4), W3 as 0: fix-up's L^(-1/(2m - 2)) for branches of m = 3 layers.
    """

    def __init__(self, channels: int, cardinality: int, expansion: int, num_blocks: int):
        super().__init__()
        wide = channels * expansion
        gain = (2 / (1 + 0.2**2)) ** 0.5 * num_blocks**-0.25
        options = {"activation": "lrelu", "gain": 1.0}
        self.conv1 = Convolution(channels, wide, 1, std=gain * channels**-0.5, **options)
        self.conv2 = Convolution(
            wide, wide, 3, groups=cardinality, std=gain * (9 * wide // cardinality) ** -0.5, **options
        )
        self.conv3 = Convolution(wide, channels, 1, bias=False, std=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv3(self.conv2(self.conv1(x)))


class Resample(nn.Module):
    """Bilinear up- or downsampling, and a 1x1 convolution where the number of channels changes, on the smaller side."""

    def __init__(self, in_channels: int, out_channels: int, up: bool):
        super().__init__()
        self.up = up
        self.resample = (Upsample if up else Downsample)(resample_filter=(1, 2, 1))
        self.conv = nn.Identity()
        if in_channels != out_channels:
            self.conv = Convolution(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.resample(self.conv(x)) if self.up else self.conv(self.resample(x))


class Generator(nn.Module):
    """G(z, c): a learned 4x4 basis, weighted by z, then stages of blocks; the image is a 1x1 convolution."""

    def __init__(self, config: Config):
        super().__init__()
        self.z_dim, self.c_dim = config.z_dim, config.c_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        in_features = config.z_dim
        if config.c_dim:
            self.embed = _linear(config.c_dim, config.embed_dim)
            in_features += config.embed_dim
        widths = config.widths
        self.basis = nn.Parameter(torch.randn(widths[0], BASE, BASE))
        self.weigh = _linear(in_features, widths[0])
        stages: list[nn.Module] = []
        for i, (width, cardinality) in enumerate(zip(widths, config.cardinalities, strict=True)):
            if i > 0:
                stages.append(Resample(widths[i - 1], width, up=True))
            stages += _blocks(config, width, cardinality)
        self.stages = nn.Sequential(*stages)
        self.torgb = Convolution(widths[-1], config.img_channels, 1, bias=False)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Draw images [N, img_channels, H, W] from z [N, z_dim] and c [N, c_dim]."""
        z = common.rows("z", z, self.z_dim, self.basis)
        c = common.labels(c, self.c_dim, z, "rows of z")
        if c is not None:
            z = torch.cat([z, self.embed(c)], 1)
        x = self.weigh(z)[:, :, None, None] * self.basis
        return self.torgb(self.stages(x))


class Discriminator(nn.Module):
    """D(img, c): the generator mirrored; the 4x4 basis is a convolution of each channel with one map of weights.

    With labels the output [N, embed_dim] is projected on the embedded label.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        widths = config.widths
        self.fromrgb = Convolution(config.img_channels, widths[-1], 1, bias=False)
        stages: list[nn.Module] = []
        for i in range(len(widths) - 1, -1, -1):
            stages += _blocks(config, widths[i], config.cardinalities[i])
            if i > 0:
                stages.append(Resample(widths[i], widths[i - 1], up=False))
        self.stages = nn.Sequential(*stages)
        self.basis = nn.Parameter(torch.randn(widths[0], BASE, BASE) / BASE)
        self.out = _linear(widths[0], config.embed_dim if config.c_dim else 1)
        if config.c_dim:
            self.embed = _linear(config.c_dim, config.embed_dim, gain=config.embed_dim**-0.5)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Judge img [N, img_channels, H, W] with labels c [N, c_dim]: logits [N, 1]."""
        img = common.images(img, self.img_channels, (self.img_resolution,) * 2, self.basis)
        c = common.labels(c, self.c_dim, img, "images")
        x = self.stages(self.fromrgb(img))
        x = self.out((x * self.basis).sum([2, 3]))
        return x if c is None else (x * self.embed(c)).sum(1, keepdim=True)


def _blocks(config: Config, width: int, cardinality: int) -> list[Block]:
    num_blocks = config.blocks * len(config.widths)
    return [Block(width, cardinality, config.expansion, num_blocks) for _ in range(config.blocks)]


def _linear(in_features: int, out_features: int, gain: float = 1.0) -> nn.Linear:
    layer = nn.Linear(in_features, out_features, bias=False)
    nn.init.normal_(layer.weight, std=gain * in_features**-0.5)
    return layer
