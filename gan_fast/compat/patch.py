"""Swaps the layers of a network of the nvlabs or rosinality families for layers on gan_fast, in place: `patch`.

A layer keeps all it has, parameters, buffers, parts and hooks, and takes a class of this file, whose forward reads the
attributes that the original's does. A class is known by its name, the tensors it holds itself, its parts and the
parameters of its forward, so that a layer which only shares the name stays as it is.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_fast import layers, ops
from gan_fast.compat.nvlabs import conv2d_gradfix, networks_stylegan3
from gan_fast.compat.rosinality import fused_leaky_relu, upfirdn2d

logger = logging.getLogger(__name__)


class _Layer(nn.Module):
    """holds: the tensors that a layer has itself, those with a ? perhaps. reads: its other attributes and its parts."""

    holds = ""
    reads = ""


# ---------------------------------------------------------------- nvlabs


class FullyConnectedLayer(_Layer, layers.EqualizedLinear):
    holds, reads = "weight bias?", "activation weight_gain bias_gain"


class Conv2dLayer(_Layer, layers.Conv2d):
    holds = "weight bias? resample_filter"
    reads = "activation up down padding weight_gain conv_clamp"


class SynthesisLayer(_Layer, layers.ModulatedConv2d):
    """StyleGAN2's."""

    holds = "weight bias noise_const? noise_strength? resample_filter"
    reads = "affine use_noise up activation conv_clamp padding"
    has_noise = property(lambda self: self.use_noise)

    def forward(
        self, x: Tensor, w: Tensor, noise_mode: str = "random", fused_modconv: bool = True, gain: float = 1
    ) -> Tensor:
        return super().forward(x, w, noise_mode, gain)


class ToRGBLayer(_Layer, layers.ToRGB):
    holds, reads = "weight bias", "affine conv_clamp weight_gain"
    padding = 0

    def forward(self, x: Tensor, w: Tensor, fused_modconv: bool = True) -> Tensor:
        return super().forward(x, w)


class MinibatchStdLayer(_Layer, layers.MinibatchStdDev):
    reads = "group_size num_channels"

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class AliasFreeSynthesisLayer(_Layer):
    """StyleGAN3's SynthesisLayer."""

    holds = "weight bias magnitude_ema up_filter? down_filter?"
    reads = "affine is_torgb use_fp16 conv_kernel up_factor down_factor padding conv_clamp magnitude_ema_beta"

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        noise_mode: str = "random",
        force_fp32: bool = False,
        update_emas: bool = False,
    ) -> Tensor:
        if update_emas:
            magnitude = x.detach().float().square().mean()
            self.magnitude_ema.copy_(magnitude.lerp(self.magnitude_ema, self.magnitude_ema_beta))
        styles = self.affine(w)
        if self.is_torgb:
            styles = styles / self.weight[0].numel() ** 0.5
        half = self.use_fp16 and not force_fp32 and x.device.type == "cuda"
        x = networks_stylegan3.modulated_conv2d(
            x.to(torch.float16 if half else torch.float32),
            self.weight,
            styles,
            demodulate=not self.is_torgb,
            padding=self.conv_kernel - 1,
            input_gain=self.magnitude_ema.rsqrt(),
        )
        return ops.filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=self.up_factor,
            down=self.down_factor,
            padding=self.padding,
            gain=1 if self.is_torgb else 2**0.5,
            slope=1 if self.is_torgb else 0.2,
            clamp=self.conv_clamp,
        )


# ---------------------------------------------------------------- rosinality


class EqualConv2d(_Layer):
    holds, reads = "weight bias?", "scale stride padding"

    def forward(self, input: Tensor) -> Tensor:
        return conv2d_gradfix.conv2d(input, self.weight * self.scale, self.bias, self.stride, self.padding)


class EqualLinear(_Layer):
    holds, reads = "weight bias?", "activation scale lr_mul"

    def forward(self, input: Tensor) -> Tensor:
        b = None if self.bias is None else self.bias * self.lr_mul
        if not self.activation:
            return nn.functional.linear(input, self.weight * self.scale, b)
        return fused_leaky_relu(nn.functional.linear(input, self.weight * self.scale), b)


class FusedLeakyReLU(_Layer):
    holds, reads = "bias?", "negative_slope scale"

    def forward(self, input: Tensor) -> Tensor:
        return fused_leaky_relu(input, self.bias, self.negative_slope, self.scale)


class Blur(_Layer):
    holds, reads = "kernel", "pad"

    def forward(self, input: Tensor) -> Tensor:
        return upfirdn2d(input, self.kernel, pad=self.pad)


class Upsample(_Layer):
    holds, reads = "kernel", "factor pad"

    def forward(self, input: Tensor) -> Tensor:
        return upfirdn2d(input, self.kernel, up=self.factor, pad=self.pad)


class Downsample(_Layer):
    holds, reads = "kernel", "factor pad"

    def forward(self, input: Tensor) -> Tensor:
        return upfirdn2d(input, self.kernel, down=self.factor, pad=self.pad)


class ModulatedConv2d(_Layer):
    holds, reads = "weight", "modulation demodulate upsample downsample padding scale kernel_size eps"

    def forward(self, input: Tensor, style: Tensor) -> Tensor:
        return self.modulated(input, style)

    def modulated(self, x: Tensor, style: Tensor, **epilogue: object) -> Tensor:
        """epilogue: noise, strength, b, act, alpha and gain of `gan_fast.ops.modulated_conv2d`."""
        geometry: dict[str, object] = {"padding": self.padding}
        if self.upsample or self.downsample:
            f, (before, after) = self.blur.kernel, self.blur.pad
            n, k = f.shape[0], self.kernel_size
            # what the op would pad of itself is taken off what the blur pads; of its filter, the gain that the op gives
            if self.upsample:
                before, after, f = before + k - 1 - (n + 1) // 2, after + k - 2 - (n - 2) // 2, f / 4
                geometry = {"up": 2, "flip_weight": False}
            else:
                before, after = before - (n - 1) // 2, after - (n - 2) // 2
                geometry = {"down": 2}
            geometry |= {"padding": (before, after, before, after), "f": f}
        s = self.modulation(style) * self.scale
        return ops.modulated_conv2d(
            x, self.weight[0], s, demodulate=self.demodulate, eps=self.eps, **geometry, **epilogue
        )


class NoiseInjection(_Layer):
    holds = "weight"

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        noise = self.drawn(image, image.shape[2:]) if noise is None else noise
        return image + self.weight * noise

    def drawn(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """A plane of this size for each sample of x."""
        return x.new_empty(x.shape[0], 1, *size).normal_()


class StyledConv(_Layer):
    reads = "conv noise activate"

    def forward(self, input: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        noise = self.noise.drawn(input, self._size(input)) if noise is None else noise
        return self.conv.modulated(
            input,
            style,
            noise=noise,
            strength=self.noise.weight,
            b=self.activate.bias,
            act="lrelu",
            alpha=self.activate.negative_slope,
            gain=self.activate.scale,
        )

    def _size(self, x: Tensor) -> list[int]:
        conv = self.conv
        if not conv.upsample:
            return [n + 2 * conv.padding - conv.kernel_size + 1 for n in x.shape[2:]]
        more = conv.kernel_size - 1 + sum(conv.blur.pad) - conv.blur.kernel.shape[0]
        return [2 * n + more for n in x.shape[2:]]


class ToRGB(_Layer):
    holds, reads = "bias", "conv"

    def forward(self, input: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        out = self.conv.modulated(input, style, b=self.bias.flatten())
        return out if skip is None else out + self.upsample(skip)


# the parts that a layer's forward reaches into must have been swapped themselves
PARTS = {
    StyledConv: {"conv": ModulatedConv2d, "noise": NoiseInjection, "activate": FusedLeakyReLU},
    ToRGB: {"conv": ModulatedConv2d},
}
LAYERS = {
    "SynthesisLayer": (SynthesisLayer, AliasFreeSynthesisLayer),
    **{
        layer.__name__: (layer,)
        for layer in (
            *(FullyConnectedLayer, Conv2dLayer, ToRGBLayer, MinibatchStdLayer),
            *(EqualConv2d, EqualLinear, FusedLeakyReLU, Blur, Upsample, Downsample),
            *(ModulatedConv2d, NoiseInjection, StyledConv, ToRGB),
        )
    },
}


@dataclasses.dataclass(frozen=True)
class Patched:
    """replaced: the class of each layer that was swapped, by the layer's name. left: why, of each that was not."""

    replaced: dict[str, str]
    left: dict[str, str]

    def __str__(self) -> str:
        counts = Counter(self.replaced.values())
        lines = [f"replaced {len(self.replaced)} layers: " + ", ".join(f"{n} {name}" for name, n in counts.items())]
        return "\n".join(lines + [f"left {name}: {reason}" for name, reason in self.left.items()])


def _parameters(forward: object) -> list[str]:
    return list(inspect.signature(forward).parameters)


def _refusal(layer: nn.Module, ours: type[_Layer]) -> str | None:
    """Why a layer cannot take our class."""
    if _parameters(type(layer).forward) != _parameters(ours.forward):
        return f"forward takes {', '.join(_parameters(type(layer).forward)[1:])}"
    held = {**layer._parameters, **layer._buffers}
    names = ours.holds.split()
    if unknown := set(held) - {name.rstrip("?") for name in names}:
        return f"holds {', '.join(sorted(unknown))} too"
    if missing := [name for name in names if name[-1] != "?" and held.get(name) is None]:
        return f"holds no {', '.join(missing)}"
    if missing := [name for name in ours.reads.split() if not hasattr(layer, name)]:
        return f"has no {', '.join(missing)}"
    if wrong := [part for part, kind in PARTS.get(ours, {}).items() if not isinstance(getattr(layer, part), kind)]:
        return f"{', '.join(wrong)}: was not replaced"
    return _shape_refusal(layer, ours)


def _shape_refusal(layer: nn.Module, ours: type[_Layer]) -> str | None:
    if ours is FusedLeakyReLU and layer.bias is not None and layer.bias.ndim != 1:
        return f"bias has the shape {tuple(layer.bias.shape)}"
    if ours is ModulatedConv2d and (layer.weight.ndim != 5 or (layer.upsample and layer.downsample)):
        return f"weight has the shape {tuple(layer.weight.shape)}"
    if ours is NoiseInjection and layer.weight.numel() != 1:
        return f"weight has the shape {tuple(layer.weight.shape)}"
    if ours is StyledConv and layer.conv.downsample:
        return "conv: downsamples"
    return None


def patch(module: nn.Module) -> Patched:
    """Swaps the layers of a network for layers on gan_fast, in place; images, state-dict keys and hooks stay.

    The network is one of stylegan2-ada-pytorch, stylegan3 or rosinality/stylegan2-pytorch, or is made of their layers:
    those of LAYERS. What its own forward calls between layers stays; `gan_fast.compat.install` is for that. Afterwards
    a layer is an instance of a class of `gan_fast.compat.patch` and no longer of the original's; it can be copied, and
    pickled, without the original's module.

    Returns what was replaced and what was left, with the reason; str() of it is a summary, which is logged too. Raises
    ValueError if there is nothing to replace.

        print(gan_fast.patch(G_ema))
    """
    replaced, left = {}, {}
    for name, layer in reversed(list(module.named_modules())):  # parts before what they are parts of
        if isinstance(layer, _Layer) or type(layer).__name__ not in LAYERS:
            continue
        reasons = []
        for ours in LAYERS[type(layer).__name__]:
            if (reason := _refusal(layer, ours)) is None:
                replaced[name] = type(layer).__name__
                layer.__class__ = ours
                break
            reasons.append(reason)
        else:
            left[name] = " or ".join(reasons)
    if not replaced:
        what = "\n".join(f"{name}: {reason}" for name, reason in left.items())
        raise ValueError(f"module: has no layer to replace; these are known: {', '.join(LAYERS)}\n{what}".rstrip())
    patched = Patched(dict(reversed(replaced.items())), dict(reversed(left.items())))
    logger.info("%s", patched)
    return patched
