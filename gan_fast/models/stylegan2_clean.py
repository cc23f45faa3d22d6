"""StyleGAN2's generator (arXiv 1912.04958) as GFPGAN's "clean" decoder has it (arXiv 2101.04061; versions 1.2 to 1.4).

    z -> Mapping -> w -> (truncation) -> ws [N, num_ws, w_dim] -> Synthesis -> image [N, C, H, W]

Blocks, latents and noise are those of `gan_fast.models.stylegan2` with the architecture "skip", and so is the
discriminator. What differs:

    size      is doubled bilinearly, before a convolution and of images; there is no FIR filter
    weights   are used as they are, without equalised learning rates
    gain      leaky ReLU has gain 1; a convolution's result is multiplied by sqrt(2) before noise and bias are added
    latents   w is as large as z; there are no labels

Names in state dicts are StyleGAN2's, but for the constant, which is synthesis.start; there are no filters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as MappingType

import torch
from torch import Tensor, nn

from gan_fast.layers import noise_planes
from gan_fast.models import common
from gan_fast.models.stylegan2 import Discriminator
from gan_fast.ops import bias_act, modulated_conv2d


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        c_dim: 0; there are no labels.
        num_layers: of the mapping.
        channel_base, channel_max: the block of side r has min(channel_base // r, channel_max) channels.
        mbstd_group_size: of the discriminator.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 512
    num_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    mbstd_group_size: int | None = 4

    def __post_init__(self):
        if self.img_resolution < 4 or self.img_resolution & (self.img_resolution - 1):
            raise ValueError(f"img_resolution: got {self.img_resolution}, takes a power of two from 4")
        if self.channels(self.img_resolution) < 1:
            raise ValueError(
                f"channel_base, channel_max: got {self.channel_base} and {self.channel_max},"
                f" takes integers from {self.img_resolution} and from 1 at this resolution"
            )

    @property
    def w_dim(self) -> int:
        return self.z_dim

    def channels(self, side: int) -> int:
        return min(self.channel_base // side, self.channel_max)


# The decoder of GFPGAN v1.2, v1.3 and v1.4.
PRESETS: dict[str, Config] = {"gfpgan-512": Config(512)}


def build(config: str | Config | MappingType, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced.

    Raises ValueError for labels.
    """
    config = common.configure(Config, PRESETS, config, overrides)
    if config.c_dim:
        raise ValueError(f"c_dim: got {config.c_dim}, takes 0: these networks know no labels")
    discriminator = Discriminator(
        0,
        config.img_resolution,
        config.img_channels,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
        mbstd_group_size=config.mbstd_group_size,
    )
    return Generator(config), discriminator


def _linear(in_features: int, out_features: int, std: float, bias: float = 0.0) -> nn.Linear:
    """A fully connected layer whose weight starts as N(0, std^2)."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=std)
    nn.init.constant_(layer.bias, bias)
    return layer


class Mapping(nn.Module):
    """w = f(z / sqrt(mean(z^2) + 1e-8)): num_layers layers lrelu(W x + b); truncation as in `stylegan2.Mapping`.

    Shapes: z [N, z_dim] -> ws [N, num_ws, z_dim], in the dtype of the parameters.
    """

    def __init__(self, z_dim: int, num_layers: int, num_ws: int, *, w_avg_beta: float = 0.998):
        super().__init__()
        self.z_dim, self.num_layers, self.num_ws, self.w_avg_beta = z_dim, num_layers, num_ws, w_avg_beta
        for i in range(num_layers):
            setattr(self, f"fc{i}", _linear(z_dim, z_dim, std=(2 / z_dim) ** 0.5))
        self.register_buffer("w_avg", torch.zeros(z_dim))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """Map z; update_emas also moves w_avg towards the mean of this batch. c is None or empty."""
        z = common.rows("z", z, self.z_dim, self.w_avg)
        common.labels(c, 0, z, "rows of z")
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(self.num_layers):
            layer = getattr(self, f"fc{i}")
            w = bias_act(nn.functional.linear(w, layer.weight), layer.bias, act="lrelu", gain=1.0)
        if update_emas:
            self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, self.w_avg_beta))
        return common.styles(w, self.w_avg, self.num_ws, truncation_psi, truncation_cutoff)


class Layer(nn.Module):
    """y = lrelu(sqrt(2) d conv(W, s x) + strength noise + b), lrelu of gain 1: d and s as in `ModulatedConv2d`.

    As lrelu(g x) = g lrelu(x), that is lrelu of gain sqrt(2) of d conv(W, s x) + (strength noise + b) / sqrt(2). With
    up, x is enlarged before.

    Shapes: x [N, in_channels, side, side], or half of it with up, w [N, w_dim] -> y [N, channels, side, side].
    """

    def __init__(self, in_channels: int, channels: int, w_dim: int, side: int, *, up: bool = False):
        super().__init__()
        self.up = up
        self.affine = _linear(w_dim, in_channels, std=w_dim**-0.5, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, in_channels, 3, 3) * (9 * in_channels) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(side, side))

    def forward(self, x: Tensor, w: Tensor, noise_mode: str) -> Tensor:
        noise = noise_planes(self.noise_const, x.shape[0], noise_mode)
        return modulated_conv2d(
            common.enlarged(x) if self.up else x,
            self.weight,
            self.affine(w),
            noise=noise,
            strength=None if noise is None else self.noise_strength * 0.5**0.5,
            padding=1,
            b=self.bias * 0.5**0.5,
            act="lrelu",
        )


class ToRGB(nn.Module):
    """y = conv(W, affine(w) x) + b, 1x1."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int):
        super().__init__()
        self.affine = _linear(w_dim, in_channels, std=w_dim**-0.5, bias=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1) * in_channels**-0.5)
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated_conv2d(x, self.weight, self.affine(w), demodulate=False, b=self.bias)


class SynthesisBlock(nn.Module):
    """One resolution: conv0 doubles the size (but for the first, which lacks it), conv1; torgb adds to the image."""

    def __init__(self, in_channels: int, channels: int, side: int, config: Config):
        super().__init__()
        self.is_first = side == 4
        self.num_conv = 1 if self.is_first else 2
        if not self.is_first:
            self.conv0 = Layer(in_channels, channels, config.w_dim, side, up=True)
        self.conv1 = Layer(channels, channels, config.w_dim, side)
        self.torgb = ToRGB(channels, config.img_channels, config.w_dim)

    def forward(self, x: Tensor, img: Tensor | None, ws: Tensor, noise_mode: str) -> tuple[Tensor, Tensor]:
        """x [N, in_channels, h/2, w/2], img [N, img_channels, h/2, w/2], ws [N, num_conv + 1, w_dim]: one w a layer."""
        if not self.is_first:
            x = self.conv0(x, ws[:, 0], noise_mode)
        x = self.conv1(x, ws[:, -2], noise_mode)
        y = self.torgb(x, ws[:, -1])
        return x, y if self.is_first else common.enlarged(img) + y


class Synthesis(nn.Module):
    """image = g(ws, noise): blocks b4, b8, ... up to img_resolution, which share ws as StyleGAN2's do.

    Shapes: ws [N, num_ws, w_dim] -> [N, img_channels, H, W], in the dtype of the parameters.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.w_dim = config.w_dim
        self.sides = [4 << i for i in range(config.img_resolution.bit_length() - 2)]
        self.num_ws = 2 * len(self.sides)
        channels = config.channels(4)
        self.start = nn.Parameter(torch.randn(channels, 4, 4))
        for side in self.sides:
            setattr(self, f"b{side}", SynthesisBlock(channels, config.channels(side), side, config))
            channels = config.channels(side)

    def forward(self, ws: Tensor, noise_mode: str = "random") -> Tensor:
        """Draw images; noise_mode is "random", "const" (the stored planes, the same for every sample) or "none"."""
        common.check_ws(ws, self.num_ws, self.w_dim)
        x, img = self.start.expand(ws.shape[0], -1, -1, -1), None
        i = 0
        for side in self.sides:
            block = getattr(self, f"b{side}")
            x, img = block(x, img, ws[:, i : i + block.num_conv + 1], noise_mode)
            i += block.num_conv
        return img


class Generator(common.StyleBased):
    """G(z, c) = synthesis(mapping(z, c)), c None or empty. Arguments are in `Config`."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, 0, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(config.z_dim, config.num_layers, self.num_ws)
