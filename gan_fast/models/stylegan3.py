"""StyleGAN3 (Karras et al. 2021, arXiv 2106.12423): an alias-free generator, equivariant to translation (T) or also to
rotation (R). The discriminator is StyleGAN2's, as in the paper.

    z, c -> Mapping -> ws [N, num_ws, w_dim] -> Fourier features -> num_layers alias-free layers -> ToRGB -> image

Every feature map stands for a continuous signal that is sampled often enough for its band. Layer by layer the schedule
`layer_schedule` widens the band (cutoff) and where it has ended (stopband); `low_pass` designs the filters for it; the
nonlinearity is computed at twice the sampling rate and filtered before it is sampled down (`filtered_lrelu`). Feature
maps extend `margin_size` samples beyond the image, so that what convolutions make of the border is cut off.

Names in state dicts are those of the release, so that its checkpoints fit:

    mapping.embed.*, mapping.fc0.*, ..., mapping.w_avg
    synthesis.input                  weight, affine.weight, affine.bias, transform, freqs, phases
    synthesis.L<i>_<size>_<channels> affine.weight, affine.bias, weight, bias, magnitude_ema, up_filter, down_filter
                                     (the last, ToRGB, has no filters)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping as MappingType

import torch
from torch import Tensor, nn

from gan_fast.layers import EqualizedLinear
from gan_fast.models import common
from gan_fast.models.stylegan2 import LOWPREC_DTYPES, Discriminator, Mapping
from gan_fast.ops import filtered_lrelu, modulated_conv2d


@dataclasses.dataclass(frozen=True)
class Config:
    """Arguments of a matching pair; channel_base counts for G at twice its cutoff and for D at its resolution.

    Attributes:
        rotation: R in place of T: 1x1 convolutions and radial filters, which know no direction.
        num_layers, num_critical: layers before ToRGB, and how many of the last are sampled critically.
        first_cutoff, first_stopband: band of the Fourier features, in cycles an image.
        last_stopband_rel: the last stopband, relative to the last cutoff, which is img_resolution / 2.
        margin_size: samples that feature maps extend beyond the image on each side.
        output_scale: of the image.
        filter_size: taps of a filter for each of its steps of up- or downsampling.
        magnitude_ema_beta: decay of the running means of x^2, per forward pass.
        g_channel_base, g_channel_max: channels of G, min(g_channel_base / 2 / cutoff, g_channel_max).
        num_mapping_layers: fully connected layers of G's mapping; d_num_layers: of D's.
        The others are `stylegan2.Config`'s.
    """

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 512
    w_dim: int = 512
    rotation: bool = False
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    filter_size: int = 6
    magnitude_ema_beta: float = 0.999
    g_channel_base: int = 32768
    g_channel_max: int = 512
    conv_clamp: float | None = 256
    num_mapping_layers: int = 2
    num_lowprec_res: int = 0
    lowprec_dtype: str = "bfloat16"
    channel_base: int = 32768
    channel_max: int = 512
    d_num_layers: int = 8
    mbstd_group_size: int | None = 4


# Section 4 and appendix G; R has twice T's channels, as its convolutions have a ninth of the weights.
_R = {"rotation": True, "g_channel_base": 65536, "g_channel_max": 1024}
# Small enough to learn 16x16 digits on two CPU cores in minutes.
_DIGITS = Config(
    16,
    img_channels=1,
    c_dim=10,
    z_dim=64,
    w_dim=64,
    num_layers=5,
    margin_size=4,
    g_channel_base=512,
    g_channel_max=32,
    channel_base=512,
    channel_max=32,
    d_num_layers=2,
)
PRESETS: dict[str, Config] = {
    "stylegan3-t-digits": _DIGITS,
    "stylegan3-r-digits": dataclasses.replace(_DIGITS, rotation=True),
    "stylegan3-t-256": Config(256),
    "stylegan3-t-512": Config(512),
    "stylegan3-t-1024": Config(1024),
    "stylegan3-r-256": Config(256, **_R),
    "stylegan3-r-512": Config(512, **_R),
    "stylegan3-r-1024": Config(1024, **_R),
}


def build(config: str | Config | MappingType, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced."""
    config = common.configure(Config, PRESETS, config, overrides)
    discriminator = Discriminator(
        config.c_dim,
        config.img_resolution,
        config.img_channels,
        num_layers=config.d_num_layers,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
        conv_clamp=config.conv_clamp,
        mbstd_group_size=config.mbstd_group_size,
        num_lowprec_res=config.num_lowprec_res,
        lowprec_dtype=config.lowprec_dtype,
    )
    return Generator(config), discriminator


# ---------------------------------------------------------------- signals


@dataclasses.dataclass(frozen=True)
class Band:
    """A signal and its sampling: frequencies up to cutoff pass, from cutoff + half_width on they are stopped."""

    cutoff: float
    half_width: float
    sampling_rate: int
    size: int
    channels: int


def layer_schedule(config: Config) -> list[Band]:
    """What each layer returns, from the Fourier features and the first layer, which are alike, to ToRGB.

        f_c[i] = first_cutoff (last_cutoff / first_cutoff)^min(i / (num_layers - num_critical), 1), f_t likewise
        s[i] = min(2^ceil(log2(2 f_t)), img_resolution),  f_h[i] = max(f_t, s / 2) - f_c

    Source: section 3.2, "Flexible layers", and figure 4c.
    """
    last_cutoff = config.img_resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    bands = []
    for i in range(config.num_layers + 1):
        exponent = min(i / (config.num_layers - config.num_critical), 1)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** exponent
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** exponent
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, config.img_resolution)))
        is_last = i >= config.num_layers - 1
        size = config.img_resolution if is_last else rate + 2 * config.margin_size
        channels = round(min(config.g_channel_base / 2 / cutoff, config.g_channel_max))
        if i == config.num_layers:
            channels = config.img_channels
        bands.append(Band(cutoff, max(stopband, rate / 2) - cutoff, rate, size, channels))
    return bands


def low_pass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor | None:
    """A low-pass filter of unit sum by Kaiser's window, which has the transition band width around cutoff.

        f[i] = sinc(2 cutoff x_i) k[i],  or radial  f[i, j] = J1(2 pi cutoff r_ij) / r_ij k[i] k[j],  k = kaiser(beta)

    taps: an even number, or 1: no filter, None. rate: samples in the unit of cutoff and width. Returns float32 [taps],
    to be applied along both axes, or [taps, taps]. Attenuation and beta are Kaiser's formulas (1974).

    Source: appendix C.1, "Kaiser filters", and C.2, "Rotation equivariance".
    """
    if taps == 1:
        return None
    x = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    window = torch.kaiser_window(taps, periodic=False, beta=kaiser_beta(taps, width / rate), dtype=torch.float64)
    if radial:
        r = torch.hypot(x, x[:, None])
        f = torch.special.bessel_j1(2 * math.pi * cutoff * r) / r * window * window[:, None]
    else:
        f = torch.sinc(2 * cutoff * x) * window
    return (f / f.sum()).float()


def kaiser_beta(taps: int, width: float) -> float:
    """The window's parameter for a transition band of the given width, as a share of the sampling rate."""
    attenuation = 2.285 * (taps - 1) * 2 * math.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0


# ---------------------------------------------------------------- generator


class SynthesisInput(nn.Module):
    """Fourier features on an infinite plane, moved by a rotation and a translation that w gives, then mixed.

        x[n, k] = a sin(2 pi (f_k . T_n(p) + phi_k)),  y = x W^T / sqrt(channels)

    f_k are uniform in a disc as wide as the band, p is the position on the grid, and T_n the learned rotation and
    translation, then the user's `transform` [3, 3] (a buffer, the inverse of what happens to the image). A frequency
    that a user's scaling takes out of the band fades by a = clamp(1 - (|f| - f_c) / (s / 2 - f_c), 0, 1).

    Args:
        w_dim: size of w.
        band: of the features; its size, rate and channels.

    Shapes: w [N, w_dim] -> [N, channels, size, size].

    Source: section 3.1, "Fourier features"; appendix F, "Transformed Fourier features".
    """

    def __init__(self, w_dim: int, band: Band):
        super().__init__()
        self.band = band
        angle, radius = torch.rand(band.channels) * 2 * math.pi, torch.rand(band.channels).sqrt() * band.cutoff
        self.weight = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = EqualizedLinear(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias[0] = 1
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.stack([angle.cos(), angle.sin()], 1) * radius[:, None])
        self.register_buffer("phases", torch.rand(band.channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        band = self.band
        t = self.affine(w)
        cos, sin, tx, ty = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        shift = torch.stack([sin * ty - cos * tx, -sin * tx - cos * ty], 1)  # R (-t)
        rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        shift = (rotation @ self.transform[:2, 2:])[:, :, 0] + shift
        phases = self.phases + shift @ self.freqs.T
        freqs = self.freqs @ (rotation @ self.transform[:2, :2])
        amplitudes = 1 - (freqs.norm(dim=2) - band.cutoff) / (band.sampling_rate / 2 - band.cutoff)
        steps = torch.arange(band.size, dtype=w.dtype, device=w.device)
        positions = (steps - (band.size - 1) / 2) / band.sampling_rate
        x = freqs[:, :, :1] * positions  # along each axis: [N, channels, size]
        y = freqs[:, :, 1:] * positions
        turns = x[:, :, None] + y[:, :, :, None] + phases[:, :, None, None]
        features = torch.sin(2 * math.pi * turns) * amplitudes.clamp(0, 1)[:, :, None, None]
        return torch.einsum("nchw,oc->nohw", features, self.weight / band.channels**0.5)

    def extra_repr(self) -> str:
        return repr(self.band)


class SynthesisLayer(nn.Module):
    """y = filtered_lrelu(modulated_conv(x / sqrt(magnitude_ema), W, affine(w)) + b), from one band to the next.

    The running mean of x^2, magnitude_ema, keeps the scale, in place of norms that each image would have of its own: in
    training mode every forward pass moves it. ToRGB is neither demodulated nor filtered, and linear.

    Args:
        w_dim: size of w.
        before, after: bands of x and y.
        is_torgb: whether this is ToRGB.
        is_critical: sampled critically; its filter is separable also in R.
        rotation: R in place of T.
        conv_clamp: bound on |y|; None: none.
        dtype: that the layer computes in; None: its parameters'.
        filter_size: taps of a filter for each of its steps of up- or downsampling.
        magnitude_ema_beta: decay of the running mean, per forward pass.

    Shapes: x [N, before.channels, h, h], w [N, w_dim] -> [N, after.channels, after.size, after.size].

    Source: section 3.2; appendix C.
    """

    def __init__(
        self,
        w_dim: int,
        before: Band,
        after: Band,
        *,
        is_torgb: bool,
        is_critical: bool,
        rotation: bool,
        conv_clamp: float | None,
        dtype: torch.dtype | None,
        filter_size: int,
        magnitude_ema_beta: float,
    ):
        super().__init__()
        self.is_torgb, self.conv_clamp, self.dtype = is_torgb, conv_clamp, dtype
        self.magnitude_ema_beta = magnitude_ema_beta
        k = 1 if is_torgb or rotation else 3
        self.affine = EqualizedLinear(w_dim, before.channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, k, k))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        rate = max(before.sampling_rate, after.sampling_rate) * (1 if is_torgb else 2)
        self.up, self.down = rate // before.sampling_rate, rate // after.sampling_rate
        up_taps, down_taps = (1 if is_torgb or n == 1 else filter_size * n for n in (self.up, self.down))
        radial = rotation and not is_critical
        up_filter = low_pass(up_taps, before.cutoff, 2 * before.half_width, rate)
        down_filter = low_pass(down_taps, after.cutoff, 2 * after.half_width, rate, radial)
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        # The convolution is padded in full; here both grids are centred on the image.
        total = (after.size - 1) * self.down + 1 - (before.size + k - 1) * self.up + up_taps + down_taps - 2
        first = (total + self.up) // 2
        self.padding = [first, total - first] * 2

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = x.to(self.dtype or self.weight.dtype)
        if self.training:
            magnitude = x.detach().to(self.magnitude_ema.dtype).square().mean()
            self.magnitude_ema.copy_(magnitude.lerp(self.magnitude_ema, self.magnitude_ema_beta))
        k = self.weight.shape[2]
        s = self.affine(w)
        if self.is_torgb:
            s = s * (self.weight.shape[1] * k**2) ** -0.5
        # rsqrt makes a tensor of its own, which the next update of the mean leaves to the backward pass.
        gain = self.magnitude_ema.rsqrt()
        x = modulated_conv2d(x, self.weight, s, padding=k - 1, demodulate=not self.is_torgb, input_gain=gain)
        act_gain, slope = (1.0, 1.0) if self.is_torgb else (2**0.5, 0.2)
        return filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=self.up,
            down=self.down,
            padding=self.padding,
            gain=act_gain,
            slope=slope,
            clamp=self.conv_clamp,
        )

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}, up={self.up}, down={self.down}, padding={self.padding}"


class Synthesis(nn.Module):
    """image = g(ws): Fourier features, then layer after layer, each with a w of its own.

    Shapes: ws [N, num_layers + 2, w_dim] -> [N, img_channels, img_resolution, img_resolution], in the dtype of the
    parameters.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.w_dim, self.output_scale, self.num_ws = config.w_dim, config.output_scale, config.num_layers + 2
        bands = layer_schedule(config)
        self.input = SynthesisInput(config.w_dim, bands[0])
        self.names = []
        for i, after in enumerate(bands):
            is_low = after.sampling_rate * 2**config.num_lowprec_res > config.img_resolution
            layer = SynthesisLayer(
                config.w_dim,
                bands[max(i - 1, 0)],
                after,
                is_torgb=i == config.num_layers,
                is_critical=i >= config.num_layers - config.num_critical,
                rotation=config.rotation,
                conv_clamp=config.conv_clamp,
                dtype=LOWPREC_DTYPES[config.lowprec_dtype] if is_low else None,
                filter_size=config.filter_size,
                magnitude_ema_beta=config.magnitude_ema_beta,
            )
            self.names.append(f"L{i}_{after.size}_{after.channels}")
            setattr(self, self.names[-1], layer)

    def forward(self, ws: Tensor, noise_mode: str = "random") -> Tensor:
        """Draw images; noise_mode is for those who call any StyleGAN's synthesis: this one has no noise."""
        common.check_ws(ws, self.num_ws, self.w_dim)
        w, *rest = ws.unbind(1)
        x = self.input(w)
        for name, w in zip(self.names, rest, strict=True):
            x = getattr(self, name)(x, w)
        return x.to(self.input.weight.dtype) * self.output_scale


class Generator(common.StyleBased):
    """G(z, c) = synthesis(mapping(z, c)). Arguments are in `Config`."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(self.z_dim, self.c_dim, self.w_dim, self.num_ws, config.num_mapping_layers)
