"""Convolution as a closed family: forward, input gradient and weight gradient are each other's derivatives.

    y = conv(x, w)        dx = conv*(dy, w), a transposed convolution        dw = corr(x, dy)

With the cotangents v of dx and u of dw,  d(dy) = conv(v, w) + conv(x, u),  d2x = conv*(dy, u),  d2w = corr(v, dy).
PyTorch's own double backward makes d2w by a convolution whose kernel is a feature map; here every pass is one of three.

On GPUs a pass is cuDNN's. On CPUs it is oneDNN's, or Winograd's (ops/winograd.py) where that takes less time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast.ops import arguments, winograd
from gan_fast.ops.backends import autocast, outside_autocast, resolve
from gan_fast.ops.modulate import modulate, scale_gradients
from gan_fast.ops.primitive import needs, runs_at_once, wanted_of
from gan_fast.ops.upfirdn2d import Ints, dense, memory_format_of

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """How a plain convolution lies; transposed: its adjoint, for which output_padding makes up the size."""

    stride: int
    padding: Pair
    groups: int
    transposed: bool = False
    output_padding: Pair = (0, 0)

    def adjoint(self, w: Tensor, size: torch.Size) -> Geometry:
        """The convolution back to images of this size."""
        if self.transposed:
            return self.plain()
        short = [(n + 2 * p - k) % self.stride for n, p, k in zip(size, self.padding, w.shape[2:], strict=True)]
        return self._replace(transposed=True, output_padding=(short[0], short[1]))

    def plain(self) -> Geometry:
        return self._replace(transposed=False, output_padding=(0, 0))

    def arguments(self) -> tuple:
        pair = [self.stride] * 2
        return (pair, list(self.padding), [1, 1], self.transposed, list(self.output_padding), self.groups)

    def output_size(self, w: Tensor, size: torch.Size) -> Pair:
        sides = zip(size, self.padding, w.shape[2:], self.output_padding, strict=True)
        if self.transposed:
            h, w_ = ((n - 1) * self.stride - 2 * p + k + o for n, p, k, o in sides)
        else:
            h, w_ = ((n + 2 * p - k) // self.stride + 1 for n, p, k, _ in sides)
        return h, w_


@functools.cache
def _slow_in_half() -> bool:
    """Whether the processor has no instructions for products in half precision, which oneDNN then imitates."""
    return not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _computed(x: Tensor) -> torch.dtype:
    half = x.dtype in (torch.float16, torch.bfloat16)
    return torch.float32 if half and x.device.type == "cpu" and _slow_in_half() else x.dtype


def _is_winograds(x: Tensor, w: Tensor, g: Geometry, size: Callable[[], Pair], backend: str) -> bool:
    """size: of the output, which is asked for only if the rest allows it."""
    if w.shape[2:] != (3, 3) or _computed(x) not in (torch.float32, torch.float64) or not runs_at_once(x, w):
        return False
    return winograd.takes(w, g.stride, g.groups, math.prod(size()), backend)


@outside_autocast
def _convolve(x: Tensor, w: Tensor, g: Geometry, backend: str) -> Tensor:
    if not _is_winograds(x, w, g, lambda: g.output_size(w, x.shape[2:]), backend):
        if g.transposed and g.stride == g.groups == 1 and w.shape[2:] == (1, 1) and g.padding == (0, 0):
            w, g = w.transpose(0, 1), g.plain()  # the same, by a matrix product
        if (dtype := _computed(x)) != x.dtype:
            return torch.convolution(x.to(dtype), w.to(dtype), None, *g.arguments()).to(x.dtype)
        return torch.convolution(x, w, None, *g.arguments())
    height, width = g.output_size(w, x.shape[2:])
    shape = (x.shape[0], w.shape[1 if g.transposed else 0], height, width)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))
    u = winograd.transform_weight(w, winograd.tile_size(height, width), g.transposed, backend)
    pad = g.padding
    if g.transposed:
        u, pad = u.transpose(1, 2), (2 - pad[0], 2 - pad[1])
    winograd.convolve(dense(x), u, pad, y, backend)
    return y


@outside_autocast
def _correlate(x: Tensor, dy: Tensor, w: Tensor, g: Geometry, backend: str) -> Tensor:
    """The gradient of w, of which only shape and memory format count, in a plain convolution of x with the output y."""
    given = x.dtype
    if not _is_winograds(x, w, g, lambda: dy.shape[2:], backend):
        if (dtype := _computed(x)) != x.dtype:
            dy, x, w = (t.to(dtype) for t in (dy, x, w))
        backward = torch.ops.aten.convolution_backward.default
        return backward(dy, x, w, None, *g.arguments(), [False, True, False])[1].to(given)
    dw = torch.empty_like(w)
    winograd.weight_grad(dense(x), dense(dy), g.padding, winograd.tile_size(*dy.shape[2:]), dw, backend)
    return dw


class _Conv2d(torch.autograd.Function):
    """Keeps x and s rather than their product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, s: Tensor | None, g: Geometry, backend: str) -> Tensor:
        ctx.save_for_backward(x, w, s)
        ctx.settings = g, backend
        return _convolve(x if s is None else modulate(x, s, backend=backend), w, g, backend)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple:
        x, w, s = ctx.saved_tensors
        g, backend = ctx.settings
        x_grad, w_grad, s_grad = wanted_of(ctx, x, w, s)
        dx = dw = ds = None
        if x_grad or s_grad:
            dx = _Conv2d.apply(dy, w, None, g.adjoint(w, x.shape[2:]), backend)
        if dx is not None and s is not None:
            dx, ds = scale_gradients(dx, x, s, s_grad, backend)
        if w_grad:
            scaled = x if s is None else modulate(x, s, backend=backend)
            image, result = (dy, scaled) if g.transposed else (scaled, dy)
            dw = _WeightGrad.apply(image, result, w.detach(), g.plain(), backend)
        return dx, dw, ds, None, None


class _WeightGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, w: Tensor, g: Geometry, backend: str) -> Tensor:
        ctx.save_for_backward(x, dy)
        ctx.settings = g, backend
        return _correlate(x, dy, w, g, backend)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple:
        x, dy = ctx.saved_tensors
        g, backend = ctx.settings
        dx = _Conv2d.apply(dy, u, None, g.adjoint(u, x.shape[2:]), backend) if needs(ctx, 0) else None
        ddy = _Conv2d.apply(x, u, None, g, backend) if needs(ctx, 1) else None
        return dx, ddy, None, None, None


def convolve(x: Tensor, w: Tensor, g: Geometry, backend: str, s: Tensor | None = None) -> Tensor:
    """y[n] = conv(s[n] x[n], w), or its adjoint, of arguments that have been checked.

    x: [N, I, H, W]. w: of x's dtype, [O, I / groups, kh, kw], or [I, O / groups, kh, kw] for an adjoint. s: [N, I], or
    None. backend: as `resolve` gave it; "reference", and what is being compiled, is PyTorch's own convolution.
    """
    if backend == "reference" or torch.compiler.is_compiling():
        if s is not None:
            x = x * s.to(x.dtype)[:, :, None, None]
        pair = {"stride": g.stride, "padding": g.padding, "groups": g.groups}
        if g.transposed:
            return F.conv_transpose2d(x, w, output_padding=g.output_padding, **pair)
        return F.conv2d(x, w, **pair)
    return _Conv2d.apply(x, w, s, g, backend)


def _checked(
    x: Tensor, w: Tensor, stride: int, padding: Ints, groups: int, channels: int
) -> tuple[Tensor, Tensor, Pair]:
    """x and w in the dtype that autocast says, and padding as (y, x). channels: the dimension of w that meets x's."""
    arguments.check_tensor("x", x, ndim=4)
    arguments.check_tensor("w", w, ndim=4)
    arguments.check_same_device("w", w, x)
    x, w = autocast(x, w)
    if w.dtype != x.dtype:
        raise TypeError(f"w: got {w.dtype}, takes x's {x.dtype}")
    for name, value in (("stride", stride), ("groups", groups)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, takes an integer from 1")
    if x.shape[1] % groups or w.shape[0] % groups:
        raise ValueError(f"groups: got {groups}, takes a divisor of x's {x.shape[1]} and w's {w.shape[0]} channels")
    expected = x.shape[1] // groups if channels else x.shape[1]
    if w.shape[channels] != expected:
        raise ValueError(
            f"w: got {tuple(w.shape)}, takes {expected} in dimension {channels} for x of shape {tuple(x.shape)}"
        )
    pad = arguments.integers("padding", padding, (1, 2), minimum=0)
    return x, w, (pad[0], pad[-1])


def conv2d(
    x: Tensor, w: Tensor, stride: int = 1, padding: Ints = 0, groups: int = 1, *, backend: str | None = None
) -> Tensor:
    """2-D convolution (correlation, as in PyTorch) whose second derivatives are convolutions as cheap as its first.

        y[n, o, i, j] = sum over c, k, l of w[o, c, k, l] x[n, c, stride i + k - pad_y, stride j + l - pad_x]

    x: [N, I, H, W], float32, float64, float16 or bfloat16. w: [O, I / groups, kh, kw], of x's dtype. stride: an integer
    from 1. padding: zeros around x, an integer or (y, x).

    Returns y [N, O, (H + 2 pad_y - kh) // stride + 1, ...], x's dtype; under torch.autocast x and w are cast to its
    dtype first. Differentiable any number of times; gradients that nobody asked for are not computed, and in the second
    order no feature map serves as a kernel. A pass is cuDNN's or oneDNN's. On CPUs a 3x3 convolution of stride 1 with
    32 channels or more is Winograd's: two to four times fewer multiplications, rounding errors up to ten times those of
    a direct one (3e-6 of y in float32), and a NaN spreads over its tile of up to 6x6 pixels. Half precision on a CPU
    without instructions for it is computed in float32.

    Raises TypeError or ValueError that names the argument.
    """
    x, w, pad = _checked(x, w, stride, padding, groups, channels=1)
    return convolve(x, w, Geometry(stride, pad, groups), resolve("conv2d", x, backend))


def conv_transpose2d(
    x: Tensor,
    w: Tensor,
    stride: int = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    *,
    backend: str | None = None,
) -> Tensor:
    """The adjoint of `conv2d` in x, which takes its results back to its images.

    x: [N, O, H, W]. w: [O, I / groups, kh, kw]. output_padding: (y, x) rows and columns more at the end, fewer than
    stride, as several sizes have one adjoint. Returns [N, I, (H - 1) stride - 2 pad_y + kh + output_padding_y, ...].
    Anything else as for `conv2d`.

    Raises TypeError or ValueError that names the argument.
    """
    x, w, pad = _checked(x, w, stride, padding, groups, channels=0)
    more = arguments.integers("output_padding", output_padding, (1, 2), minimum=0)
    if max(more) >= stride:
        raise ValueError(f"output_padding: got {output_padding!r}, takes integers below the stride {stride}")
    geometry = Geometry(stride, pad, groups, transposed=True, output_padding=(more[0], more[-1]))
    return convolve(x, w, geometry, resolve("conv2d", x, backend))
