"""DCGAN (Radford et al. 2016, arXiv 1511.06434), and the ways to condition it on a label.

    z -> 4x4 (or 7x7: 28 = 7 * 4) -> transposed convolutions, batch normalisation, ReLU -> tanh -> image
    image -> strided convolutions, batch normalisation, leaky ReLU -> logits [N, 1], or a map of them

G takes its label beside z, "concatenation" (Mirza and Osindero 2014, arXiv 1411.1784), or in its batch normalisation,
"batch_norm" (arXiv 1610.07629, 1707.00683). D takes it as further channels of the image, "concatenation", or by
"projection", D(x, c) = psi(phi(x)) + c^T V phi(x) (Miyato and Koyama 2018, arXiv 1802.05637, equation 3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_fast.layers import BatchNorm2d, Convolution, MinibatchDiscrimination, MinibatchStdDev
from gan_fast.models import common
from gan_fast.ops import bias_act

G_CONDITIONS = ("concatenation", "batch_norm")
D_CONDITIONS = ("concatenation", "projection")
D_NORMS = ("batch", "spectral", "none")
MINIBATCH = ("none", "stddev", "discrimination")
STD = 0.02  # of all weights at the start: section 4


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        img_resolution: a side that halving takes to 4 or to an odd number, such as 16, 28 or 64.
        channels: of the largest feature maps; each halving of the side doubles them.
        g_condition, d_condition: how the label enters, see above.
        d_norm: of D: "batch", "spectral" (Miyato et al. 2018, arXiv 1802.05957) or "none". A gradient penalty wants a
            logit that depends on its own image alone: not "batch".
        minibatch: what tells D of the other images: "none", "stddev" (arXiv 1710.10196) or "discrimination" (arXiv
            1606.03498); its end is then fully connected.
        patch: D returns a map of logits, one for each position of its smallest feature map.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 100
    channels: int = 64
    g_condition: str = "concatenation"
    d_condition: str = "concatenation"
    d_norm: str = "batch"
    minibatch: str = "none"
    patch: bool = False

    def __post_init__(self):
        for name, known in (
            ("g_condition", G_CONDITIONS),
            ("d_condition", D_CONDITIONS),
            ("d_norm", D_NORMS),
            ("minibatch", MINIBATCH),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, takes {', '.join(known)}")
        if self.img_resolution < 8 or self.img_resolution % 2:
            raise ValueError(f"img_resolution: got {self.img_resolution}, takes even numbers from 8")
        if self.patch and self.minibatch == "discrimination":
            raise ValueError("patch: a map of logits has no row of features for minibatch discrimination")


PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "dcgan-digits": Config(16, 1, c_dim=10, z_dim=64, channels=24, d_norm="none"),
    "dcgan-digits-projection": Config(
        16, 1, c_dim=10, z_dim=64, channels=24, g_condition="batch_norm", d_condition="projection", d_norm="spectral"
    ),
    "dcgan-mnist": Config(28, 1, channels=64),
    # Figure 1 of the paper: 1024 channels at 4x4.
    "dcgan-64": Config(64, channels=128),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    return Generator(config), Discriminator(config)


def stage_sizes(img_resolution: int) -> list[int]:
    """Sides of the feature maps, from the smallest to the image: 28 -> [7, 14, 28]."""
    sizes = [img_resolution]
    while sizes[0] % 2 == 0 and sizes[0] > 4:
        sizes.insert(0, sizes[0] // 2)
    return sizes


class Generator(nn.Module):
    """G(z, c), in [-1, 1]."""

    def __init__(self, config: Config):
        super().__init__()
        self.z_dim, self.c_dim = config.z_dim, config.c_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.concatenates = config.c_dim > 0 and config.g_condition == "concatenation"
        norm_dim = 0 if self.concatenates else config.c_dim
        sizes = stage_sizes(config.img_resolution)
        channels = [config.channels << i for i in range(len(sizes) - 2, -1, -1)]
        in_channels = config.z_dim + (config.c_dim if self.concatenates else 0)
        options = {"bias": False, "transposed": True, "std": STD}
        self.convs = nn.ModuleList([Convolution(in_channels, channels[0], sizes[0], padding=0, **options)])
        for before, after in pairwise(channels):
            self.convs.append(Convolution(before, after, 4, stride=2, padding=1, **options))
        self.norms = nn.ModuleList(BatchNorm2d(n, norm_dim) for n in channels)
        options |= {"bias": True, "activation": "tanh"}
        self.torgb = Convolution(channels[-1], config.img_channels, 4, stride=2, padding=1, **options)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Draw images [N, img_channels, H, W] from z [N, z_dim] and c [N, c_dim]."""
        z = common.rows("z", z, self.z_dim, self.torgb.weight)
        c = common.labels(c, self.c_dim, z, "rows of z")
        if self.concatenates:
            z = torch.cat([z, c], 1)
        x = z[:, :, None, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = bias_act(norm(conv(x), c), act="relu", gain=1.0)
        return self.torgb(x)


class Discriminator(nn.Module):
    """D(img, c). `features` is phi(x), before the last layer."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        self.patch = config.patch
        self.projects = config.c_dim > 0 and config.d_condition == "projection"
        self.concatenates = config.c_dim > 0 and not self.projects
        sizes = stage_sizes(config.img_resolution)
        channels = [config.channels << i for i in range(len(sizes) - 1)]
        in_channels = config.img_channels + (config.c_dim if self.concatenates else 0)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, out_channels in enumerate(channels):
            # Section 3: no batch normalisation where D reads the image; where there is one, it brings the bias.
            normalised = config.d_norm == "batch" and i > 0
            self.convs.append(
                Convolution(in_channels, out_channels, 4, stride=2, padding=1, bias=not normalised, std=STD)
            )
            self.norms.append(BatchNorm2d(out_channels) if normalised else nn.Identity())
            in_channels = out_channels
        self.minibatch: nn.Module = nn.Identity()
        if config.minibatch == "stddev":
            self.minibatch = MinibatchStdDev(None)
            in_channels += 1
        if config.patch:
            self.out: nn.Module = Convolution(in_channels, 1, 3, std=STD)
        else:
            in_features = in_channels * sizes[0] ** 2
            if config.minibatch == "discrimination":
                self.minibatch = nn.Sequential(nn.Flatten(), MinibatchDiscrimination(in_features))
                in_features += self.minibatch[1].kernels
            self.out = nn.Linear(in_features, 1)
            nn.init.normal_(self.out.weight, std=STD)
        if self.projects:
            self.embed = nn.Linear(config.c_dim, channels[-1], bias=False)
            nn.init.normal_(self.embed.weight, std=STD)
        if config.d_norm == "spectral":
            for layer in [*self.convs, self.out, *([self.embed] if self.projects else [])]:
                spectral_norm(layer)

    def features(self, img: Tensor, c: Tensor | None) -> Tensor:
        """phi(x), [N, C, h, w]."""
        x = torch.cat([img, c[:, :, None, None].expand(-1, -1, *img.shape[2:])], 1) if self.concatenates else img
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = bias_act(norm(conv(x)), act="lrelu", gain=1.0)
        return x

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Judge img [N, img_channels, H, W] with labels c [N, c_dim]: logits [N, 1], or [N, 1, h, w] with patch."""
        img = common.images(img, self.img_channels, (self.img_resolution,) * 2, self.convs[0].weight)
        c = common.labels(c, self.c_dim, img, "images")
        x = self.features(img, c)
        y = self.minibatch(x)
        logits = self.out(y if self.patch else y.flatten(1))
        if self.projects:
            projection = (self.embed(c)[:, :, None, None] * x).sum(1, keepdim=True)
            logits = logits + (projection if self.patch else projection.sum([2, 3]))
        return logits
