"""The sum of squares of each sample: what gradient penalties are made of."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import resolve
from gan_fast.ops.primitive import Primitive, computed_dtype, needs


def _without_gaps(x: Tensor) -> bool:
    """Whether x's elements lie sample after sample, those of a sample in any order."""
    if x.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(x.stride()[1:], x.shape[1:], strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return x.shape[0] <= 1 or x.stride(0) == expected


def packed(first: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Tensors of one shape that lie alike in memory, sample after sample: those given, or copies of some of them."""
    first = first if _without_gaps(first) else first.contiguous()
    alike = (t if t.stride() == first.stride() else torch.empty_like(first).copy_(t) for t in others)
    return first, *alike


def _reference(x: Tensor) -> Tensor:
    return x.to(computed_dtype(x.dtype)).square().reshape(x.shape[0], math.prod(x.shape[1:])).sum(1)


# A product of two tensors in each sample, and a factor for each sample, are each other's derivatives:
#   p[n] = gain sum of x[n] y[n]      dx[n] = gain dp[n] y[n], dy[n] = gain dp[n] x[n]      square_sum
#   dx[n] = gain v[n] x[n]            dv[n] = gain sum of w[n] x[n], d2x[n] = gain v[n] w[n]  square_sum_grad
# Of a square, y is not given and the gain of its derivative is doubled.
def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, y, ctx.gain, ctx.backend = inputs
    ctx.save_for_backward(x, y)


def _backward(ctx: Any, dp: Tensor) -> tuple:
    x, y = ctx.saved_tensors
    dp = dp.contiguous()
    if y is None:  # with one input there is nothing to ask: this node runs for its gradient
        return _square_sum_grad(dp, x, 2 * ctx.gain, ctx.backend), None, None
    dx = _square_sum_grad(dp, y, ctx.gain, ctx.backend) if needs(ctx, 0) else None
    dy = _square_sum_grad(dp, x, ctx.gain, ctx.backend) if needs(ctx, 1) else None
    return dx, dy, None


def _grad_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    v, x, ctx.gain, ctx.backend = inputs
    ctx.save_for_backward(v, x)


def _grad_backward(ctx: Any, w: Tensor) -> tuple:
    v, x = ctx.saved_tensors
    w, x = packed(w, x)
    dv = _square_sum(w, x, ctx.gain, ctx.backend) if needs(ctx, 0) else None
    d2x = _square_sum_grad(v, w, ctx.gain, ctx.backend) if needs(ctx, 1) else None
    return dv, d2x, None


_square_sum = Primitive(
    "square_sum",
    "square_sum(Tensor x, Tensor? y, float gain) -> Tensor",
    lambda x, y, gain: x.new_empty(x.shape[0], dtype=computed_dtype(x.dtype)),
    _setup,
    _backward,
)
_square_sum_grad = Primitive(
    "square_sum",
    "square_sum_grad(Tensor v, Tensor x, float gain) -> Tensor",
    lambda v, x, gain: torch.empty_like(x),
    _grad_setup,
    _grad_backward,
)


def square_sum(x: Tensor, *, backend: str | None = None) -> Tensor:
    """Sum of the squares of each sample's elements, in one pass over x.

        p[n] = sum of x[n, ...]^2

    x: [N, ...], of one dimension or more, float32, float64, float16 or bfloat16. Samples that lie one after the other
    without gaps are read as they are, whatever the order of their elements (contiguous, channels_last); anything else
    is copied.

    Returns p: [N], in float32, or float64 for that; so are its sums, whose order depends on the size of x alone.
    Differentiable any number of times; the gradient 2 dp[n] x[n] is one pass, in x's dtype and memory format.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.
    """
    arguments.check_tensor("x", x)
    if x.ndim == 0:
        raise ValueError("x: got 0 dimensions, takes [N, ...]")
    backend = resolve("square_sum", x, backend)
    if backend == "reference":
        return _reference(x)
    return _square_sum(*packed(x), None, 1.0, backend)
