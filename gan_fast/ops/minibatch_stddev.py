"""Minibatch standard deviation: what a discriminator sees of a group of samples together."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_fast.ops import arguments


def minibatch_stddev(x: Tensor, group_size: int | None = 4, num_channels: int = 1) -> Tensor:
    """Appends the standard deviation over groups of samples, averaged over channels and pixels, as new channels.

        sigma[m, c, i, j] = sqrt(variance over the samples n of group m of x[n, c, i, j] + 1e-8)
        y[n, C + k]       = mean over the k-th share of channels, and over pixels, of sigma[m(n)], at every pixel

    x: [N, C, H, W], N >= 1. group_size: samples in a group; the largest divisor of N up to it is used (so that no
    batch size is refused), None means the whole batch. Sample n belongs to group n mod (N / group size).
    num_channels: new channels, a divisor of C.

    Returns [N, C + num_channels, H, W], x's dtype; statistics are computed in float32 or higher. Differentiable any
    number of times. Raises TypeError or ValueError that names the argument.

    Source: Karras et al. 2018, Progressive Growing of GANs (arXiv 1710.10196), section 3.
    """
    arguments.check_tensor("x", x, ndim=4)
    n, c, h, w = x.shape
    if group_size is not None and (isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1):
        raise ValueError(f"group_size: got {group_size!r}, takes None or an integer from 1")
    if isinstance(num_channels, bool) or not isinstance(num_channels, int) or num_channels < 1 or c % num_channels:
        raise ValueError(f"num_channels: got {num_channels!r}, takes a divisor of x's {c} channels")
    if n == 0:
        raise ValueError(f"x: got shape {tuple(x.shape)}, takes at least one sample")
    g = min(n, group_size or n)
    while n % g:
        g -= 1
    y = x.reshape(g, n // g, num_channels, c // num_channels, h, w)
    y = y.to(torch.promote_types(x.dtype, torch.float32))
    sigma = (y - y.mean(0)).square().mean(0).add(1e-8).sqrt().mean([2, 3, 4])
    sigma = sigma.to(x.dtype).repeat(g, 1)[:, :, None, None]
    return torch.cat([x, sigma.expand(-1, -1, h, w)], 1)
