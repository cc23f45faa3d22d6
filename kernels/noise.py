"""Triton kernel of noise."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

_BLOCKS = 256  # blocks of the counter that a program takes


@triton.jit
def _sin_cos_turns(u):
    """sin and cos of 2 pi u, 0 <= u < 1, by their series at the angle to the nearest quarter turn.

    tl.sin and tl.cos reduce any argument, for which they need a stack.
    """
    quarter = (4.0 * u + 0.5).to(tl.int32)
    r = (u - 0.25 * quarter.to(u.dtype)) * tl.full((), 6.283185307179586, u.dtype)
    sine = tl.full(u.shape, 1.0, u.dtype)
    cosine = sine
    for i in tl.static_range(8, 0, -1):
        sine = 1.0 - r * r * (1.0 / (2 * i * (2 * i + 1))) * sine
        cosine = 1.0 - r * r * (1.0 / ((2 * i - 1) * 2 * i)) * cosine
    sine *= r
    odd = (quarter & 1) != 0
    s = tl.where(odd, cosine, sine)
    c = tl.where(odd, sine, cosine)
    return tl.where((quarter & 2) != 0, -s, s), tl.where(((quarter + 1) & 2) != 0, -c, c)


@triton.jit
def _normals(c0, c1, WIDE: tl.constexpr):
    """Two normal numbers by Box and Muller; both uniform numbers are exact, and the first is never 0."""
    A: tl.constexpr = tl.float64 if WIDE else tl.float32
    radius = tl.sqrt(-2.0 * tl.log(((c0 >> 9).to(A) + 0.5) * 1.1920928955078125e-07))
    sine, cosine = _sin_cos_turns((c1 >> 8).to(A) * 5.9604644775390625e-08)
    return radius * cosine, radius * sine


@triton.jit
def noise_kernel(strength_ptr, seed_ptr, y_ptr, n, BLOCKS: tl.constexpr):
    """y[4 i + j] = strength z[j] of block i of the counter."""
    STORED: tl.constexpr = y_ptr.dtype.element_ty
    WIDE: tl.constexpr = tl.float64 == STORED
    block = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    offset = tl.load(seed_ptr + 1) + tl.zeros_like(block)
    low, high = block.to(tl.uint32), (block >> 32).to(tl.uint32)
    c0, c1, c2, c3 = tl.philox(tl.load(seed_ptr), low, high, offset.to(tl.uint32), (offset >> 32).to(tl.uint32))
    z0, z1 = _normals(c0, c1, WIDE)
    z2, z3 = _normals(c2, c3, WIDE)
    z = tl.reshape(tl.join(tl.join(z0, z2), tl.join(z1, z3)), (4 * BLOCKS,))
    at = tl.program_id(0).to(tl.int64) * 4 * BLOCKS + tl.arange(0, 4 * BLOCKS)
    tl.store(y_ptr + at, (z * tl.load(strength_ptr).to(z.dtype)).to(STORED), mask=at < n)


def noise(strength: Tensor, seed: Tensor, shape: list[int], y: Tensor) -> None:
    n = y.numel()
    noise_kernel[(triton.cdiv(n, 4 * _BLOCKS),)](strength, seed, y, n, BLOCKS=_BLOCKS)
