"""Modulated, demodulated convolution with its noise, bias and activation."""

from __future__ import annotations

from torch import Tensor

from gan_fast.ops.bias_act import bias_act
from gan_fast.ops.conv2d_resample import conv2d_resample


def modulated_conv2d(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    *,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding=0,
    f: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    b: Tensor | None = None,
    act: str = "linear",
    alpha=None,
    gain=None,
    clamp=None,
    eps: float = 1e-8,
    backend=None,
) -> Tensor:
    d = ((s.float() ** 2) @ w.float().square().sum([2, 3]).t() + eps).rsqrt() if demodulate else None
    x = x * s.to(x.dtype)[:, :, None, None]
    y = conv2d_resample(
        x, w.to(x.dtype), f, up=up, down=down, padding=padding, flip_weight=flip_weight, backend=backend
    )
    if d is not None:
        y = y * d.to(x.dtype)[:, :, None, None]
    if noise is not None:
        y = y + noise.to(x.dtype)
    return bias_act(y, b, act=act, alpha=alpha, gain=gain, clamp=clamp, backend=backend)
