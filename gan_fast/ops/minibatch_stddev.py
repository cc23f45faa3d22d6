"""Minibatch standard deviation: the statistic over groups of samples that a discriminator sees."""

from __future__ import annotations

import torch
from torch import Tensor


def minibatch_stddev(x: Tensor, group_size: int | None = 4, num_channels: int = 1, *, backend=None) -> Tensor:
    n, c, h, w = x.shape
    g = min(n, group_size or n)
    while n % g:
        g -= 1
    y = x.reshape(g, n // g, num_channels, c // num_channels, h, w).float()
    y = (y - y.mean(0)).square().mean(0).add(1e-8).sqrt().mean([2, 3, 4])
    y = y.to(x.dtype)[None, :, :, None, None].expand(g, -1, -1, h, w).reshape(n, num_channels, h, w)
    return torch.cat([x, y], 1)
