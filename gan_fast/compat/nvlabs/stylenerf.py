"""`modulated_conv2d` of StyleNeRF's `training.networks`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gan_fast.compat.nvlabs import networks_stylegan2
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
    mode: str = "2d",
    **unused: Any,
) -> Tensor:
    """That of StyleGAN2, in two dimensions."""
    if mode != "2d":
        raise ValueError(f"mode: got {mode!r}, takes 2d")
    geometry = (noise, up, down, padding, resample_filter)
    return networks_stylegan2.modulated_conv2d(x, weight, styles, *geometry, demodulate, flip_weight, fused_modconv)
