"""The layers of GANs, as nn.Modules over gan_fast.ops, for our models and for anyone's.

Equalised learning rate (Karras et al. 2018, arXiv 1710.10196, section 4.1): weights start as N(0, 1) and are scaled in
every forward pass by lr_multiplier / sqrt(fan_in), so that Adam moves all layers at the same relative speed.

Every layer keeps the dtype of its activation, casts its parameters to it, and can be differentiated as often as the
ops under it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_fast.ops import (
    bias_act,
    conv2d,
    conv2d_resample,
    conv_transpose2d,
    downsample2d,
    filter2d,
    minibatch_stddev,
    modulated_conv2d,
    setup_filter,
    upsample2d,
)
from gan_fast.ops.bias_act import ACTIVATIONS

__all__ = [
    "BatchNorm2d",
    "Blur",
    "Conv2d",
    "Convolution",
    "Downsample",
    "EqualizedLinear",
    "FromRGB",
    "MinibatchDiscrimination",
    "MinibatchStdDev",
    "ModulatedConv2d",
    "ToRGB",
    "Upsample",
]

NOISE_MODES = ("random", "const", "none")


class EqualizedLinear(nn.Module):
    """y = act(x (g W)^T + m b), with g = lr_multiplier / sqrt(in_features) and m = lr_multiplier.

    The weight starts as N(0, 1) / lr_multiplier and the bias at bias_init / lr_multiplier, so the multiplier changes
    the speed of learning and not the start.

    Args:
        in_features, out_features: sizes of the last axis of x and y.
        bias: whether to add b, [out_features].
        activation: a name that `gan_fast.ops.bias_act` takes; its default gain applies.
        lr_multiplier: speed of learning relative to other layers.
        bias_init: what the bias starts as, after the multiplier.

    Shapes: x [N, in_features] -> y [N, out_features], in the dtype of x.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ):
        super().__init__()
        _check(activation)
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], bias_init / lr_multiplier)) if bias else None
        self.weight_gain = lr_multiplier / in_features**0.5
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        w = (self.weight * self.weight_gain).to(x.dtype)
        b = None if self.bias is None else (self.bias * self.bias_gain).to(x.dtype)
        if self.activation == "linear":
            return nn.functional.linear(x, w, b)
        return bias_act(nn.functional.linear(x, w), b, act=self.activation)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, activation={self.activation!r}"


class Conv2d(nn.Module):
    """y = clamp(gain * act(resample(conv(x, W / sqrt(fan_in))) + b)), fan_in = in_channels * kernel_size^2.

    Args:
        in_channels, out_channels: C and O.
        kernel_size: odd; the padding keeps the size.
        bias: whether to add b, [O].
        activation: a name that `gan_fast.ops.bias_act` takes; its default gain applies.
        up, down: whole factors by which the output is larger or smaller.
        resample_filter: taps of the FIR low-pass used when up or down is not 1.
        conv_clamp: the output is kept within [-conv_clamp * gain, conv_clamp * gain]; None: no clamp.

    Shapes: x [N, C, H, W] -> y [N, O, H * up / down, W * up / down], in the dtype of x. The weight is [O, C, k, k]; a
    layer with up > 1 stores it as a transposed convolution does (rotated by 180 degrees), as published checkpoints do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ):
        super().__init__()
        _check(activation, kernel_size)
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, conv_clamp
        self.padding = kernel_size // 2
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = (in_channels * kernel_size**2) ** -0.5
        self.register_buffer("resample_filter", setup_filter(resample_filter))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        # A plain linear layer takes its gain with the weight and saves a pass over the output.
        plain = self.activation == "linear" and self.bias is None and self.conv_clamp is None
        w = self.weight * (self.weight_gain * gain if plain else self.weight_gain)
        x = conv2d_resample(
            x,
            w.to(x.dtype),
            self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,
        )
        if plain:
            return x
        act_gain = ACTIVATIONS[self.activation].gain * gain
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return bias_act(x, self.bias, act=self.activation, gain=act_gain, clamp=clamp)

    def extra_repr(self) -> str:
        return _conv_repr(self.weight, f"up={self.up}, down={self.down}, activation={self.activation!r}")


class ModulatedConv2d(nn.Module):
    """A synthesis layer: y = clamp(gain * act(d * conv(W, s * x) + strength * noise + b)).

    s = affine(w) scales the input channels of each sample, and d_o = 1 / sqrt(sum_ik (s_i W_oik)^2 + 1e-8) brings each
    output channel back to unit variance (Karras et al. 2020, arXiv 1912.04958, equations 1 to 3). Per-sample weights
    are never formed.

    Args:
        in_channels, out_channels: C and O.
        w_dim: size of the intermediate latent w.
        kernel_size: odd; the padding keeps the size.
        resolution: output size that the noise has, one int or (height, width); None: a layer without noise.
        up: whole factor by which the output is larger.
        activation: a name that `gan_fast.ops.bias_act` takes; its default gain applies.
        resample_filter: taps of the FIR low-pass used when up is not 1.
        conv_clamp: the output is kept within [-conv_clamp * gain, conv_clamp * gain]; None: no clamp.

    Shapes: x [N, C, H, W], w [N, w_dim] -> y [N, O, H * up, W * up], in the dtype of x. noise_mode is "random" (a new
    plane for each sample), "const" (the buffer noise_const, the same for all) or "none".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        kernel_size: int = 3,
        *,
        resolution: int | tuple[int, int] | None = None,
        up: int = 1,
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ):
        super().__init__()
        _check(activation, kernel_size)
        self.activation, self.up, self.conv_clamp = activation, up, conv_clamp
        self.padding = kernel_size // 2
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        self.has_noise = resolution is not None
        if self.has_noise:
            size = (resolution, resolution) if isinstance(resolution, int) else tuple(resolution)
            self.register_buffer("noise_const", torch.randn(size))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor, w: Tensor, noise_mode: str = "random", gain: float = 1.0) -> Tensor:
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=noise_planes(self.noise_const if self.has_noise else None, x.shape[0], noise_mode),
            strength=self.noise_strength if self.has_noise and noise_mode != "none" else None,
            up=self.up,
            padding=self.padding,
            f=self.resample_filter,
            flip_weight=self.up == 1,
            b=self.bias,
            act=self.activation,
            gain=ACTIVATIONS[self.activation].gain * gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )

    def extra_repr(self) -> str:
        return _conv_repr(self.weight, f"up={self.up}, activation={self.activation!r}")


class ToRGB(nn.Module):
    """y = clamp(conv(W, s * x) + b) with s = affine(w) / sqrt(fan_in): modulated, not demodulated, no noise, linear.

    Args:
        in_channels, out_channels: C and the number of image channels O.
        w_dim: size of the intermediate latent w.
        kernel_size: odd; the padding keeps the size.
        conv_clamp: the output is kept within [-conv_clamp, conv_clamp]; None: no clamp.

    Shapes: x [N, C, H, W], w [N, w_dim] -> y [N, O, H, W], in the dtype of x.
    """

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, kernel_size: int = 1, *, conv_clamp: float | None = None
    ):
        super().__init__()
        _check("linear", kernel_size)
        self.conv_clamp, self.padding = conv_clamp, kernel_size // 2
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = (in_channels * kernel_size**2) ** -0.5

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s = self.affine(w) * self.weight_gain
        return modulated_conv2d(
            x, self.weight, s, padding=self.padding, demodulate=False, b=self.bias, clamp=self.conv_clamp
        )

    def extra_repr(self) -> str:
        return _conv_repr(self.weight, "demodulate=False")


class FromRGB(Conv2d):
    """A 1x1 equalised convolution from image channels to features, with bias and leaky ReLU: see `Conv2d`.

    Shapes: x [N, img_channels, H, W] -> y [N, out_channels, H, W], in the dtype of x.
    """

    def __init__(
        self,
        img_channels: int,
        out_channels: int,
        *,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ):
        super().__init__(
            img_channels,
            out_channels,
            1,
            activation="lrelu",
            resample_filter=resample_filter,
            conv_clamp=conv_clamp,
        )


class MinibatchStdDev(nn.Module):
    """Appends num_channels channels that say how much the samples of a group differ: `gan_fast.ops.minibatch_stddev`.

    Args:
        group_size: samples in a group; None: the whole batch.
        num_channels: how many statistics, each over its own share of the channels.

    Shapes: x [N, C, H, W], labels [N] (optional, integers: groups within a class) -> y [N, C + num_channels, H, W], in
    the dtype of x.
    """

    def __init__(self, group_size: int | None = 4, num_channels: int = 1):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return minibatch_stddev(x, self.group_size, self.num_channels, labels)

    def extra_repr(self) -> str:
        return f"group_size={self.group_size}, num_channels={self.num_channels}"


class Convolution(nn.Module):
    """y = act(conv(x, W) + b) gain, with W as it is: for networks without equalised learning rate.

    Args:
        in_channels, out_channels: C and O.
        kernel_size, stride, padding: of the convolution; padding None keeps the size at stride 1.
        groups: channels are convolved in so many groups.
        bias: whether to add b, [O], which starts as 0.
        activation: a name that `gan_fast.ops.bias_act` takes.
        gain: of the activation; None: its default.
        transposed: the adjoint of a convolution, which enlarges by the stride.
        std: W starts as N(0, std^2); None: 1 / sqrt(fan_in), which keeps the variance of x.

    Shapes: x [N, C, H, W] -> y [N, O, H', W'], in the dtype of x. The weight is [O, C / groups, k, k], or transposed
    [C, O / groups, k, k].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        bias: bool = True,
        activation: str = "linear",
        gain: float | None = None,
        transposed: bool = False,
        std: float | None = None,
    ):
        super().__init__()
        _check(activation)
        self.activation, self.gain, self.transposed = activation, gain, transposed
        self.geometry = {
            "stride": stride,
            "padding": kernel_size // 2 if padding is None else padding,
            "groups": groups,
        }
        shape = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        fan_in = in_channels * kernel_size**2 / (groups * (stride**2 if transposed else 1))
        self.weight = nn.Parameter(
            torch.randn(*shape, kernel_size, kernel_size) * (fan_in**-0.5 if std is None else std)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        conv = conv_transpose2d if self.transposed else conv2d
        y = conv(x, self.weight.to(x.dtype), **self.geometry)
        if self.bias is None and self.activation == "linear":
            return y
        return bias_act(y, self.bias, act=self.activation, gain=self.gain)

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}, {self.geometry}, activation={self.activation!r}"


class BatchNorm2d(nn.Module):
    """y = (x - mean) / sqrt(var + eps) * (1 + g) + b, with statistics of each channel over the batch.

    Without labels g and b are parameters; with labels, or any vector of conditions, they are linear in it: conditional
    batch normalisation. In evaluation the running statistics stand for the batch's.

    Args:
        channels: C.
        c_dim: size of the vector of conditions; 0: none.
        momentum: of the running statistics.
        eps: keeps the division in bounds.

    Shapes: x [N, C, H, W], c [N, c_dim] -> y as x, in its dtype.

    Source: Ioffe and Szegedy, arXiv 1502.03167; conditional: Dumoulin et al., arXiv 1610.07629, equation 5, and de
    Vries et al., arXiv 1707.00683.
    """

    def __init__(self, channels: int, c_dim: int = 0, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum, self.eps, self.c_dim = momentum, eps, c_dim
        if c_dim:
            self.affine = nn.Linear(c_dim, 2 * channels, bias=False)
            nn.init.zeros_(self.affine.weight)
        else:
            self.scale, self.shift = (nn.Parameter(torch.zeros(channels)) for _ in range(2))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        statistics = (self.running_mean, self.running_var)
        if not self.c_dim:
            affine = (1 + self.scale, self.shift)
            return nn.functional.batch_norm(x, *statistics, *affine, self.training, self.momentum, self.eps)
        y = nn.functional.batch_norm(x, *statistics, None, None, self.training, self.momentum, self.eps)
        g, b = self.affine(c.to(self.affine.weight.dtype)).to(x.dtype)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(b, y, 1 + g)


class MinibatchDiscrimination(nn.Module):
    """Appends to each row of features how close it is to the other rows of the batch.

        M[n] = x[n] T, as a matrix [kernels, dims];  o[n, b] = sum over m != n of exp(-|M[n, b] - M[m, b]|_1)

    Args:
        in_features: A.
        kernels: B, how many statistics.
        dims: C, the size of the space that each compares in.

    Shapes: x [N, A] -> y [N, A + B], in the dtype of x.

    Source: Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498, section 3.2.
    """

    def __init__(self, in_features: int, kernels: int = 16, dims: int = 8):
        super().__init__()
        self.kernels, self.dims = kernels, dims
        self.weight = nn.Parameter(torch.randn(in_features, kernels * dims) * in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        m = (x @ self.weight.to(x.dtype)).unflatten(1, (self.kernels, self.dims))
        # One dimension at a time: all at once would be passes over dims times as much memory.
        distance = sum((each[:, None] - each).abs() for each in m.movedim(2, 0).contiguous())
        return torch.cat([x, distance.neg().exp().sum(1) - 1], 1)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, kernels={self.kernels}, dims={self.dims}"


class _Resample(nn.Module):
    """Holds a FIR filter with unit sum and a whole factor."""

    def __init__(self, resample_filter: Sequence[float], factor: int):
        super().__init__()
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise ValueError(f"factor: got {factor!r}, takes an integer from 1")
        self.factor = factor
        self.register_buffer("resample_filter", setup_filter(resample_filter))

    def extra_repr(self) -> str:
        return f"factor={self.factor}, taps={self.resample_filter.shape[-1]}"


class Blur(_Resample):
    """y = x convolved with a FIR low-pass of unit sum, along both axes; zeros lie around the image.

    Args:
        resample_filter: its taps.

    Shapes: x [N, C, H, W] -> y [N, C, H, W], in the dtype of x. The filter is a buffer.
    """

    def __init__(self, resample_filter: Sequence[float] = (1, 2, 1)):
        super().__init__(resample_filter, 1)

    def forward(self, x: Tensor) -> Tensor:
        return filter2d(x, self.resample_filter)


class Upsample(_Resample):
    """Puts factor - 1 zeros between samples and low-passes with gain factor^2: an image keeps its level.

    Args:
        factor: whole factor by which the output is larger.
        resample_filter: taps of the FIR low-pass.

    Shapes: x [N, C, H, W] -> y [N, C, H factor, W factor], in the dtype of x. The filter is a buffer.
    """

    def __init__(self, factor: int = 2, resample_filter: Sequence[float] = (1, 3, 3, 1)):
        super().__init__(resample_filter, factor)

    def forward(self, x: Tensor) -> Tensor:
        return upsample2d(x, self.resample_filter, up=self.factor)


class Downsample(_Resample):
    """Low-passes and keeps every factor-th sample: pooling without aliases (BlurPool, Zhang 2019, arXiv 1904.11486).

    Args:
        factor: whole factor by which the output is smaller.
        resample_filter: taps of the FIR low-pass.

    Shapes: x [N, C, H, W] -> y [N, C, H / factor, W / factor], in the dtype of x. Zeros lie around the image (BlurPool
    reflects it). The filter is a buffer.
    """

    def __init__(self, factor: int = 2, resample_filter: Sequence[float] = (1, 3, 3, 1)):
        super().__init__(resample_filter, factor)

    def forward(self, x: Tensor) -> Tensor:
        return downsample2d(x, self.resample_filter, down=self.factor)


def noise_planes(const: Tensor | None, n: int, mode: str) -> Tensor | None:
    """A layer's noise for n samples: mode "const" is const [H, W], "random" new planes like it [n, 1, H, W].

    None for mode "none", and for a layer without noise, whose const is None.
    """
    if mode not in NOISE_MODES:
        raise ValueError(f"noise_mode: got {mode!r}, takes {', '.join(NOISE_MODES)}")
    if mode == "random" and const is not None:
        return torch.randn(n, 1, *const.shape, dtype=const.dtype, device=const.device)
    return None if mode == "none" else const


def _check(activation: str, kernel_size: int = 1) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: got {activation!r}, takes {', '.join(ACTIVATIONS)}")
    if kernel_size % 2 != 1:
        raise ValueError(f"kernel_size: got {kernel_size}, takes an odd number")


def _conv_repr(weight: Tensor, rest: str) -> str:
    return f"{weight.shape[1]}, {weight.shape[0]}, kernel_size={weight.shape[2]}, {rest}"
