"""Minibatch standard deviation: what a discriminator sees of a group of samples together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import resolve
from gan_fast.ops.primitive import Primitive, computed_dtype, needs
from gan_fast.ops.upfirdn2d import dense, memory_format_of

_EPS = 1e-8


def _divisor(n: int, asked: int | None) -> int:
    """The largest divisor of n up to `asked`."""
    g = min(n, asked or n)
    while n % g:
        g -= 1
    return g


def _class_groups(labels: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Group m is members[offsets[m] : offsets[m + 1]]: samples of one class, in their order.

    There are as many groups as samples, the last ones empty, so that no size depends on the labels.
    """
    ordered, members = torch.sort(labels, stable=True)
    at = torch.arange(len(labels) + 1, device=labels.device)
    rank = at[:-1] - torch.searchsorted(ordered, ordered)
    group = (rank % group_size == 0).cumsum(0) - 1
    return members, torch.searchsorted(group, at)


def _mean_over_groups(x: Tensor, group: Tensor, count: Tensor) -> Tensor:
    """x: [N, ...], group: [N]. The mean of each sample's group, [N, ...]."""
    total = torch.zeros_like(x).index_add(0, group, x)
    return (total / count.reshape(-1, *[1] * (x.ndim - 1)))[group]


def _reference(x: Tensor, members: Tensor | None, offsets: Tensor | None, group_size: int, num_channels: int) -> Tensor:
    n, c, h, w = x.shape
    y = x.to(computed_dtype(x.dtype))
    if members is None or offsets is None:
        y = y.reshape(group_size, n // group_size, num_channels, c // num_channels, h, w)
        sigma = (y - y.mean(0)).square().mean(0).add(_EPS).sqrt().mean([2, 3, 4]).repeat(group_size, 1)
    else:
        at = torch.searchsorted(offsets, torch.arange(n, device=x.device), right=True) - 1
        group = torch.zeros_like(members).scatter(0, members, at)
        count = offsets.diff().clamp(min=1)
        y = y.reshape(n, num_channels, c // num_channels, h, w)
        variance = _mean_over_groups((y - _mean_over_groups(y, group, count)).square(), group, count)
        sigma = variance.add(_EPS).sqrt().mean([2, 3, 4])
    sigma = sigma.to(x.dtype)[:, :, None, None].expand(-1, -1, h, w)
    return torch.cat([x, sigma], 1).contiguous(memory_format=memory_format_of(x))


# Derivatives. Let p run over the P = (C / F) H W values of share k, m be a group of g samples n, and write
#   u[n, p] = x[n, p] - (mean of x[., p] over m),  sigma[p] = sqrt((mean of u[., p]^2) + eps),
#   s[m, k] = (1 / P) sum of sigma[p] over p,      d sigma[p] / d x[n, p] = u[n, p] / (g sigma[p]).
# With v the cotangent of y, and a[m, k] = (1 / P) sum of v[n, C + k, .] over the group and pixels,
#   dx[n, p] = v[n, p] + a u[n, p] / (g sigma[p])                                        minibatch_stddev_grad
# and with the cotangent w of dx, and c[p] = (1 / g) sum of w[n, p] u[n, p] over n,      minibatch_stddev_grad2
#   dv[n, p] = w[n, p],  dv[n, C + k, .] = (1 / P) sum of c[p] / sigma[p] over p
#   d2x[n, p] = a / (g sigma[p]) (w[n, p] - (mean of w[., p] over m) - u[n, p] c[p] / sigma[p]^2)
# Means and sigma are computed from x again in each pass: cheaper than reading them.
_SETTINGS = "Tensor? members, Tensor? offsets, int group_size, int num_channels"


def _allocate(x: Tensor, members: Tensor | None, offsets: Tensor | None, group_size: int, num_channels: int) -> Tensor:
    n, c, h, w = x.shape
    return torch.empty(n, c + num_channels, h, w, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, members, offsets, *ctx.settings, ctx.backend = inputs
    ctx.save_for_backward(x, members, offsets)


def _backward(ctx: Any, dy: Tensor) -> tuple:
    x, *groups = ctx.saved_tensors
    dx = None
    if needs(ctx, 0):
        dy = dy.contiguous(memory_format=memory_format_of(x))
        dx = _minibatch_stddev_grad(dy, x, *groups, *ctx.settings, ctx.backend)
    return dx, None, None, None, None


def _grad_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    dy, x, members, offsets, *ctx.settings, ctx.backend = inputs
    ctx.save_for_backward(dy, x, members, offsets)


def _grad_backward(ctx: Any, ddx: Tensor) -> tuple:
    dy, x, *groups = ctx.saved_tensors
    wanted = (needs(ctx, 0), needs(ctx, 1))
    ddx = ddx.contiguous(memory_format=memory_format_of(x))
    ddy, d2x = _minibatch_stddev_grad2(ddx, dy, x, *groups, *ctx.settings, *wanted, ctx.backend)
    return ddy if wanted[0] else None, d2x if wanted[1] else None, None, None, None, None


def _allocate_grad2(ddx: Tensor, dy: Tensor, x: Tensor, *rest: Any) -> tuple:
    dy_grad, x_grad = rest[-2:]
    return torch.empty_like(dy) if dy_grad else dy.new_empty(0), torch.empty_like(x) if x_grad else x.new_empty(0)


_minibatch_stddev = Primitive(
    "minibatch_stddev", f"minibatch_stddev(Tensor x, {_SETTINGS}) -> Tensor", _allocate, _setup, _backward
)
_minibatch_stddev_grad = Primitive(
    "minibatch_stddev",
    f"minibatch_stddev_grad(Tensor dy, Tensor x, {_SETTINGS}) -> Tensor",
    lambda dy, x, *rest: torch.empty_like(x),
    _grad_setup,
    _grad_backward,
)
_minibatch_stddev_grad2 = Primitive(
    "minibatch_stddev",
    f"minibatch_stddev_grad2(Tensor ddx, Tensor dy, Tensor x, {_SETTINGS}, bool dy_grad, bool x_grad)"
    " -> (Tensor, Tensor)",
    _allocate_grad2,
)


def minibatch_stddev(
    x: Tensor,
    group_size: int | None = 4,
    num_channels: int = 1,
    labels: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Appends the standard deviation over groups of samples, averaged over channels and pixels, as new channels.

        sigma[m, c, i, j] = sqrt(variance over the samples n of group m of x[n, c, i, j] + 1e-8)
        y[n, C + k]       = mean over the k-th share of channels, and over pixels, of sigma[m(n)], at every pixel

    x: [N, C, H, W], N >= 1, float32, float64, float16 or bfloat16, contiguous or channels_last (anything else is
    copied). group_size: samples in a group; the largest divisor of N up to it is used (so that no batch size is
    refused), None means the whole batch. Sample n belongs to group n mod (N / group size). num_channels: new channels,
    a divisor of C.

    labels: classes of the samples, [N], any integers. With them every group holds samples of one class: the samples of
    each class, in the order of the batch, are cut into groups of group_size, the last of which may be smaller (of a
    single sample sigma is sqrt(1e-8)); None means a group a class. N need not be a multiple of anything.

    Returns y: [N, C + num_channels, H, W], of x's dtype and memory format. Statistics of half precision are computed in
    float32, and summed in a fixed order. A NaN in x stays in its sample, and spoils the statistics of its group and
    share of channels only. Differentiable twice in x on every backend, any number of times with backend="reference".

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: Karras et al. 2018, Progressive Growing of GANs (arXiv 1710.10196), section 3.
    """
    arguments.check_tensor("x", x, ndim=4)
    n, c, _, _ = x.shape
    if group_size is not None and (isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1):
        raise ValueError(f"group_size: got {group_size!r}, takes None or an integer from 1")
    if isinstance(num_channels, bool) or not isinstance(num_channels, int) or num_channels < 1 or c % num_channels:
        raise ValueError(f"num_channels: got {num_channels!r}, takes a divisor of x's {c} channels")
    if n == 0:
        raise ValueError(f"x: got shape {tuple(x.shape)}, takes at least one sample")
    members = offsets = None
    if labels is None:
        group_size = _divisor(n, group_size)
    else:
        arguments.check_labels("labels", labels, x)
        group_size = min(group_size or n, n)
        members, offsets = _class_groups(labels, group_size)
    backend = resolve("minibatch_stddev", x, backend)
    if backend == "reference":
        return _reference(x, members, offsets, group_size, num_channels)
    return _minibatch_stddev(dense(x), members, offsets, group_size, num_channels, backend)
