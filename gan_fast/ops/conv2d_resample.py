"""Convolution with a FIR filter before or after it, for up- and downsampling layers."""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import autocast, resolve
from gan_fast.ops.conv2d import Geometry, convolve
from gan_fast.ops.upfirdn2d import (
    Ints,
    downsample_padding,
    parse_padding,
    upfirdn2d,
    upsample_padding,
)


def _swapped(w: Tensor, groups: int) -> Tensor:
    """w [O, I / groups, kh, kw] as the adjoint of a convolution takes it: [I, O / groups, kh, kw]."""
    out, per_group, kh, kw = w.shape
    return w.reshape(groups, out // groups, per_group, kh, kw).transpose(1, 2).reshape(-1, out // groups, kh, kw)


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
    *,
    backend: str | None = None,
) -> Tensor:
    """Convolves images, upsampling before and downsampling after the convolution.

        y = downsample(conv2d(upsample(x, f), w), f)

    x: [N, I, H, W]. w: [O, I / groups, kh, kw], of x's dtype. f: FIR filter as for `upfirdn2d`, or None. up, down:
    integers from 1. padding: as for `upfirdn2d`, on the upsampled grid, before the convolution; it is on top of what
    the filter needs, so that padding = k // 2 with an odd k x k weight gives [H up / down, W up / down]. flip_weight:
    True is correlation, as torch's conv2d, False is convolution. flip_filter: as for `upfirdn2d`.

    Returns [N, O, H', W'], x's dtype; under torch.autocast x and w are cast to its dtype first. The order of filter and
    convolution is the cheapest that gives the same result: upsampling is a transposed convolution followed by the
    filter, downsampling the filter followed by a strided convolution. Differentiable in x and w any number of times;
    `backend` is for the resampling; the convolution is cuDNN's or oneDNN's, or on a CPU Winograd's where that takes
    less time, unless backend is "reference".

    Raises TypeError or ValueError that names the argument.

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), appendix B.
    """
    arguments.check_tensor("x", x, ndim=4)
    arguments.check_tensor("w", w, ndim=4)
    x, w = autocast(x, w)
    if w.dtype != x.dtype:
        raise TypeError(f"w: got {w.dtype}, takes x's {x.dtype}")
    arguments.check_same_device("w", w, x)
    for name, value in (("up", up), ("down", down), ("groups", groups)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, takes an integer from 1")
    if x.shape[1] % groups or w.shape[0] % groups:
        raise ValueError(f"groups: got {groups}, takes a divisor of {x.shape[1]} and {w.shape[0]} channels")
    if x.shape[1] != w.shape[1] * groups:
        raise ValueError(
            f"w: got {tuple(w.shape)}, takes [O, {x.shape[1] // groups}, kh, kw] for {x.shape[1]} channels"
        )
    backend = resolve("upfirdn2d", x, backend)
    conv = functools.partial(convolve, backend=backend)
    pad = parse_padding(padding)
    return convolve_resampled(x, w, f, up, down, pad, flip_weight, flip_filter, groups, conv=conv, backend=backend)


def convolve_resampled(
    x: Tensor,
    w: Tensor,
    f: Tensor | None,
    up: int,
    down: int,
    pad: tuple[int, int, int, int],
    flip_weight: bool,
    flip_filter: bool = False,
    groups: int = 1,
    *,
    conv: Callable[[Tensor, Tensor, Geometry], Tensor],
    backend: str,
) -> Tensor:
    """`conv2d_resample` by any convolution like `convolve`, with arguments that have been checked."""
    kh, kw = w.shape[2:]
    if up > 1:
        pad = upsample_padding(f, up, pad)
    if down > 1:
        pad = downsample_padding(f, down, pad)
    if flip_weight == (up > 1):  # a transposed convolution wants w the other way round
        w = w.flip([2, 3])
    resample = {"flip_filter": flip_filter, "backend": backend}
    direct = Geometry(1, (0, 0), groups)

    if kh == kw == 1 and up == 1 and down > 1:  # the 1x1 convolution sees only the samples that are kept
        return conv(upfirdn2d(x, f, down=down, padding=pad, **resample), w, direct)
    if kh == kw == 1 and up > 1 and down == 1:
        return upfirdn2d(conv(x, w, direct), f, up=up, padding=pad, gain=up**2, **resample)
    if up == 1 and down > 1:
        return conv(upfirdn2d(x, f, padding=pad, **resample), w, Geometry(down, (0, 0), groups))
    x0, x1, y0, y1 = pad
    if up > 1:
        # zero insertion, padding and correlation: a transposed convolution, whose output is cropped by `trim` on both
        # sides, and whose remaining padding moves to the filter that follows
        x0, x1, y0, y1 = x0 - (kw - 1), x1 - (kw - up), y0 - (kh - 1), y1 - (kh - up)
        trim_x, trim_y = max(min(-x0, -x1), 0), max(min(-y0, -y1), 0)
        y = conv(x, _swapped(w, groups), Geometry(up, (trim_y, trim_x), groups, transposed=True))
        pad = (x0 + trim_x, x1 + trim_x, y0 + trim_y, y1 + trim_y)
        y = upfirdn2d(y, f, padding=pad, gain=up**2, **resample)
        return upfirdn2d(y, f, down=down, **resample) if down > 1 else y
    if x0 == x1 and y0 == y1 and x0 >= 0 and y0 >= 0:
        return conv(x, w, Geometry(1, (y0, x0), groups))
    return conv(upfirdn2d(x, None, padding=pad, backend=backend), w, direct)
