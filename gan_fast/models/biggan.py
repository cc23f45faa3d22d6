"""BigGAN (Brock et al. 2019, arXiv 1809.11096).

    z in chunks, c -> shared embedding -> residual blocks, each conditioned on [embedding, its chunk] -> tanh -> image
    image -> residual blocks -> sum over pixels -> logits [N, 1], with the projection on the embedded class

Class-conditional batch normalisation from a shared embedding, skip-z (figure 15), self-attention (Zhang et al. 2019,
arXiv 1805.08318), spectral normalisation of both networks (arXiv 1802.05957), orthogonal initialisation and
`orthogonal_regularisation` (equation 3); truncation is in how z is drawn, `truncated_z` (section 3.1). To be trained
with the hinge objective.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_fast.layers import BatchNorm2d, Convolution, Downsample, Upsample
from gan_fast.models import common
from gan_fast.ops import bias_act

BASE = 4  # side of the first feature map
NEAREST = (1, 1)  # the filter of nearest-neighbour upsampling and of averaging


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        channels: ch, the channels that the multipliers multiply.
        multipliers: of ch at each step of G, from 4x4 upwards; D has them the other way round. img_resolution is
            4 * 2^(their number - 1).
        attention: the resolution that has self-attention; 0: none.
        shared_dim: size of the shared embedding of the class.
        z_dim: split into as many equal chunks as there are multipliers: one for the first layer, one a block.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 120
    channels: int = 96
    multipliers: tuple[int, ...] = (16, 16, 8, 4, 2, 1)
    attention: int = 64
    shared_dim: int = 128

    def __post_init__(self):
        if self.img_resolution != BASE << (len(self.multipliers) - 1):
            raise ValueError(
                f"multipliers: got {len(self.multipliers)}, takes one for each power of two from {BASE} to"
                f" img_resolution = {self.img_resolution}"
            )
        if self.z_dim % len(self.multipliers):
            raise ValueError(f"z_dim: got {self.z_dim}, takes a multiple of the {len(self.multipliers)} multipliers")


# Tables 4 and 5.
PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "biggan-digits": Config(16, 1, c_dim=10, z_dim=60, channels=24, multipliers=(2, 2, 1), attention=8, shared_dim=32),
    "biggan-128": Config(128, c_dim=1000),
    "biggan-256": Config(256, c_dim=1000, z_dim=140, multipliers=(16, 16, 8, 8, 4, 2, 1)),
}


def build(config: str | Config | Mapping, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    return Generator(config), Discriminator(config)


def truncated_z(n: int, z_dim: int, threshold: float, generator: torch.Generator | None = None) -> Tensor:
    """z [n, z_dim] from N(0, 1) without its tails: values beyond the threshold are drawn again (section 3.1).

    The lower the threshold, the closer the samples to the mode: better images, fewer kinds.

    Raises ValueError for a threshold that is not positive.
    """
    if threshold <= 0:
        raise ValueError(f"threshold: got {threshold}, takes positive numbers")
    # Through the inverse of the distribution function, which takes the same time for every threshold.
    u = torch.rand(n, z_dim, generator=generator, dtype=torch.float64)
    tail = torch.special.ndtr(torch.tensor(-threshold, dtype=torch.float64))
    return torch.special.ndtri(tail + u * (1 - 2 * tail)).float()


def orthogonal_regularisation(module: nn.Module) -> Tensor:
    """How far the filters of every layer are from being orthogonal: sum of |W W^T * (1 - I)|^2 over its weights.

    Their lengths are free. Rows of W are filters; labels' embeddings are left out, as in the paper's code.

    Returns [], to be weighted, by 1e-4 in the paper.

    Source: equation 3; Brock et al. 2017, arXiv 1609.07093.
    """
    total: Tensor | float = 0.0
    for layer in module.modules():
        if isinstance(layer, (Convolution, nn.Linear)) and not isinstance(layer, Embedding):
            w = layer.weight.flatten(1)
            gram = w @ w.T
            total = total + (gram - torch.diag(gram.diagonal())).square().sum()
    return total


class Embedding(nn.Linear):
    """The embedding of a class, from its one-hot label."""

    def __init__(self, c_dim: int, dim: int):
        super().__init__(c_dim, dim, bias=False)
        nn.init.normal_(self.weight)


class SelfAttention(nn.Module):
    """y = x + gamma W_o sum_j softmax_j(theta(x)_i . phi(x)_j) g(x)_j, with phi and g at half the resolution.

    Source: arXiv 1805.08318, equations 1 to 3; phi and g are pooled as in BigGAN's release.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.theta, self.phi = (Convolution(channels, channels // 8, 1, bias=False) for _ in range(2))
        self.g = Convolution(channels, channels // 2, 1, bias=False)
        self.out = Convolution(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor) -> Tensor:
        phi, g = (nn.functional.max_pool2d(f(x), 2).flatten(2) for f in (self.phi, self.g))
        attention = (self.theta(x).flatten(2).mT @ phi).softmax(2)
        y = (g @ attention.mT).unflatten(2, x.shape[2:])
        return x + self.gamma * self.out(y)


class GeneratorBlock(nn.Module):
    """BN, ReLU, upsample, conv, BN, ReLU, conv, beside upsample, conv 1x1: figure 15b."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int):
        super().__init__()
        self.bn1, self.bn2 = (BatchNorm2d(n, condition_dim) for n in (in_channels, out_channels))
        self.conv1, self.conv2 = (Convolution(n, out_channels) for n in (in_channels, out_channels))
        self.skip = Convolution(in_channels, out_channels, 1)
        self.upsample = Upsample(resample_filter=NEAREST)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.upsample(_relu(self.bn1(x, condition)))
        y = self.conv2(_relu(self.bn2(self.conv1(y), condition)))
        return y + self.upsample(self.skip(x))  # a 1x1 convolution may come first, for a quarter


class DiscriminatorBlock(nn.Module):
    """ReLU, conv, ReLU, conv, average, beside conv 1x1, average: figure 15c. The first has no ReLU before it."""

    def __init__(self, in_channels: int, out_channels: int, *, is_first: bool, down: bool):
        super().__init__()
        self.is_first = is_first
        self.conv1, self.conv2 = (Convolution(n, out_channels) for n in (in_channels, out_channels))
        self.skip = nn.Identity()
        if down or in_channels != out_channels:
            self.skip = Convolution(in_channels, out_channels, 1)
        self.pool = Downsample(resample_filter=NEAREST) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(_relu(self.conv1(x if self.is_first else _relu(x))))
        return self.pool(y) + self.skip(self.pool(x))


class Generator(nn.Module):
    """G(z, c), in [-1, 1]."""

    def __init__(self, config: Config):
        super().__init__()
        self.z_dim, self.c_dim = config.z_dim, config.c_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        channels = [config.channels * n for n in config.multipliers]
        self.chunk = config.z_dim // len(channels)
        shared_dim = config.shared_dim if config.c_dim else 0
        self.fc = nn.Linear(self.chunk, channels[0] * BASE**2)
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleDict()
        for i, (before, after) in enumerate(pairwise(channels)):
            self.blocks.append(GeneratorBlock(before, after, shared_dim + self.chunk))
            if BASE << (i + 1) == config.attention:
                self.attention[str(i)] = SelfAttention(after)
        self.bn = BatchNorm2d(channels[-1])
        self.torgb = Convolution(channels[-1], config.img_channels, activation="tanh")
        _initialise(self)
        if config.c_dim:
            self.shared = Embedding(config.c_dim, shared_dim)  # made last: it is not normalised

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Draw images [N, img_channels, H, W] from z [N, z_dim] and c [N, c_dim]."""
        z = common.rows("z", z, self.z_dim, self.bn.scale)
        c = common.labels(c, self.c_dim, z, "rows of z")
        first, *chunks = z.split(self.chunk, 1)
        embedded = [] if c is None else [self.shared(c)]
        x = self.fc(first).unflatten(1, (-1, BASE, BASE))
        for i, (block, chunk) in enumerate(zip(self.blocks, chunks, strict=True)):
            x = block(x, torch.cat([*embedded, chunk], 1))
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        return self.torgb(_relu(self.bn(x)))


class Discriminator(nn.Module):
    """D(img, c) = w . h + c^T V h, h = the sum over pixels of ReLU(phi(img))."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        channels = [config.img_channels] + [config.channels * n for n in reversed(config.multipliers)]
        last = len(channels) - 2
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(channels)):
            blocks.append(DiscriminatorBlock(before, after, is_first=i == 0, down=i < last))
            if config.img_resolution >> (i + 1) == config.attention:
                blocks.append(SelfAttention(after))
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(channels[-1], 1)
        if config.c_dim:
            self.embed = Embedding(config.c_dim, channels[-1])
        _initialise(self)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Judge img [N, img_channels, H, W] with labels c [N, c_dim]: logits [N, 1]."""
        img = common.images(img, self.img_channels, (self.img_resolution,) * 2, self.out.weight)
        c = common.labels(c, self.c_dim, img, "images")
        h = _relu(self.blocks(img)).sum([2, 3])
        logits = self.out(h)
        return logits if c is None else logits + (self.embed(c) * h).sum(1, keepdim=True)


def _relu(x: Tensor) -> Tensor:
    return bias_act(x, act="relu", gain=1.0)


def _initialise(network: nn.Module) -> None:
    """Orthogonal weights, each divided by its largest singular value from then on."""
    for layer in list(network.modules()):
        if isinstance(layer, (Convolution, nn.Linear)):
            nn.init.orthogonal_(layer.weight)
            spectral_norm(layer)
