"""StyleGAN2 (arXiv 1912.04958) as lucidrains' stylegan2-pytorch varies it, whose checkpoints `gan_fast.load` reads.

    z -> Mapping -> ws [N, num_ws, w_dim], one w a block -> Synthesis -> image;  image -> Discriminator -> logits [N, 1]

What differs from `gan_fast.models.stylegan2`, which is the paper's:

    z          is brought to length 1, and w is as large as z; there are no labels
    weights    are used as they are, without equalised learning rates, but for the mapping's, and leaky ReLU has gain 1
    modulation is by affine(w) + 1; one w serves a whole block, its image included
    size       is doubled bilinearly, of images with a [1, 2, 1] blur that reflects at the border; D blurs in the same
               way before it halves
    noise      is one plane in [0, 1) for the whole image, cropped for each layer, with a strength for each channel
    start      a constant, or made from the mean of ws; then a convolution
    attention  over all positions at a cost linear in their number (arXiv 1812.01243), where asked for
    codes      in place of D's features, the nearest of a few learned vectors (arXiv 2004.02088), where asked for

Here images are in [-1, 1] and D's logits are high for real images, as everywhere in gan_fast, and noise planes are
normal: a layer adds Phi(n), which is uniform, and without noise Phi(0) = 1/2, its mean. That project's images are in
[0, 1] and its D is low for real ones.

Names in state dicts: mapping.fc0.*, ..., mapping.w_avg; synthesis.const or to_const, initial_conv.*, noise_const;
synthesis.b4, b8, ... and the discriminator's, from the image's side down to b2, see their classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as MappingType

import torch
from torch import Tensor, nn

from gan_fast.layers import NOISE_MODES, Convolution
from gan_fast.models import common
from gan_fast.ops import bias_act, filter2d, modulated_conv2d

HEADS, HEAD_DIM = 8, 64


@dataclasses.dataclass(frozen=True)
class Config:
    """A matching pair.

    Attributes:
        c_dim: 0; there are no labels.
        num_layers: of the mapping.
        capacity: G's block of side r has min(2 capacity img_resolution / r, channel_max) channels.
        d_capacity: D's has min(4 d_capacity img_resolution / r, channel_max).
        attention: sides of the blocks that have it: G's before the block, D's after it.
        quantized: sides of those of D's blocks whose features are replaced by codes, after attention.
        codes: how many such vectors a block has.
        const: whether G starts from a learned constant, and not from the mean of ws.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 512
    num_layers: int = 8
    capacity: int = 16
    d_capacity: int = 16
    channel_max: int = 512
    attention: tuple[int, ...] = ()
    quantized: tuple[int, ...] = ()
    codes: int = 256
    const: bool = True

    def __post_init__(self):
        if self.img_resolution < 4 or self.img_resolution & (self.img_resolution - 1):
            raise ValueError(f"img_resolution: got {self.img_resolution}, takes a power of two from 4")

    @property
    def w_dim(self) -> int:
        return self.z_dim

    def channels(self, side: int) -> int:
        """Of G's block of this side."""
        return min(2 * self.capacity * self.img_resolution // side, self.channel_max)

    def d_channels(self, side: int) -> int:
        """Of what D's block of this side returns."""
        return min(4 * self.d_capacity * self.img_resolution // side, self.channel_max)


# The defaults of its command line.
PRESETS: dict[str, Config] = {"lucidrains-128": Config(128)}


def build(config: str | Config | MappingType, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced.

    Raises ValueError for labels.
    """
    config = common.configure(Config, PRESETS, config, overrides)
    if config.c_dim:
        raise ValueError(f"c_dim: got {config.c_dim}, takes 0: these networks know no labels")
    return Generator(config), Discriminator(config)


# ---------------------------------------------------------------- what both are made of


class Linear(nn.Linear):
    """y = gain (x W^T + b), where W starts as N(0, std^2) and b as 0.

    Shapes: x [N, in_features] -> y [N, out_features].
    """

    def __init__(self, in_features: int, out_features: int, std: float | None = None, gain: float = 1.0):
        super().__init__(in_features, out_features)
        nn.init.normal_(self.weight, std=(2 / in_features) ** 0.5 if std is None else std)
        nn.init.zeros_(self.bias)
        self.weight_gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.weight_gain, self.bias * self.weight_gain)


def _conv(in_channels: int, out_channels: int, kernel_size: int = 3, *, groups: int = 1, **options) -> Convolution:
    """A convolution with He's initialisation; an activation has gain 1."""
    std = (2 * groups / (in_channels * kernel_size**2)) ** 0.5
    return Convolution(in_channels, out_channels, kernel_size, groups=groups, std=std, gain=1.0, **options)


class Blur(nn.Module):
    """Filters each channel with the outer product of [1, 2, 1] / 4 with itself; borders reflect."""

    def __init__(self):
        super().__init__()
        self.register_buffer("f", torch.tensor([0.25, 0.5, 0.25]))

    def forward(self, x: Tensor) -> Tensor:
        return filter2d(nn.functional.pad(x, [1, 1, 1, 1], mode="reflect"), self.f, padding=-1)


class ChannelNorm(nn.Module):
    """y = scale (x - mean) / sqrt(var + 1e-5) + shift, with the statistics of each position over its channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(1, keepdim=True)
        x = x * (x.square().mean(1, keepdim=True) + 1e-5).rsqrt()
        return torch.addcmul(self.shift[:, None, None], x, self.scale[:, None, None])


class LinearAttention(nn.Module):
    """y = x + out(gelu(v softmax(k)^T softmax(q) / sqrt(HEAD_DIM))), q, k and v being of norm(x), in HEADS heads.

    q is normalised over its channels and k over all positions, so that v k^T, of the size of a head, comes first: Shen
    et al., Efficient Attention, arXiv 1812.01243, equation 4. k and v come from a 3x3 convolution of each channel.

    Shapes: x [N, C, H, W] -> y as x.
    """

    def __init__(self, channels: int):
        super().__init__()
        width = HEADS * HEAD_DIM
        self.norm = ChannelNorm(channels)
        self.q = _conv(channels, width, 1, bias=False)
        self.near = _conv(channels, channels, groups=channels, bias=False)
        self.kv = _conv(channels, 2 * width, 1, bias=False)
        self.out = _conv(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (
            t.flatten(2).unflatten(1, (HEADS, HEAD_DIM)) for t in (self.q(y), *self.kv(self.near(y)).chunk(2, 1))
        )
        y = v @ k.softmax(3).mT @ (q.softmax(2) * HEAD_DIM**-0.5)
        return x + self.out(nn.functional.gelu(y.flatten(1, 2).unflatten(2, x.shape[2:])))


class FeedForward(nn.Module):
    """y = x + conv1(lrelu(conv0(norm(x)))), both 1x1."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv0 = _conv(channels, 2 * channels, 1, activation="lrelu")
        self.conv1 = _conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv1(self.conv0(self.norm(x)))


def _attention(channels: int, wanted: bool) -> nn.Module:
    return nn.Sequential(LinearAttention(channels), FeedForward(channels)) if wanted else nn.Identity()


# ---------------------------------------------------------------- generator


class Mapping(nn.Module):
    """w = f(z / |z|): num_layers layers lrelu(0.1 (W x + b)); truncation as in `stylegan2.Mapping`.

    Shapes: z [N, z_dim] -> ws [N, num_ws, z_dim], in the dtype of the parameters.
    """

    def __init__(self, z_dim: int, num_layers: int, num_ws: int, *, w_avg_beta: float = 0.998):
        super().__init__()
        self.z_dim, self.num_layers, self.num_ws, self.w_avg_beta = z_dim, num_layers, num_ws, w_avg_beta
        for i in range(num_layers):
            setattr(self, f"fc{i}", Linear(z_dim, z_dim, std=1.0, gain=0.1))
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
        w = nn.functional.normalize(common.rows("z", z, self.z_dim, self.w_avg))
        common.labels(c, 0, w, "rows of z")
        for i in range(self.num_layers):
            w = bias_act(getattr(self, f"fc{i}")(w), act="lrelu", gain=1.0)
        if update_emas:
            self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, self.w_avg_beta))
        return common.styles(w, self.w_avg, self.num_ws, truncation_psi, truncation_cutoff)


class Layer(nn.Module):
    """y = lrelu(d conv(W, (affine(w) + 1) x) + strength noise + bias): d and W as in `ModulatedConv2d`."""

    def __init__(self, in_channels: int, channels: int, w_dim: int):
        super().__init__()
        self.affine = Linear(w_dim, in_channels)
        self.weight = nn.Parameter(torch.randn(channels, in_channels, 3, 3) * (2 / (9 * in_channels)) ** 0.5)
        self.noise_strength, self.bias = (nn.Parameter(torch.zeros(channels)) for _ in range(2))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x [N, in_channels, h, w], w [N, w_dim], noise [h, w] or [N, 1, h, w]."""
        x = modulated_conv2d(x, self.weight, self.affine(w) + 1, padding=1)
        x = torch.addcmul(x, noise, self.noise_strength[:, None, None])
        return bias_act(x, self.bias, act="lrelu", gain=1.0)


class ToRGB(nn.Module):
    """y = conv(W, (affine(w) + 1) x), 1x1."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int):
        super().__init__()
        self.affine = Linear(w_dim, in_channels)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1) * (2 / in_channels) ** 0.5)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated_conv2d(x, self.weight, self.affine(w) + 1, demodulate=False)


class SynthesisBlock(nn.Module):
    """One resolution: attention, twice the size (but for the first), conv0, conv1; torgb adds to the image."""

    def __init__(self, in_channels: int, channels: int, side: int, config: Config):
        super().__init__()
        self.is_first = side == 4
        self.attention = _attention(in_channels, side in config.attention)
        self.conv0 = Layer(in_channels, channels, config.w_dim)
        self.conv1 = Layer(channels, channels, config.w_dim)
        self.torgb = ToRGB(channels, config.img_channels, config.w_dim)
        if not self.is_first:
            self.blur = Blur()

    def forward(self, x: Tensor, img: Tensor | None, w: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, in_channels, h/2, w/2], img [N, img_channels, h/2, w/2], w [N, w_dim], noise as large as the result."""
        x = self.attention(x)
        if not self.is_first:
            x = common.enlarged(x)
        x = self.conv1(self.conv0(x, w, noise), w, noise)
        y = self.torgb(x, w)
        return x, y if self.is_first else self.blur(common.enlarged(img)) + y


class Synthesis(nn.Module):
    """image = g(ws, noise): blocks b4, b8, ... up to img_resolution, each with a w of its own.

    Shapes: ws [N, num_ws, w_dim] -> [N, img_channels, H, W], in the dtype of the parameters.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.w_dim = config.w_dim
        self.sides = [4 << i for i in range(config.img_resolution.bit_length() - 2)]
        self.num_ws = len(self.sides)
        channels = config.channels(4)
        if config.const:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            self.to_const = nn.Parameter(torch.randn(config.w_dim, channels, 4, 4) * config.w_dim**-0.5)
        self.has_const = config.const
        self.initial_conv = _conv(channels, channels)
        for side in self.sides:
            block = SynthesisBlock(channels, config.channels(side), side, config)
            setattr(self, f"b{side}", block)
            channels = config.channels(side)
        self.register_buffer("noise_const", torch.randn(config.img_resolution, config.img_resolution))

    def forward(self, ws: Tensor, noise_mode: str = "random") -> Tensor:
        """Draw images; noise_mode is "random", "const" (the stored plane, the same for every sample) or "none"."""
        common.check_ws(ws, self.num_ws, self.w_dim)
        noise = self._noise(ws.shape[0], noise_mode)
        if self.has_const:
            x = self.const.expand(ws.shape[0], -1, -1, -1)
        else:
            x = torch.tensordot(ws.mean(1), self.to_const, 1)
        x, img = self.initial_conv(x), None
        for side, w in zip(self.sides, ws.unbind(1), strict=True):
            x, img = getattr(self, f"b{side}")(x, img, w, noise[..., :side, :side])
        return 2 * img - 1

    def _noise(self, n: int, mode: str) -> Tensor:
        """Phi of the planes: [H, W] or [n, 1, H, W]."""
        if mode not in NOISE_MODES:
            raise ValueError(f"noise_mode: got {mode!r}, takes {', '.join(NOISE_MODES)}")
        plane = self.noise_const
        if mode == "random":
            plane = torch.randn(n, 1, *plane.shape, dtype=plane.dtype, device=plane.device)
        elif mode == "none":
            plane = torch.zeros_like(plane)
        return torch.special.ndtr(plane)


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


# ---------------------------------------------------------------- discriminator


class Quantizer(nn.Module):
    """y = the code that is nearest to x at each position; gradients pass to x as if y were x.

    usage and sums are running means of how often a code was nearest, and of the sum of the x that it was nearest to,
    from which that project makes codes in training. Here codes stay as they are.

    Shapes: x [N, C, H, W] -> y as x; codes and sums [C, codes], usage [codes].

    Source: Zhao et al., Feature Quantization Improves GAN Training, arXiv 2004.02088.
    """

    def __init__(self, channels: int, codes: int):
        super().__init__()
        self.register_buffer("codes", torch.randn(channels, codes))
        self.register_buffer("usage", torch.zeros(codes))
        self.register_buffer("sums", self.codes.clone())

    def forward(self, x: Tensor) -> Tensor:
        distance = self.codes.square().sum(0) - 2 * x.movedim(1, 3) @ self.codes  # less |x|^2, squared
        y = nn.functional.embedding(distance.argmin(3), self.codes.T).movedim(3, 1)
        return x + (y - x).detach()


class DiscriminatorBlock(nn.Module):
    """y = quantizer(attention((down(blur(conv1(conv0(x)))) + skip(x)) / sqrt(2))): half the size, but for b2."""

    def __init__(self, in_channels: int, channels: int, side: int, config: Config):
        super().__init__()
        self.skip = _conv(in_channels, channels, 1, stride=1 if side == 2 else 2)
        self.conv0 = _conv(in_channels, channels, activation="lrelu")
        self.conv1 = _conv(channels, channels, activation="lrelu")
        self.is_last = side == 2
        if not self.is_last:
            self.blur = Blur()
            self.down = _conv(channels, channels, stride=2)
        self.attention = _attention(channels, side in config.attention)
        self.quantizer = Quantizer(channels, config.codes) if side in config.quantized else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.conv0(x))
        if not self.is_last:
            y = self.down(self.blur(y))
        return self.quantizer(self.attention((y + self.skip(x)) * 0.5**0.5))


class Discriminator(nn.Module):
    """D(img, c): blocks from the image's side down to b2, a convolution, a linear layer; c None or empty."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = 0, config.img_resolution, config.img_channels
        self.size = (config.img_resolution,) * 2
        self.sides = [config.img_resolution >> i for i in range(config.img_resolution.bit_length() - 1)]
        channels = config.img_channels
        for side in self.sides:
            block = DiscriminatorBlock(channels, config.d_channels(side), side, config)
            setattr(self, f"b{side}", block)
            channels = config.d_channels(side)
        self.final_conv = _conv(channels, channels)
        self.out = Linear(4 * channels, 1)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Judge img [N, img_channels, H, W], about [-1, 1]: logits [N, 1]."""
        x = (common.images(img, self.img_channels, self.size, self.out.weight) + 1) / 2
        common.labels(c, 0, x, "images")
        for side in self.sides:
            x = getattr(self, f"b{side}")(x)
        return self.out(self.final_conv(x).flatten(1))
