"""Triton kernels of interpolate and its adjoint."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

_TILE_BYTES = 8192  # of one tensor: four 16-byte vectors for each of 128 threads


@triton.jit
def _uniform(seed_ptr, i, A: tl.constexpr):
    """The i-th number in [0, 1) of the counter, exact in float32."""
    block, offset = i // 4, tl.load(seed_ptr + 1)
    low, high = block.to(tl.uint32), (block >> 32).to(tl.uint32)
    c0, c1, c2, c3 = tl.philox(tl.load(seed_ptr), low, high, offset.to(tl.uint32), (offset >> 32).to(tl.uint32))
    lane = i % 4
    c = tl.where(lane < 2, tl.where(lane == 0, c0, c1), tl.where(lane == 2, c2, c3))
    return (c >> 8).to(A) * 5.9604644775390625e-08


# The elements of a sample lie side by side, in all tensors alike. A program takes a tile: tile k of sample n is program
# n tiles + k.
@triton.jit
def interpolate_kernel(a_ptr, b_ptr, seed_ptr, y_ptr, elements, tiles, BLOCK: tl.constexpr):
    """y[n] = a[n] + t[n] (b[n] - a[n])."""
    A: tl.constexpr = tl.float64 if a_ptr.dtype.element_ty == tl.float64 else tl.float32
    program = tl.program_id(0).to(tl.int64)
    i = program % tiles * BLOCK + tl.arange(0, BLOCK)
    at = program // tiles * elements + i
    t = _uniform(seed_ptr, program // tiles, A)
    a = tl.load(a_ptr + at, mask=i < elements).to(A)
    b = tl.load(b_ptr + at, mask=i < elements).to(A)
    tl.store(y_ptr + at, a + t * (b - a), mask=i < elements)


@triton.jit
def interpolate_grad_kernel(dy_ptr, seed_ptr, da_ptr, db_ptr, elements, tiles, BLOCK: tl.constexpr):
    """da[n] = (1 - t[n]) dy[n], db[n] = t[n] dy[n]: those that are asked for."""
    A: tl.constexpr = tl.float64 if dy_ptr.dtype.element_ty == tl.float64 else tl.float32
    program = tl.program_id(0).to(tl.int64)
    i = program % tiles * BLOCK + tl.arange(0, BLOCK)
    at = program // tiles * elements + i
    t = _uniform(seed_ptr, program // tiles, A)
    dy = tl.load(dy_ptr + at, mask=i < elements).to(A)
    if da_ptr is not None:
        tl.store(da_ptr + at, (1.0 - t) * dy, mask=i < elements)
    if db_ptr is not None:
        tl.store(db_ptr + at, t * dy, mask=i < elements)


def _tiles(x: Tensor) -> tuple[int, int, int]:
    """Elements of a sample, its tiles, and the elements of a tile."""
    elements = x.numel() // x.shape[0]
    block = min(triton.next_power_of_2(elements), _TILE_BYTES // x.element_size())
    return elements, triton.cdiv(elements, block), block


def interpolate(a: Tensor, b: Tensor, seed: Tensor, y: Tensor) -> None:
    elements, tiles, block = _tiles(y)
    interpolate_kernel[(y.shape[0] * tiles,)](a, b, seed, y, elements, tiles, BLOCK=block)


def interpolate_grad(dy: Tensor, seed: Tensor, a_grad: bool, b_grad: bool, da: Tensor, db: Tensor) -> None:
    elements, tiles, block = _tiles(dy)
    outputs = (da if a_grad else None, db if b_grad else None)
    interpolate_grad_kernel[(dy.shape[0] * tiles,)](dy, seed, *outputs, elements, tiles, BLOCK=block)
