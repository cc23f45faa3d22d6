"""`op` of rosinality/stylegan2-pytorch, as it is now: a pair as padding is (before, after), the same on both axes.

Filters are 2-D and applied by convolution, without a gain. Not copied from the original: a CPU path that ignores
negative_slope, wrong gradients for a negative scale, half precision summed in half precision, errors where a bias or
a filter has another dtype than the input (both are cast).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_fast import ops
from gan_fast.compat import conv2d_gradfix
from gan_fast.ops.upfirdn2d import Ints

__all__ = ["FusedLeakyReLU", "conv2d_gradfix", "fused_leaky_relu", "upfirdn2d", "upfirdn2d_native"]


def fused_leaky_relu(
    input: Tensor, bias: Tensor | None = None, negative_slope: float = 0.2, scale: float = 2**0.5
) -> Tensor:
    """leaky_relu(input + bias) * scale; bias [C] belongs to dimension 1 of an input of any rank from 2."""
    return ops.bias_act(input, bias, act="lrelu", alpha=negative_slope, gain=scale)


class FusedLeakyReLU(nn.Module):
    """`fused_leaky_relu` with a bias to learn, [channel], or none."""

    def __init__(self, channel: int, bias: bool = True, negative_slope: float = 0.2, scale: float = 2**0.5):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channel)) if bias else None
        self.negative_slope, self.scale = negative_slope, scale

    def forward(self, input: Tensor) -> Tensor:
        return fused_leaky_relu(input, self.bias, self.negative_slope, self.scale)


def upfirdn2d(input: Tensor, kernel: Tensor, up: Ints = 1, down: Ints = 1, pad: Sequence[int] = (0, 0)) -> Tensor:
    """`gan_fast.ops.upfirdn2d`. up, down: one or (x, y). pad: (before, after) for both axes, or (x0, x1, y0, y1)."""
    pad = tuple(pad) * 2 if len(pad) == 2 else tuple(pad)
    return ops.upfirdn2d(input, kernel, up, down, pad)


def upfirdn2d_native(
    input: Tensor,
    kernel: Tensor,
    up_x: int,
    up_y: int,
    down_x: int,
    down_y: int,
    pad_x0: int,
    pad_x1: int,
    pad_y0: int,
    pad_y1: int,
) -> Tensor:
    """`upfirdn2d` by the reference."""
    pad = (pad_x0, pad_x1, pad_y0, pad_y1)
    return ops.upfirdn2d(input, kernel, (up_x, up_y), (down_x, down_y), pad, backend="reference")
