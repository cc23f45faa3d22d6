"""`op` of rosinality/stylegan2-pytorch as others hold it: pSp, e4e and what grew from them, and score_sde.

As `gan_fast.compat.rosinality`, but for two silent differences: the second parameter of FusedLeakyReLU is the slope,
and of `pad` only the first two numbers count. Not copied from the original: what is listed there, and a crash where
bias is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_fast.compat import rosinality
from gan_fast.compat.rosinality import upfirdn2d_native

__all__ = ["FusedLeakyReLU", "fused_leaky_relu", "upfirdn2d", "upfirdn2d_native"]


def fused_leaky_relu(input: Tensor, bias: Tensor | None, negative_slope: float = 0.2, scale: float = 2**0.5) -> Tensor:
    """leaky_relu(input + bias) * scale; bias [C] belongs to dimension 1 of an input of any rank from 2."""
    return rosinality.fused_leaky_relu(input, bias, negative_slope, scale)


class FusedLeakyReLU(nn.Module):
    """`fused_leaky_relu` with a bias to learn, [channel]."""

    def __init__(self, channel: int, negative_slope: float = 0.2, scale: float = 2**0.5):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channel))
        self.negative_slope, self.scale = negative_slope, scale

    def forward(self, input: Tensor) -> Tensor:
        return fused_leaky_relu(input, self.bias, self.negative_slope, self.scale)


def upfirdn2d(input: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: Sequence[int] = (0, 0)) -> Tensor:
    """`gan_fast.ops.upfirdn2d`; pad: (before, after) for both axes, whatever may follow."""
    return rosinality.upfirdn2d(input, kernel, up, down, pad[:2])
