"""`networks.stylegan.op` of LIA: `gan_fast.compat.rosinality_old`, but biases broadcast, and are [1, C, 1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_fast import ops
from gan_fast.compat import rosinality_old
from gan_fast.compat.rosinality_old import upfirdn2d, upfirdn2d_native

__all__ = ["FusedLeakyReLU", "fused_leaky_relu", "upfirdn2d", "upfirdn2d_native"]


def fused_leaky_relu(input: Tensor, bias: Tensor, negative_slope: float = 0.2, scale: float = 2**0.5) -> Tensor:
    """leaky_relu(input + bias) * scale, where bias is anything that broadcasts to input."""
    dims = [dim for dim, size in enumerate(bias.shape, input.ndim - bias.ndim) if size > 1]
    if len(dims) == 1 and bias.ndim <= input.ndim and input.shape[dims[0]] == bias.numel():
        return ops.bias_act(input, bias.flatten(), dims[0], "lrelu", negative_slope, scale)
    return ops.bias_act(input + bias, act="lrelu", alpha=negative_slope, gain=scale)


class FusedLeakyReLU(rosinality_old.FusedLeakyReLU):
    """`fused_leaky_relu` with a bias to learn, [1, channel, 1, 1]."""

    def __init__(self, channel: int, negative_slope: float = 0.2, scale: float = 2**0.5):
        super().__init__(channel, negative_slope, scale)
        self.bias = nn.Parameter(torch.zeros(1, channel, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        return fused_leaky_relu(input, self.bias, self.negative_slope, self.scale)
