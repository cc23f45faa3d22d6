"""Random points between two batches: where WGAN-GP and its kin take the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import resolve
from gan_fast.ops.noise import philox
from gan_fast.ops.primitive import Primitive, computed_dtype, needs
from gan_fast.ops.square_sum import packed


def _reference(a: Tensor, b: Tensor, seed: Tensor) -> Tensor:
    n = a.shape[0]
    dtype = computed_dtype(a.dtype)
    numbers = torch.stack(philox(seed[0], seed[1], torch.arange((n + 3) // 4, device=seed.device)), 1).flatten()[:n]
    t = ((numbers >> 8).to(dtype) / 2**24).reshape(n, *[1] * (a.ndim - 1))
    return (a.to(dtype) + t * (b.to(dtype) - a.to(dtype))).to(a.dtype)


# Each is the other's adjoint:
#   y[n] = (1 - t[n]) a[n] + t[n] b[n]                interpolate
#   da[n] = (1 - t[n]) dy[n], db[n] = t[n] dy[n]      interpolate_grad
def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, _, seed, ctx.backend = inputs
    ctx.save_for_backward(seed)


def _backward(ctx: Any, dy: Tensor) -> tuple:
    (seed,) = ctx.saved_tensors
    wanted = (needs(ctx, 0), needs(ctx, 1))
    da, db = _interpolate_grad(*packed(dy), seed, *wanted, ctx.backend)
    return da if wanted[0] else None, db if wanted[1] else None, None


def _grad_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    dy, seed, ctx.a_grad, ctx.b_grad, ctx.backend = inputs
    ctx.like = dy.shape, dy.dtype, dy.device
    ctx.save_for_backward(seed)


def _grad_backward(ctx: Any, dda: Tensor | None, ddb: Tensor | None) -> tuple:
    (seed,) = ctx.saved_tensors
    shape, dtype, device = ctx.like
    given = [
        w if w is not None and wanted else torch.zeros(shape, dtype=dtype, device=device)
        for w, wanted in ((dda, ctx.a_grad), (ddb, ctx.b_grad))
    ]
    return _interpolate(*packed(*given), seed, ctx.backend) if needs(ctx, 0) else None, None, None, None


_interpolate = Primitive(
    "interpolate",
    "interpolate(Tensor a, Tensor b, Tensor seed) -> Tensor",
    lambda a, b, seed: torch.empty_like(a),
    _setup,
    _backward,
)
_interpolate_grad = Primitive(
    "interpolate",
    "interpolate_grad(Tensor dy, Tensor seed, bool a_grad, bool b_grad) -> (Tensor, Tensor)",
    lambda dy, seed, *wanted: tuple(torch.empty_like(dy) if w else dy.new_empty(0) for w in wanted),
    _grad_setup,
    _grad_backward,
)


def interpolate(a: Tensor, b: Tensor, seed: Tensor, *, backend: str | None = None) -> Tensor:
    """A random point on the line between each sample of a and the same sample of b.

        y[n] = a[n] + t[n] (b[n] - a[n]),  t[n] uniform in [0, 1)
        t[4 k], ..., t[4 k + 3] = the upper 24 bits of the four numbers of the counter (k, offset) under the seed

    a, b: [N, ...], of one shape and dtype, float32, float64, float16 or bfloat16. a is copied if there are gaps in its
    memory, b if it does not lie as a does. seed: (seed, offset), int64 [2], on their device, as
    `noise` takes it: the two draw from the same counter, so give them different offsets.

    Returns y: of a's dtype and memory format; half precision is computed in float32. Every backend draws the same t.
    Differentiable in a and b any number of times; backward draws t again.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: Gulrajani et al. 2017, Improved training of Wasserstein GANs (arXiv 1704.00028), algorithm 1; Philox4x32-10,
    Salmon et al. 2011 (Parallel random numbers: as easy as 1, 2, 3), section 4.3.
    """
    arguments.check_tensor("a", a)
    arguments.check_tensor("b", b)
    if a.ndim == 0:
        raise ValueError("a: got 0 dimensions, takes [N, ...]")
    if b.shape != a.shape or b.dtype != a.dtype:
        raise ValueError(f"b: got {b.dtype} {tuple(b.shape)}, takes {a.dtype} {tuple(a.shape)}, as a is")
    arguments.check_seed("seed", seed)
    for name, t in (("b", b), ("seed", seed)):
        arguments.check_same_device(name, t, a)
    backend = resolve("interpolate", a, backend)
    if backend == "reference":
        return _reference(a, b, seed)
    return _interpolate(*packed(a, b), seed.contiguous(), backend)
