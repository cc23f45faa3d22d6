"""StyleGAN2 by the conventions of rosinality's checkpoints, in plain PyTorch: what those files mean, without gan_fast.

Weights carry a leading axis and are modulated for each sample, upsampling is a transposed convolution by them followed
by a filter with gain 4, the bias belongs to the activation, equalised scales are applied in the forward pass.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def filtered(x: Tensor, kernel: Tensor, before: int, after: int, up: int = 1) -> Tensor:
    """Zeros between samples, zeros around, convolution with the kernel."""
    n, c, h, w = x.shape
    y = x.new_zeros(n, c, h * up, w * up)
    y[:, :, ::up, ::up] = x
    y = F.pad(y, [before, after, before, after])
    return F.conv2d(y, kernel.flip([0, 1]).expand(c, 1, *kernel.shape), groups=c)


def activated(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias.reshape(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2)


class Kernel(nn.Module):
    def __init__(self, taps, gain=1):
        super().__init__()
        taps = torch.tensor(taps, dtype=torch.float32)
        self.register_buffer("kernel", torch.outer(taps, taps) / taps.sum() ** 2 * gain)


class Linear(nn.Module):
    def __init__(self, inputs, outputs, multiplier=1.0, bias=0.0, activate=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.randn(outputs) * 0.1 + bias)
        self.multiplier, self.activate = multiplier, activate

    def forward(self, x):
        x = x @ (self.weight * self.multiplier / math.sqrt(self.weight.shape[1])).T
        b = self.bias * self.multiplier
        return activated(x, b) if self.activate else x + b


class Bias(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(shape) * 0.1)


class Weight(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))


class Modulated(nn.Module):
    def __init__(self, inputs, outputs, k, style, demodulate=True, up=False, taps=()):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, k, k))
        self.modulation = Linear(style, inputs, bias=1.0)
        self.demodulate = demodulate
        if up:
            self.blur = Kernel(taps, 4)

    def forward(self, x, style):
        out, k = self.weight.shape[1], self.weight.shape[-1]
        images = []
        for image, s in zip(x, self.modulation(style), strict=True):
            w = self.weight[0] * s[None, :, None, None] / math.sqrt(self.weight[0, 0].numel())
            if self.demodulate:
                w = w / (w.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
            if hasattr(self, "blur"):
                y = F.conv_transpose2d(image[None], w.transpose(0, 1), stride=2)
                p = self.blur.kernel.shape[0] - 2 - (k - 1)
                images.append(filtered(y, self.blur.kernel, (p + 1) // 2 + 1, p // 2 + 1))
            else:
                images.append(F.conv2d(image[None], w, padding=k // 2))
        y = torch.cat(images)
        assert y.shape[1] == out
        return y


class Styled(nn.Module):
    def __init__(self, inputs, outputs, style, up=False, taps=()):
        super().__init__()
        self.conv = Modulated(inputs, outputs, 3, style, up=up, taps=taps)
        self.noise = Weight([1])
        self.activate = Bias([outputs])

    def forward(self, x, style, noise):
        return activated(self.conv(x, style) + self.noise.weight * noise, self.activate.bias)


class Picture(nn.Module):
    def __init__(self, inputs, style, colours, taps=None):
        super().__init__()
        if taps:
            self.upsample = Kernel(taps, 4)
        self.conv = Modulated(inputs, colours, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.randn(1, colours, 1, 1))

    def forward(self, x, style, below=None):
        y = self.conv(x, style) + self.bias
        if below is not None:
            p = self.upsample.kernel.shape[0] - 2
            y = y + filtered(below, self.upsample.kernel, (p + 1) // 2 + 1, p // 2, up=2)
        return y


class Generator(nn.Module):
    """channels: for 4, 8, ... up to the image's side."""

    def __init__(self, channels, style=8, layers=2, colours=3, taps=(1, 3, 3, 1)):
        super().__init__()
        self.style = nn.Sequential(nn.Identity(), *[Linear(style, style, 0.01, activate=True) for _ in range(layers)])
        self.input = nn.Module()
        self.input.input = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.conv1 = Styled(channels[0], channels[0], style)
        self.to_rgb1 = Picture(channels[0], style, colours)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for below, here in itertools.pairwise(channels):
            self.convs.append(Styled(below, here, style, up=True, taps=taps))
            self.convs.append(Styled(here, here, style))
            self.to_rgbs.append(Picture(here, style, colours, taps))
        for i in range(2 * len(channels) - 1):
            side = 4 << (i + 1) // 2
            self.noises.register_buffer(f"noise_{i}", torch.randn(1, 1, side, side))

    @torch.no_grad()
    def forward(self, z, mean=None, truncation=1.0):
        w = self.style(z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt())
        if mean is not None:
            w = mean + truncation * (w - mean)
        noise = [getattr(self.noises, f"noise_{i}") for i in range(2 * len(self.to_rgbs) + 1)]
        x = self.conv1(self.input.input.expand(len(z), -1, -1, -1), w, noise[0])
        picture = self.to_rgb1(x, w)
        for k, to_rgb in enumerate(self.to_rgbs):
            x = self.convs[2 * k](x, w, noise[2 * k + 1])
            x = self.convs[2 * k + 1](x, w, noise[2 * k + 2])
            picture = to_rgb(x, w, picture)
        return picture


class Conv(nn.Sequential):
    """[filter], convolution, [bias of the activation]."""

    def __init__(self, inputs, outputs, k, down=False, activate=True, taps=()):
        layers = [Kernel(taps)] if down else []
        layers.append(Weight([outputs, inputs, k, k]))
        super().__init__(*layers, *([Bias([outputs])] if activate else []))
        self.down, self.activate = down, activate

    def forward(self, x):
        w = self[int(self.down)].weight
        k = w.shape[-1]
        w = w / math.sqrt(w[0].numel())
        if self.down:
            p = self[0].kernel.shape[0] - 2 + (k - 1)
            x = F.conv2d(filtered(x, self[0].kernel, (p + 1) // 2, p // 2), w, stride=2)
        else:
            x = F.conv2d(x, w, padding=k // 2)
        return activated(x, self[-1].bias) if self.activate else x


class Residual(nn.Module):
    def __init__(self, inputs, outputs, taps):
        super().__init__()
        self.conv1 = Conv(inputs, inputs, 3)
        self.conv2 = Conv(inputs, outputs, 3, down=True, taps=taps)
        self.skip = Conv(inputs, outputs, 1, down=True, activate=False, taps=taps)

    def forward(self, x):
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    def __init__(self, channels, colours=3, taps=(1, 3, 3, 1)):
        super().__init__()
        down = channels[::-1]
        blocks = [Residual(here, below, taps) for here, below in itertools.pairwise(down)]
        self.convs = nn.Sequential(Conv(colours, down[0], 1), *blocks)
        self.final_conv = Conv(channels[0] + 1, channels[0], 3)
        self.final_linear = nn.Sequential(Linear(channels[0] * 16, channels[0], activate=True), Linear(channels[0], 1))

    @torch.no_grad()
    def forward(self, x):
        x = self.convs(x)
        n, c, h, w = x.shape
        groups = x.reshape(min(n, 4), -1, c, h, w)
        spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])
        x = torch.cat([x, spread.repeat(min(n, 4)).reshape(n, 1, 1, 1).expand(n, 1, h, w)], 1)
        return self.final_linear(self.final_conv(x).flatten(1))
