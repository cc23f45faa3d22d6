"""`modulated_conv2d` of `training.networks` (stylegan2-ada-pytorch) and `training.networks_stylegan2` (stylegan3)."""

from __future__ import annotations

from torch import Tensor

from gan_fast import ops
from gan_fast.ops.upfirdn2d import Ints


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused_modconv: bool = True,
) -> Tensor:
    """`gan_fast.ops.modulated_conv2d`. fused_modconv chose between two ways to the same result: here there is one."""
    return ops.modulated_conv2d(
        x,
        weight,
        styles,
        noise=noise,
        up=up,
        down=down,
        padding=padding,
        f=resample_filter,
        demodulate=demodulate,
        flip_weight=flip_weight,
    )
