"""Upsample, leaky ReLU, downsample in one pass: the alias-free nonlinearity of StyleGAN3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import has_kernel, resolve
from gan_fast.ops.bias_act import NO_CLAMP, bias_act
from gan_fast.ops.primitive import Primitive, needs
from gan_fast.ops.upfirdn2d import Ints, dense, filter_size, memory_format_of, parse_padding, upfirdn2d

MAX_TAPS, MAX_FACTOR = 24, 4  # that the fused kernels take: filters by side, up and down

# The samples of the upsampled grid that the second filter meets, and their signs, are [(H' - 1) down + fh, ...] for an
# output of H' rows. Two bits a sample: 0 where the pre-activation is positive, 1 where it is not, 2 where the output of
# the activation reaches the clamp. Byte q of a row holds columns 4 q to 4 q + 3, from its lowest bits up.
#
# With the signs fixed the op is linear, y = D m U x: upsampling, a factor for each sample, downsampling. So is its
# adjoint U' m D', which swaps the filters, flips them, and starts on another sample of the grid. One primitive,
# filtered_lrelu_grad, is therefore the gradient, the tangent, and the derivative of either.


def _output_size(x: Tensor, fu: Tensor, fd: Tensor, up: int, down: int, padding: Sequence[int]) -> tuple[int, int]:
    (uw, uh), (dw, dh) = filter_size(fu), filter_size(fd)
    height = (x.shape[2] * up + padding[2] + padding[3] - uh + 1 - dh) // down + 1
    width = (x.shape[3] * up + padding[0] + padding[1] - uw + 1 - dw) // down + 1
    return height, width


def _empty(x: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    shape = (x.shape[0], x.shape[1], height, width)
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=memory_format_of(x))


def _allocate(
    x: Tensor, b: Tensor | None, fu: Tensor, fd: Tensor, up: int, down: int, padding: Sequence[int], *rest: Any
) -> tuple[Tensor, Tensor]:
    height, width = _output_size(x, fu, fd, up, down, padding)
    y = _empty(x, height, width, x.dtype)
    if not rest[-1]:
        return y, x.new_empty(0, dtype=torch.uint8)
    dw, dh = filter_size(fd)
    return y, _empty(x, (height - 1) * down + dh, ((width - 1) * down + dw + 3) // 4, torch.uint8)


def _adjoint(ctx: Any, dy: Tensor) -> Tensor:
    """U' m D' dy for y = D m U x, where ctx.settings has U's first sample on the grid (padding) and the signs'."""
    signs, fu, fd = ctx.saved_tensors
    up, down, (x0, _, y0, _), offset, gain, slope, flip_filter = ctx.settings
    (uw, uh), (dw, dh) = filter_size(fu), filter_size(fd)
    (in_h, in_w), (out_h, out_w) = ctx.in_size, dy.shape[2:]
    first = [dw + uw - 2 - x0, dh + uh - 2 - y0]
    last = [(in_w - 1) * up + uw - out_w * down + dw - 1, (in_h - 1) * up + uh - out_h * down + dh - 1]
    padding = [first[0], last[0] - first[0], first[1], last[1] - first[1]]
    offset = [offset[0] + x0 - uw + 1, offset[1] + y0 - uh + 1]
    dy = dense(dy)
    return _filtered_lrelu_grad(dy, signs, fd, fu, down, up, padding, offset, gain, slope, not flip_filter, ctx.backend)


def _setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    x, b, fu, fd, up, down, padding, gain, slope, _, flip_filter, _, ctx.backend = inputs
    _, signs = output
    ctx.mark_non_differentiable(signs)
    ctx.settings = (up, down, padding, [0, 0], gain * up**2, slope, flip_filter)
    ctx.in_size, ctx.has_bias = x.shape[2:], b is not None
    ctx.save_for_backward(signs, fu, fd)


def _backward(ctx: Any, dy: Tensor, _: None) -> tuple:
    bias_grad = ctx.has_bias and needs(ctx, 1)
    dx = _adjoint(ctx, dy) if bias_grad or needs(ctx, 0) else None
    return dx, dx.sum([0, 2, 3]) if bias_grad else None, *[None] * 10


def _grad_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, signs, fu, fd, *ctx.settings, ctx.backend = inputs
    ctx.in_size = x.shape[2:]
    ctx.save_for_backward(signs, fu, fd)


def _grad_backward(ctx: Any, dy: Tensor) -> tuple:
    return _adjoint(ctx, dy) if needs(ctx, 0) else None, *[None] * 10


_filtered_lrelu = Primitive(
    "filtered_lrelu",
    "filtered_lrelu(Tensor x, Tensor? b, Tensor fu, Tensor fd, int up, int down, int[] padding, float gain, "
    "float slope, float clamp, bool flip_filter, bool write_signs) -> (Tensor, Tensor)",
    _allocate,
    _setup,
    _backward,
)
_filtered_lrelu_grad = Primitive(
    "filtered_lrelu",
    "filtered_lrelu_grad(Tensor x, Tensor signs, Tensor fu, Tensor fd, int up, int down, int[] padding, int[] offset, "
    "float gain, float slope, bool flip_filter) -> Tensor",
    lambda x, signs, fu, fd, up, down, padding, *rest: _empty(x, *_output_size(x, fu, fd, up, down, padding), x.dtype),
    _grad_setup,
    _grad_backward,
)


def _composed(
    x: Tensor,
    b: Tensor | None,
    fu: Tensor,
    fd: Tensor,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
    backend: str,
) -> Tensor:
    """The definition; of references it is the reference."""
    u = upfirdn2d(bias_act(x, b, backend=backend), fu, up, 1, padding, flip_filter, up**2, backend=backend)
    v = bias_act(u, act="lrelu", alpha=slope, gain=gain, clamp=clamp, backend=backend)
    return upfirdn2d(v, fd, 1, down, 0, flip_filter, backend=backend)


def _filter(name: str, f: Tensor | None, x: Tensor) -> Tensor:
    if f is None:
        return torch.ones([1, 1], dtype=torch.float32, device=x.device)
    arguments.check_tensor(name, f)
    arguments.check_same_device(name, f, x)
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise ValueError(f"{name}: got shape {tuple(f.shape)}, takes [fh, fw] or [n] with at least one element")
    return f


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
    *,
    backend: str | None = None,
) -> Tensor:
    """Adds a bias, upsamples, applies a leaky ReLU, scales, clamps and downsamples, in one pass over memory.

        u = upfirdn2d(x + b, fu, up=up, padding=padding, gain=up^2)
        v = clamp(lrelu(u, slope) * gain, -clamp, clamp)
        y = upfirdn2d(v, fd, down=down)

    x: [N, C, H, W], float32, float64, float16 or bfloat16, contiguous or channels_last (anything else is copied).
    fu, fd: FIR filters [fh, fw]; [n], separable, applied along both axes; None, the identity; any float dtype, see
    `setup_filter`. b: [C], any float dtype, is cast to x's. up, down: integers from 1. padding: samples on the
    upsampled grid, one integer, (x, y) or (x0, x1, y0, y1); negative padding crops. gain, slope: numbers. clamp: None
    or a number from 0; no gradient flows where |v| reaches it. NaN stays NaN. flip_filter: correlation instead of
    convolution, for both filters.

    Returns y: [N, C, (H up + y0 + y1 - fuh + 1 - fdh) // down + 1, likewise for the width], of x's dtype and memory
    format. Half precision is computed in float32 throughout. u and v stay in the caches: for a gradient two bits are
    kept of each of their samples, and neither x nor y. Piecewise linear in x and b, and its adjoint is the same op with
    the signs given: differentiable in x and b any number of times on every backend. Only backend="reference" gives
    gradients of fu and fd.

    Filters of more than 24 taps a side, up or down beyond 4, and backends with no kernel of this op run as `upfirdn2d`
    and `bias_act` on that backend, which rounds u and v to x's dtype and keeps them for the gradient.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: StyleGAN3, Karras et al. 2021 (arXiv 2106.12423), section 3.2 and appendix D.
    """
    arguments.check_tensor("x", x, ndim=4)
    (up,) = arguments.integers("up", up, (1,), minimum=1)
    (down,) = arguments.integers("down", down, (1,), minimum=1)
    padding = parse_padding(padding)
    gain, slope = arguments.real("gain", gain), arguments.real("slope", slope)
    if clamp is not None and (clamp := arguments.real("clamp", clamp)) < 0:
        raise ValueError(f"clamp: got {clamp}, takes None or a number from 0")
    if b is not None:
        arguments.check_tensor("b", b, ndim=1)
        arguments.check_same_device("b", b, x)
        if b.shape[0] != x.shape[1]:
            raise ValueError(f"b: got {b.shape[0]} elements, takes {x.shape[1]}, the channels of x")
        b = b.to(x.dtype).contiguous()
    fu, fd = _filter("fu", fu, x), _filter("fd", fd, x)
    height, width = _output_size(x, fu, fd, up, down, padding)
    if height < 1 or width < 1:
        raise ValueError(
            f"padding: x of shape {tuple(x.shape)} with up={up}, padding={padding} is smaller than fu of shape "
            f"{tuple(fu.shape)} and fd of shape {tuple(fd.shape)}; the output would be {height} by {width}"
        )
    if (fu.requires_grad or fd.requires_grad) and torch.is_grad_enabled():
        if backend not in (None, "auto", "reference"):
            raise RuntimeError(f"filtered_lrelu: backend '{backend}' gives no gradient of fu, fd; use 'reference'")
        backend = "reference"
    taken = resolve("filtered_lrelu", x, backend)
    fits = max(*fu.shape, *fd.shape) <= MAX_TAPS and max(up, down) <= MAX_FACTOR
    if taken == "reference" or not fits or not has_kernel("filtered_lrelu", taken):
        return _composed(x, b, fu, fd, up, down, padding, gain, slope, clamp, flip_filter, taken)
    wants_grad = torch.is_grad_enabled() and (x.requires_grad or (b is not None and b.requires_grad))
    y, _ = _filtered_lrelu(
        dense(x),
        b,
        fu.contiguous(),
        fd.contiguous(),
        up,
        down,
        list(padding),
        gain,
        slope,
        NO_CLAMP if clamp is None else clamp,
        bool(flip_filter),
        wants_grad,
        taken,
    )
    return y
