"""Triton kernels of square_sum and its derivative."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE_BYTES = 16384  # of one tensor: eight 16-byte vectors for each of 128 threads
_SUM_BLOCK = 1024


# The elements of a sample lie side by side, in x and y alike. A program takes a tile: part k of sample n is program
# n parts + k.
@triton.jit
def square_sum_kernel(x_ptr, y_ptr, sums_ptr, gain, elements, parts, BLOCK: tl.constexpr):
    """sums[n, k] = gain sum of x y over part k; without y, of x x."""
    COMPUTED: tl.constexpr = tl.float64 if x_ptr.dtype.element_ty == tl.float64 else tl.float32
    program = tl.program_id(0).to(tl.int64)
    i = program % parts * BLOCK + tl.arange(0, BLOCK)
    at = program // parts * elements + i
    x = tl.load(x_ptr + at, mask=i < elements, other=0.0).to(COMPUTED)
    if y_ptr is None:
        y = x
    else:
        y = tl.load(y_ptr + at, mask=i < elements, other=0.0).to(COMPUTED)
    tl.store(sums_ptr + program, tl.sum(x * y, 0) * gain)


@triton.jit
def square_sum_parts_kernel(sums_ptr, p_ptr, parts, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """p[n] = sum of sums[n, k] over the parts k, in their order."""
    n = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), sums_ptr.dtype.element_ty)
    for step in range(STEPS):
        k = step * BLOCK + tl.arange(0, BLOCK)
        total += tl.load(sums_ptr + n * parts + k, mask=k < parts, other=0.0)
    tl.store(p_ptr + n, tl.sum(total, 0))


@triton.jit
def square_sum_grad_kernel(v_ptr, x_ptr, dx_ptr, gain, elements, parts, BLOCK: tl.constexpr):
    """dx[n] = gain v[n] x[n]."""
    program = tl.program_id(0).to(tl.int64)
    i = program % parts * BLOCK + tl.arange(0, BLOCK)
    at = program // parts * elements + i
    v = tl.load(v_ptr + program // parts) * gain
    x = tl.load(x_ptr + at, mask=i < elements).to(v.dtype)
    tl.store(dx_ptr + at, v * x, mask=i < elements)


def _tiles(x: Tensor) -> tuple[int, int, int]:
    """Elements of a sample, its parts (one of no elements too), and the elements of a part."""
    elements = x.numel() // x.shape[0]
    block = min(triton.next_power_of_2(max(elements, 1)), _TILE_BYTES // x.element_size())
    return elements, max(triton.cdiv(elements, block), 1), block


def square_sum(x: Tensor, y: Tensor | None, gain: float, p: Tensor) -> None:
    elements, parts, block = _tiles(x)
    sums = p if parts == 1 else torch.empty(x.shape[0], parts, dtype=p.dtype, device=p.device)
    square_sum_kernel[(x.shape[0] * parts,)](x, y, sums, gain, elements, parts, BLOCK=block)
    if parts > 1:
        across = min(triton.next_power_of_2(parts), _SUM_BLOCK)
        steps = triton.next_power_of_2(triton.cdiv(parts, across))
        square_sum_parts_kernel[(x.shape[0],)](sums, p, parts, STEPS=steps, BLOCK=across)


def square_sum_grad(v: Tensor, x: Tensor, gain: float, dx: Tensor) -> None:
    elements, parts, block = _tiles(x)
    square_sum_grad_kernel[(x.shape[0] * parts,)](v, x, dx, gain, elements, parts, BLOCK=block)
