"""Progressive growing of GANs (Karras et al. 2018, arXiv 1710.10196).

    z -> pixel norm -> 4x4 -> 8x8 -> ... -> image;  image -> ... -> 8x8 -> 4x4 -> logits [N, 1]

Both networks hold the blocks of all resolutions and use those up to their `level`: stage i of the growth, at
4 * 2^i pixels, fades in as the level goes from i - 1 to i (section 2, figure 2). Images keep img_resolution all the
while: G enlarges what it draws, D reduces what it is given, so that data and loop need not know.

    G.grow(1.25), D.grow(1.25)     8x8 with a quarter of the 16x16 blocks' image

`gan_fast.training` moves the level by `level_at`, and fades real images alike, where its recipe has `grow_kimg`.

Equalised learning rate (section 4.1), pixel norm (4.2) and minibatch standard deviation (3) as in the paper; table 2
has the sizes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_fast.layers import Conv2d, EqualizedLinear, FromRGB, MinibatchStdDev
from gan_fast.models import common
from gan_fast.ops import bias_act, downsample2d, setup_filter, upsample2d

NEAREST = (1, 1)  # the filter of nearest-neighbour upsampling and of averaging


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair. A resolution r has min(channel_base / r, channel_max) channels."""

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 512
    channel_base: int = 16384
    channel_max: int = 512
    mbstd_group_size: int | None = 4

    def __post_init__(self):
        if self.img_resolution < 4 or self.img_resolution & (self.img_resolution - 1):
            raise ValueError(f"img_resolution: got {self.img_resolution}, takes a power of two from 4")

    @property
    def channels(self) -> list[int]:
        """Of each resolution, from 4x4."""
        sides = [4 << i for i in range(self.img_resolution.bit_length() - 2)]
        return [min(self.channel_base // side, self.channel_max) for side in sides]


PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "progressive-digits": Config(16, 1, c_dim=10, z_dim=64, channel_base=512, channel_max=48),
    "progressive-256": Config(256),
    "progressive-1024": Config(1024),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    return Generator(config), Discriminator(config)


def pixel_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean of x^2 over the channels + 1e-8): section 4.2."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def level_at(images: int, kimg: float, last: int) -> float:
    """The level after so many images: each resolution is trained for kimg, and as long again fades in, up to `last`.

    Source: section 3 and appendix A, where kimg is 800.
    """
    phase = images / (1000 * kimg)
    return min(phase // 2 + max(phase % 2 - 1, 0.0), last)


def faded(images: Tensor, level: float) -> Tensor:
    """Real images as D should see them at a level: with the detail that G can draw by then.

        y = (1 - a) up(down(x, r/2)) + a x at stage r,  a = level - floor(level)

    images: [N, C, H, H], H a power of two from 4. Returns the same shape.
    """
    last, stage = images.shape[2].bit_length() - 3, math.ceil(level)
    y = _enlarged(_reduced(images, last - stage), last - stage)
    if stage == level:
        return y
    coarse = _enlarged(_reduced(images, last - stage + 1), last - stage + 1)
    return torch.lerp(coarse, y, level - (stage - 1))


def _reduced(x: Tensor, halvings: int) -> Tensor:
    box = setup_filter([1] * 2**halvings, device=x.device)
    return downsample2d(x, box, 2**halvings) if halvings else x


def _enlarged(x: Tensor, doublings: int) -> Tensor:
    box = setup_filter([1] * 2**doublings, device=x.device)
    return upsample2d(x, box, 2**doublings) if doublings else x


class Growing(nn.Module):
    """A network with a level of growth, which goes with its state dict."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        self.last = len(config.channels) - 1
        self.register_buffer("saved_level", torch.zeros([]))
        self.register_load_state_dict_post_hook(lambda module, _: module.grow(module.saved_level.item()))
        self.grow(self.last)

    def grow(self, level: float) -> None:
        """Go to a level, from 0 (4x4 alone) to the last (img_resolution).

        Raises ValueError for a level beyond them.
        """
        if not 0 <= level <= self.last:
            raise ValueError(f"level: got {level}, takes numbers from 0 to {self.last}")
        self.saved_level.fill_(level)
        self.level = torch.tensor(level, dtype=torch.float32, device="cpu").item()  # as a checkpoint will give it back

    @property
    def stage(self) -> int:
        """The largest resolution in use is 4 * 2^stage."""
        return math.ceil(self.level)

    @property
    def alpha(self) -> float:
        """The share of that resolution's blocks."""
        return self.level - self.stage + 1


class Generator(Growing):
    """G(z, c), at the resolution of its level, enlarged to img_resolution by repeating pixels."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.z_dim = config.z_dim
        channels = config.channels
        self.fc = EqualizedLinear(config.z_dim + config.c_dim, channels[0] * 16, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels[0]))
        self.conv = Conv2d(channels[0], channels[0], activation="lrelu")
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    Conv2d(before, after, activation="lrelu", up=2, resample_filter=NEAREST),
                    Conv2d(after, after, activation="lrelu"),
                ]
            )
            for before, after in pairwise(channels)
        )
        self.torgb = nn.ModuleList(Conv2d(n, config.img_channels, 1) for n in channels)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Draw images [N, img_channels, H, W], about [-1, 1], from z [N, z_dim] and c [N, c_dim]."""
        z = common.rows("z", z, self.z_dim, self.bias)
        c = common.labels(c, self.c_dim, z, "rows of z")
        x = self.fc(pixel_norm(z if c is None else torch.cat([z, c], 1))).unflatten(1, (-1, 4, 4))
        x = pixel_norm(bias_act(x, self.bias, act="lrelu"))
        x = coarse = pixel_norm(self.conv(x))
        for block in self.blocks[: self.stage]:
            coarse = x
            for conv in block:
                x = pixel_norm(conv(x))
        img = self.torgb[self.stage](x)
        if self.alpha < 1:
            img = torch.lerp(_enlarged(self.torgb[self.stage - 1](coarse), 1), img, self.alpha)
        return _enlarged(img, self.last - self.stage)


class Discriminator(Growing):
    """D(img, c), of img reduced to the resolution of its level; with labels, the logit is that of the class."""

    def __init__(self, config: Config):
        super().__init__(config)
        channels = config.channels
        self.fromrgb = nn.ModuleList(FromRGB(config.img_channels, n) for n in channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                Conv2d(before, before, activation="lrelu"),
                Conv2d(before, after, activation="lrelu", down=2, resample_filter=NEAREST),
            )
            for after, before in pairwise(channels)
        )
        self.mbstd = MinibatchStdDev(config.mbstd_group_size)
        self.conv = Conv2d(channels[0] + 1, channels[0], activation="lrelu")
        self.fc = EqualizedLinear(channels[0] * 16, channels[0], activation="lrelu")
        self.out = EqualizedLinear(channels[0], max(config.c_dim, 1))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Judge img [N, img_channels, H, W] with labels c [N, c_dim]: logits [N, 1]."""
        img = common.images(img, self.img_channels, (self.img_resolution,) * 2, self.conv.weight)
        c = common.labels(c, self.c_dim, img, "images")
        stage = self.stage
        img = _reduced(img, self.last - stage)
        x = self.fromrgb[stage](img)
        if stage > 0:
            x = self.blocks[stage - 1](x)
            if self.alpha < 1:
                x = torch.lerp(self.fromrgb[stage - 1](_reduced(img, 1)), x, self.alpha)
            for block in self.blocks[: stage - 1][::-1]:
                x = block(x)
        x = self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))
        return x if c is None else (x * c).sum(1, keepdim=True)
