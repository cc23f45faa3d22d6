"""The StyleGAN3 generator by the conventions of NVlabs' pickles, in plain PyTorch and SciPy: without gan_fast."""

import math

import numpy as np
import scipy.signal
import scipy.special
import torch
import torch.nn.functional as F
from nvlabs_style import EasyDict, FullyConnectedLayer, MappingNetwork, Persistent
from torch import nn


def low_pass(taps, cutoff, width, rate, radial=False):
    if taps == 1:
        return None
    if not radial:
        return torch.tensor(scipy.signal.firwin(taps, cutoff, width=width, fs=rate), dtype=torch.float32)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(x, x[:, None])
    window = np.kaiser(taps, scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, width / (rate / 2))))
    f = scipy.special.j1(2 * math.pi * cutoff * r) / r * np.outer(window, window)
    return torch.tensor(f / f.sum(), dtype=torch.float32)


def filtered(x, f):
    if f is None:
        return x
    f = torch.outer(f, f) if f.ndim == 1 else f
    return F.conv2d(x, f.expand(x.shape[1], 1, *f.shape), groups=x.shape[1])


class SynthesisInput(Persistent):
    def __init__(self, w, channels, size, rate, cutoff):
        super().__init__()
        self.channels, self.size = channels, np.array([size, size])
        self.sampling_rate, self.bandwidth = rate, cutoff  # NumPy's numbers, as NVlabs'
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnectedLayer(w, 4)
        self.register_buffer("transform", torch.eye(3) + torch.tensor([[0.1, -0.2, 0.1], [0.3, 0.1, 0.2], [0, 0, 0]]))
        self.register_buffer("freqs", torch.randn(channels, 2) * cutoff)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w):
        images = []
        for cos, sin, tx, ty in (t / t[:2].norm() for t in self.affine(w)):
            rotation = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
            moved = rotation @ torch.tensor([[1, 0, -tx], [0, 1, -ty], [0, 0, 1]]) @ self.transform
            phases, freqs = self.phases + self.freqs @ moved[:2, 2], self.freqs @ moved[:2, :2]
            fade = 1 - (freqs.norm(dim=1) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)
            at = (torch.arange(self.size[0]) - (self.size[0] - 1) / 2) / self.sampling_rate
            y, x = torch.meshgrid(at.float(), at.float(), indexing="ij")
            turns = torch.stack([x, y], 2) @ freqs.T + phases
            features = torch.sin(2 * math.pi * turns) * fade.clamp(0, 1)
            images.append((features @ self.weight.T / math.sqrt(self.channels)).permute(2, 0, 1))
        return torch.stack(images)


class SynthesisLayer(Persistent):
    """before, after: cutoff, half width, sampling rate, size and channels of a band."""

    def __init__(self, w, before, after, torgb, critical, k, radial, taps, clamp, beta):
        super().__init__()
        k = 1 if torgb else k
        self.is_torgb, self.conv_kernel, self.conv_clamp, self.magnitude_ema_beta = torgb, k, clamp, beta
        self.in_size, self.out_size, self.in_cutoff = np.array([before[3]] * 2), np.array([after[3]] * 2), before[0]
        self.affine = FullyConnectedLayer(w, before[4], bias=1.0)
        self.weight = nn.Parameter(torch.randn(after[4], before[4], k, k))
        self.bias = nn.Parameter(torch.randn(after[4]))
        self.register_buffer("magnitude_ema", torch.rand([]) + 0.5)
        rate = max(before[2], after[2]) * (1 if torgb else 2)
        self.up_factor, self.down_factor = int(rate / before[2]), int(rate / after[2])
        up_taps, down_taps = (1 if torgb else taps * n for n in (self.up_factor, self.down_factor))
        self.register_buffer("up_filter", low_pass(up_taps, before[0], 2 * before[1], rate))
        self.register_buffer("down_filter", low_pass(down_taps, after[0], 2 * after[1], rate, radial and not critical))
        total = (after[3] - 1) * self.down_factor + 1 - (before[3] + k - 1) * self.up_factor + up_taps + down_taps - 2
        first = (total + self.up_factor) // 2
        self.padding = [first, total - first] * 2

    def forward(self, x, w):
        n, c, h, _ = x.shape
        s = self.affine(w)
        weight = self.weight
        if self.is_torgb:
            s = s / math.sqrt(c)
        else:
            weight = weight / weight.square().mean([1, 2, 3], keepdim=True).sqrt()
            s = s / s.square().mean().sqrt()
        weight = weight * s[:, None, :, None, None]
        if not self.is_torgb:
            weight = weight / (weight.square().sum([2, 3, 4], keepdim=True) + 1e-8).sqrt()
        weight = weight / self.magnitude_ema.sqrt()
        k = self.conv_kernel
        x = torch.cat([F.conv2d(image[None], v, padding=k - 1) for image, v in zip(x, weight, strict=True)])
        x = x + self.bias[:, None, None]
        up, size = self.up_factor, h + k - 1
        y = x.new_zeros(n, x.shape[1], size * up, size * up)
        y[:, :, ::up, ::up] = x * up**2
        y = filtered(F.pad(y, self.padding), self.up_filter)
        if not self.is_torgb:
            y = F.leaky_relu(y, 0.2) * math.sqrt(2)
        y = y if self.conv_clamp is None else y.clamp(-self.conv_clamp, self.conv_clamp)
        return filtered(y, self.down_filter)[:, :, :: self.down_factor, :: self.down_factor]


class SynthesisNetwork(Persistent):
    def __init__(
        self,
        w_dim,
        img_resolution,
        img_channels,
        channel_base,
        channel_max,
        num_layers,
        num_critical,
        first_cutoff,
        first_stopband,
        last_stopband_rel,
        margin_size,
        output_scale,
        num_fp16_res,
        conv_kernel,
        use_radial_filters,
        filter_size,
        conv_clamp,
        magnitude_ema_beta,
    ):
        super().__init__()
        self.num_layers, self.output_scale = num_layers, output_scale
        exponents = np.minimum(np.arange(num_layers + 1) / (num_layers - num_critical), 1)
        last = img_resolution / 2
        cutoffs = first_cutoff * (last / first_cutoff) ** exponents
        stops = first_stopband * (last * last_stopband_rel / first_stopband) ** exponents
        rates = np.exp2(np.ceil(np.log2(np.minimum(2 * stops, img_resolution))))
        widths = np.maximum(stops, rates / 2) - cutoffs
        sizes = [*(int(rate) + 2 * margin_size for rate in rates[:-2]), img_resolution, img_resolution]
        channels = [int(n) for n in np.rint(np.minimum(channel_base / 2 / cutoffs, channel_max))]
        bands = list(zip(cutoffs, widths, rates, sizes, [*channels[:-1], img_channels], strict=True))
        self.input = SynthesisInput(w_dim, channels[0], sizes[0], rates[0], cutoffs[0])
        self.layer_names = []
        for i, after in enumerate(bands):
            layer = SynthesisLayer(
                w_dim,
                bands[max(i - 1, 0)],
                after,
                i == num_layers,
                i >= num_layers - num_critical,
                conv_kernel,
                use_radial_filters,
                filter_size,
                conv_clamp,
                magnitude_ema_beta,
            )
            self.layer_names.append(f"L{i}_{after[3]}_{after[4]}")
            setattr(self, self.layer_names[-1], layer)

    def forward(self, w):
        x = self.input(w)
        for name in self.layer_names:
            x = getattr(self, name)(x, w)
        return x * self.output_scale


ARGUMENTS = {
    "img_resolution": 16,
    "img_channels": 3,
    "channel_base": 96,
    "channel_max": 8,
    "num_layers": 4,
    "num_critical": 1,
    "first_cutoff": 1.5,
    "first_stopband": 3.5,
    "last_stopband_rel": 1.2,
    "margin_size": 3,
    "output_scale": 0.5,
    "num_fp16_res": 4,
    "filter_size": 4,
    "conv_clamp": 2.0,
    "magnitude_ema_beta": 0.99,
}


class Generator(Persistent):
    """w is one for all layers."""

    def __init__(self, rotation, z=6, c=3, w=8, layers=2):
        super().__init__()
        options = ARGUMENTS | {"conv_kernel": 1 if rotation else 3, "use_radial_filters": rotation}
        self._init_kwargs = EasyDict(z_dim=z, c_dim=c, w_dim=w, mapping_kwargs=EasyDict(num_layers=layers), **options)
        self.z_dim, self.c_dim, self.w_dim, self.img_resolution = z, c, w, options["img_resolution"]
        self.synthesis = SynthesisNetwork(w, **options)
        self.mapping = MappingNetwork(z, c, w, layers, average=True)

    @torch.no_grad()
    def forward(self, z, c, psi=1.0):
        return self.synthesis(self.mapping(z, c, psi))
