"""`face_model.op` of GPEN: `gan_fast.compat.rosinality_old`, told a device, which is the input's here."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gan_fast.compat import rosinality_old
from gan_fast.compat.rosinality_old import upfirdn2d_native

__all__ = ["FusedLeakyReLU", "fused_leaky_relu", "upfirdn2d", "upfirdn2d_native"]


def fused_leaky_relu(
    input: Tensor, bias: Tensor | None, negative_slope: float = 0.2, scale: float = 2**0.5, device: str = "cpu"
) -> Tensor:
    """That of `gan_fast.compat.rosinality_old`."""
    return rosinality_old.fused_leaky_relu(input, bias, negative_slope, scale)


class FusedLeakyReLU(rosinality_old.FusedLeakyReLU):
    """That of `gan_fast.compat.rosinality_old`."""

    def __init__(self, channel: int, negative_slope: float = 0.2, scale: float = 2**0.5, device: str = "cpu"):
        super().__init__(channel, negative_slope, scale)


def upfirdn2d(
    input: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: Sequence[int] = (0, 0), device: str = "cpu"
) -> Tensor:
    """That of `gan_fast.compat.rosinality_old`."""
    return rosinality_old.upfirdn2d(input, kernel, up, down, pad)
