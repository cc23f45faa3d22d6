"""StyleGAN2-ADA by the conventions of NVlabs' pickles, in plain PyTorch, and those pickles: without gan_fast.

Layers resample as published: zeros between samples, padding, filter, then a convolution without padding; an upsampling
layer convolves, the others correlate. Instances are reduced as NVlabs' persistent classes are: a call of
torch_utils.persistence._reconstruct_persistent_obj with the source of their module, which here would leave a canary.
"""

import contextlib
import itertools
import math
import pickle
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def reconstruct(meta):
    raise AssertionError("nothing but NVlabs' loader calls this")


reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"


class EasyDict(dict):
    """A dict with attributes, pickled as dnnlib's."""


EasyDict.__module__ = "dnnlib.util"


@contextlib.contextmanager
def nvlabs_importable():
    """NVlabs' packages can be imported, by their names, while a pickle is written."""
    modules = {
        name: types.ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct
    modules["dnnlib.util"].EasyDict = EasyDict
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def write(path, contents, source, protocol=4):
    Persistent.source = source
    with nvlabs_importable():
        path.write_bytes(pickle.dumps(contents, protocol))
    return path


class Persistent(nn.Module):
    source = ""

    def __reduce__(self):
        state = {"_init_args": (), "_init_kwargs": EasyDict(resolution=16), **vars(self)}
        meta = {"type": "class", "version": 6, "module_src": self.source, "class_name": type(self).__name__}
        return reconstruct, (meta | {"state": state},)


def make_filter(taps):
    f = torch.tensor(taps, dtype=torch.float32)
    return torch.outer(f, f) / f.sum() ** 2


def resampled(x, f, up=1, down=1, pad=0):
    """Zeros, padding that keeps up / down times the size plus `pad`, the filter; no sample is dropped for `down`."""
    n, c, h, w = x.shape
    y = x.new_zeros(n, c, h * up, w * up)
    y[:, :, ::up, ::up] = x
    p = f.shape[0]
    before, after = ((p + up - 1) // 2, (p - up) // 2) if up > 1 else ((p - down + 1) // 2, (p - down) // 2)
    y = F.pad(y, [before + pad, after + pad] * 2)
    return F.conv2d(y, f.flip([0, 1]).expand(c, 1, p, p) * up**2, groups=c)


def lrelu(x, b, gain=1.0, clamp=None):
    x = F.leaky_relu(x + b.reshape(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2) * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


class FullyConnectedLayer(Persistent):
    def __init__(self, inputs, outputs, activation="linear", lr=1.0, bias=0.0):
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.randn(outputs) * 0.1 + bias)
        self.weight_gain, self.bias_gain = lr / np.sqrt(inputs), lr  # a NumPy number, as NVlabs'

    def forward(self, x):
        x, b = x @ (self.weight * self.weight_gain).T, self.bias * self.bias_gain
        return x + b if self.activation == "linear" else lrelu(x, b)


class MappingNetwork(Persistent):
    def __init__(self, z, c, w, layers, average):
        super().__init__()
        self.layers = layers
        if c:
            self.embed = FullyConnectedLayer(c, w)
        inputs = z + (w if c else 0)
        for i in range(layers):
            setattr(self, f"fc{i}", FullyConnectedLayer(inputs if i == 0 else w, w, "lrelu", 0.01))
        if average:
            self.register_buffer("w_avg", torch.randn(w))

    def forward(self, z, c, psi=1.0):
        parts = [x for x in (z, self.embed(c) if hasattr(self, "embed") else None) if x is not None]
        x = torch.cat([p * (p.square().mean(1, keepdim=True) + 1e-8).rsqrt() for p in parts], 1)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x if psi == 1 else self.w_avg + psi * (x - self.w_avg)


class SynthesisLayer(Persistent):
    def __init__(self, inputs, outputs, w, resolution, up, taps, clamp):
        super().__init__()
        self.up, self.conv_clamp, self.activation, self.padding = up, clamp, "lrelu", 1
        self.register_buffer("resample_filter", make_filter(taps))
        self.affine = FullyConnectedLayer(w, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_strength = nn.Parameter(torch.randn([]))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x, w):
        images = []
        for image, s in zip(x, self.affine(w), strict=True):
            weight = self.weight * s[None, :, None, None]
            weight = weight / (weight.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
            if self.up == 2:
                image = resampled(image[None], self.resample_filter, up=2, pad=1)
                images.append(F.conv2d(image, weight.flip([2, 3])))
            else:
                images.append(F.conv2d(image[None], weight, padding=1))
        return lrelu(torch.cat(images) + self.noise_const * self.noise_strength, self.bias, clamp=self.conv_clamp)


class ToRGBLayer(Persistent):
    def __init__(self, inputs, colours, w, clamp):
        super().__init__()
        self.conv_clamp = clamp
        self.affine = FullyConnectedLayer(w, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(colours, inputs, 1, 1))
        self.bias = nn.Parameter(torch.randn(colours))
        self.weight_gain = 1 / np.sqrt(inputs)

    def forward(self, x, w):
        s = self.affine(w) * self.weight_gain
        x = torch.einsum("nchw,oc,nc->nohw", x, self.weight[:, :, 0, 0], s) + self.bias.reshape(-1, 1, 1)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class SynthesisBlock(Persistent):
    def __init__(self, inputs, outputs, w, resolution, colours, taps, clamp):
        super().__init__()
        self.architecture, self.use_fp16 = "skip", False
        self.register_buffer("resample_filter", make_filter(taps))
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, w, resolution, 2, taps, clamp)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(outputs, outputs, w, resolution, 1, taps, clamp)
        self.torgb = ToRGBLayer(outputs, colours, w, clamp)

    def forward(self, x, img, w):
        x = self.conv0(x, w) if hasattr(self, "conv0") else self.const.expand(len(w), -1, -1, -1)
        x = self.conv1(x, w)
        y = self.torgb(x, w)
        return x, y if img is None else y + resampled(img, self.resample_filter, up=2)


class SynthesisNetwork(Persistent):
    def __init__(self, channels, w, colours, taps, clamp):
        super().__init__()
        self.block_resolutions = list(channels)
        below = 0
        for r, here in channels.items():
            setattr(self, f"b{r}", SynthesisBlock(below, here, w, r, colours, taps, clamp))
            below = here

    def forward(self, w):
        x = img = None
        for r in self.block_resolutions:
            x, img = getattr(self, f"b{r}")(x, img, w)
        return img


class Generator(Persistent):
    """channels: by resolution. w is one for all layers."""

    def __init__(self, channels, z=6, c=0, w=8, layers=2, colours=3, taps=(1, 3, 3, 1), clamp=None):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z, c, w
        self.synthesis = SynthesisNetwork(channels, w, colours, taps, clamp)
        self.mapping = MappingNetwork(z, c, w, layers, average=True)

    @torch.no_grad()
    def forward(self, z, c=None, psi=1.0):
        return self.synthesis(self.mapping(z, c, psi))


class Conv2dLayer(Persistent):
    def __init__(self, inputs, outputs, k, activation="linear", bias=True, down=1, taps=(1, 3, 3, 1), clamp=None):
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp, self.padding = activation, 1, down, clamp, k // 2
        self.register_buffer("resample_filter", make_filter(taps))
        self.weight = nn.Parameter(torch.randn(outputs, inputs, k, k))
        self.bias = nn.Parameter(torch.randn(outputs)) if bias else None
        self.weight_gain = 1 / np.sqrt(inputs * k**2)

    def forward(self, x, gain=1.0):
        w = self.weight * self.weight_gain
        if self.down == 2:
            x = F.conv2d(resampled(x, self.resample_filter, down=2, pad=self.padding), w)[:, :, ::2, ::2]
        else:
            x = F.conv2d(x, w, padding=self.padding)
        return x * gain if self.bias is None else lrelu(x, self.bias, gain, self.conv_clamp)


class DiscriminatorBlock(Persistent):
    def __init__(self, first, here, below, colours, taps, clamp):
        super().__init__()
        self.architecture = "resnet"
        self.register_buffer("resample_filter", make_filter(taps))
        options = {"activation": "lrelu", "taps": taps, "clamp": clamp}
        if first:
            self.fromrgb = Conv2dLayer(colours, here, 1, **options)
        self.conv0 = Conv2dLayer(here, here, 3, **options)
        self.conv1 = Conv2dLayer(here, below, 3, down=2, **options)
        self.skip = Conv2dLayer(here, below, 1, bias=False, down=2, taps=taps)

    def forward(self, x):
        x = self.fromrgb(x) if hasattr(self, "fromrgb") else x
        return self.conv1(self.conv0(x), math.sqrt(0.5)) + self.skip(x, math.sqrt(0.5))


class MinibatchStdLayer(Persistent):
    def __init__(self, group_size, num_channels=1):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x):
        n, c, h, w = x.shape
        g = min(self.group_size, n)
        spread = (x.reshape(g, -1, c, h, w).var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])
        return torch.cat([x, spread.repeat(g).reshape(n, 1, 1, 1).expand(n, 1, h, w)], 1)


class DiscriminatorEpilogue(Persistent):
    def __init__(self, channels, cmap, group_size, clamp):
        super().__init__()
        self.mbstd = MinibatchStdLayer(group_size)
        self.conv = Conv2dLayer(channels + 1, channels, 3, activation="lrelu", clamp=clamp)
        self.fc = FullyConnectedLayer(channels * 16, channels, "lrelu")
        self.out = FullyConnectedLayer(channels, cmap or 1)

    def forward(self, x, cmap):
        x = self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))
        return x if cmap is None else (x * cmap).sum(1, keepdim=True) / math.sqrt(cmap.shape[1])


class Discriminator(Persistent):
    def __init__(self, channels, c=0, colours=3, taps=(1, 3, 3, 1), clamp=None, group_size=8, layers=2):
        super().__init__()
        down = sorted(channels, reverse=True)
        for r, below in itertools.pairwise(down):
            block = DiscriminatorBlock(r == down[0], channels[r], channels[below], colours, taps, clamp)
            setattr(self, f"b{r}", block)
        if c:
            self.mapping = MappingNetwork(0, c, channels[4], layers, average=False)
        self.block_resolutions = down[:-1]
        self.b4 = DiscriminatorEpilogue(channels[4], channels[4] if c else 0, group_size, clamp)

    @torch.no_grad()
    def forward(self, x, c=None):
        for r in self.block_resolutions:
            x = getattr(self, f"b{r}")(x)
        return self.b4(x, self.mapping(None, c) if hasattr(self, "mapping") else None)
