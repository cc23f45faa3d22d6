"""StyleGAN (Karras et al. 2019, arXiv 1812.04948): a generator whose latent enters by adaptive instance normalisation.

    z, c -> Mapping -> ws [N, num_ws, w_dim] -> constant 4x4 -> two layers a resolution -> 1x1 convolution -> image

Each layer is a convolution (the first of a resolution upsamples and blurs), noise with a strength for each channel, a
bias, leaky ReLU, and AdaIN (equation 1). Mapping and discriminator are StyleGAN2's, the latter without its residual
connections, which is the paper's; networks do not grow, as since StyleGAN2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as MappingType

import torch
from torch import Tensor, nn

from gan_fast.layers import NOISE_MODES, Conv2d, EqualizedLinear
from gan_fast.models import common
from gan_fast.models.stylegan2 import Discriminator, Mapping
from gan_fast.ops import bias_act


@dataclasses.dataclass(frozen=True)
class Config:
    """Arguments of a matching pair; a resolution r has min(channel_base / r, channel_max) channels."""

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 512
    w_dim: int = 512
    num_layers: int = 8
    d_num_layers: int = 8
    channel_base: int = 16384
    channel_max: int = 512
    mbstd_group_size: int | None = 4

    def __post_init__(self):
        if self.img_resolution < 8 or self.img_resolution & (self.img_resolution - 1):
            raise ValueError(f"img_resolution: got {self.img_resolution}, takes a power of two from 8")


PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "stylegan-digits": Config(
        16, 1, c_dim=10, z_dim=64, w_dim=64, num_layers=2, d_num_layers=2, channel_base=512, channel_max=32
    ),
    "stylegan-256": Config(256),
    "stylegan-1024": Config(1024),
}


def build(config: str | Config | MappingType, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    discriminator = Discriminator(
        config.c_dim,
        config.img_resolution,
        config.img_channels,
        num_layers=config.d_num_layers,
        architecture="orig",
        channel_base=config.channel_base,
        channel_max=config.channel_max,
        mbstd_group_size=config.mbstd_group_size,
    )
    return Generator(config), discriminator


class AdaIN(nn.Module):
    """y = (1 + s) (x - mean(x)) / std(x) + b, with [s, b] = affine(w) and statistics of each channel of each image.

    Shapes: x [N, C, H, W], w [N, w_dim] -> y as x.

    Source: equation 1; Huang and Belongie 2017, arXiv 1703.06868.
    """

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.affine = EqualizedLinear(w_dim, 2 * channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s, b = self.affine(w)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(b, nn.functional.instance_norm(x), 1 + s)


class SynthesisLayer(nn.Module):
    """AdaIN(lrelu(conv(x) + strength * noise + b), w). Without a convolution, it is the first: x is the constant."""

    def __init__(self, in_channels: int, channels: int, w_dim: int, size: int, up: int):
        super().__init__()
        self.conv = Conv2d(in_channels, channels, bias=False, up=up) if in_channels else nn.Identity()
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.adain = AdaIN(channels, w_dim)
        self.register_buffer("noise_const", torch.randn(size, size))

    def forward(self, x: Tensor, w: Tensor, noise_mode: str) -> Tensor:
        x = self.conv(x)
        if noise_mode != "none":
            planes = self.noise_const
            if noise_mode == "random":
                planes = torch.randn(len(x), 1, *planes.shape, dtype=planes.dtype, device=planes.device)
            x = torch.addcmul(x, planes, self.noise_strength[:, None, None])
        return self.adain(bias_act(x, self.bias, act="lrelu"), w)


class Synthesis(nn.Module):
    """image = g(ws, noise), two layers a resolution, each with a w of its own.

    Shapes: ws [N, num_ws, w_dim] -> [N, img_channels, H, W], in the dtype of the parameters.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.w_dim = config.w_dim
        self.layers = nn.ModuleList()
        in_channels, size = 0, 4
        while size <= config.img_resolution:
            channels = min(config.channel_base // size, config.channel_max)
            self.layers.append(SynthesisLayer(in_channels, channels, config.w_dim, size, up=1 if size == 4 else 2))
            self.layers.append(SynthesisLayer(channels, channels, config.w_dim, size, up=1))
            in_channels, size = channels, size * 2
        self.num_ws = len(self.layers)
        self.const = nn.Parameter(torch.ones(min(config.channel_base // 4, config.channel_max), 4, 4))
        self.torgb = Conv2d(in_channels, config.img_channels, 1)

    def forward(self, ws: Tensor, noise_mode: str = "random") -> Tensor:
        """Draw images; noise_mode is "random", "const" (the stored planes, the same for every sample) or "none"."""
        common.check_ws(ws, self.num_ws, self.w_dim)
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"noise_mode: got {noise_mode!r}, takes {', '.join(NOISE_MODES)}")
        x = self.const.expand(len(ws), -1, -1, -1)
        for layer, w in zip(self.layers, ws.unbind(1), strict=True):
            x = layer(x, w, noise_mode)
        return self.torgb(x)


class Generator(common.StyleBased):
    """G(z, c) = synthesis(mapping(z, c)). Arguments are in `Config`."""

    def __init__(self, config: Config):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(self.z_dim, self.c_dim, self.w_dim, self.num_ws, config.num_layers)
