"""Bias, activation, gain and clamp in one pass: the pointwise op of every StyleGAN-family layer."""

from __future__ import annotations

from torch import Tensor


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    import torch
    import torch.nn.functional as F

    if b is not None:
        x = x + b.to(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    if act == "lrelu":
        x = F.leaky_relu(x, 0.2 if alpha is None else alpha)
    x = x * (gain if gain is not None else 2**0.5 if act == "lrelu" else 1.0)
    return x if clamp is None else torch.clamp(x, -clamp, clamp)
