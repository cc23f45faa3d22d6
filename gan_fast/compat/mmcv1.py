"""`mmcv.ops` of mmcv 1: rosinality's meanings; a pair as padding is (before, after), the same on both axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from gan_fast.compat import rosinality_old
from gan_fast.compat.rosinality import upfirdn2d, upfirdn2d_native

__all__ = ["FusedBiasLeakyReLU", "fused_bias_leakyrelu", "to_2tuple", "upfirdn2d", "upfirdn2d_native"]


def to_2tuple(x: Any) -> Any:
    """x twice, or x itself if it can be iterated over."""
    return x if isinstance(x, Iterable) and not isinstance(x, str) else (x, x)


def fused_bias_leakyrelu(
    input: Tensor, bias: Tensor | None, negative_slope: float = 0.2, scale: float = 2**0.5
) -> Tensor:
    """`fused_leaky_relu` of `gan_fast.compat.rosinality_old`."""
    return rosinality_old.fused_leaky_relu(input, bias, negative_slope, scale)


class FusedBiasLeakyReLU(rosinality_old.FusedLeakyReLU):
    """`fused_bias_leakyrelu` with a bias to learn, [num_channels]."""

    def __init__(self, num_channels: int, negative_slope: float = 0.2, scale: float = 2**0.5):
        super().__init__(num_channels, negative_slope, scale)
