"""Triton kernels of upfirdn2d."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 2048  # elements under one tap: two 16-byte vectors of halves for each of 128 threads
_OUTER_TAPS = 6  # separable filters up to this size run as one two-dimensional sum, longer ones as two passes
_WINDOW = 64  # inputs that a program of the window kernel reads, at most: its loops are unrolled

# Coordinates along an axis: output i begins at p = i down - pad on the grid of x with its inserted zeros; tap a lies at
# p + a and meets input q where p + a = up q. Taps are those of a correlation: flipped unless FLIP says so.
#
# Memory is [images, H, W * pixel]: planes (pixel = 1), or channels_last images whose pixels have that many channels.
# A tile is [BLOCK_H rows of any image, BLOCK_W columns], a column being one channel of one pixel. VEC channels lie in
# one pixel and are moved at once.


@triton.jit
def _tile(size_h, size_w, pixel, VEC: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    """Where the program's tile lies: images, rows and columns of [images, size_h, size_w, pixel], and the channel."""
    across = tl.cdiv(size_w * pixel, BLOCK_W)
    row = (tl.program_id(0) // across).to(tl.int64) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = (tl.program_id(0) % across) * BLOCK_W + tl.arange(0, BLOCK_W)
    channel = tl.max_contiguous(tl.multiple_of(column % pixel, [VEC]), [VEC])
    return row // size_h, (row % size_h).to(tl.int32), tl.max_constancy(column // pixel, [VEC]), channel


@triton.constexpr_function
def _is_tap(a, b, height, width):
    return 0 <= a < height and 0 <= b < width


@triton.constexpr_function
def _at(a, b, height, width, flip):
    """Where the filter holds the tap at row a and column b."""
    return a * width + b if flip else height * width - 1 - a * width - b


# Output OUT m + o of an axis, o < OUT, sees the window of inputs from m OUT DOWN / UP + first on; input r of it lies
# under tap r UP - o DOWN - PHASE.
@triton.jit
def upfirdn2d_window_kernel(
    x_ptr, f_ptr, y_ptr, images, in_h, in_w, out_h, out_w, pixel, first_x, first_y, gain: tl.float64,
    UP_X: tl.constexpr, UP_Y: tl.constexpr, DOWN_X: tl.constexpr, DOWN_Y: tl.constexpr,
    PHASE_X: tl.constexpr, PHASE_Y: tl.constexpr, OUT_X: tl.constexpr, OUT_Y: tl.constexpr,
    IN_X: tl.constexpr, IN_Y: tl.constexpr, FW: tl.constexpr, FH: tl.constexpr,
    FLIP: tl.constexpr, PLANES: tl.constexpr, VEC: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    COMPUTED: tl.constexpr = tl.float64 if y_ptr.dtype.element_ty == tl.float64 else tl.float32
    A0: tl.constexpr = -PHASE_Y  # the taps of the first and of the second output at the first input
    A1: tl.constexpr = -PHASE_Y - DOWN_Y
    B0: tl.constexpr = -PHASE_X
    B1: tl.constexpr = -PHASE_X - DOWN_X
    image, m_y, m_x, channel = _tile(tl.cdiv(out_h, OUT_Y), tl.cdiv(out_w, OUT_X), pixel, VEC, BLOCK_H, BLOCK_W)
    iy0 = m_y * (OUT_Y * DOWN_Y // UP_Y) + first_y
    ix0 = m_x * (OUT_X * DOWN_X // UP_X) + first_x
    x_row = (image * in_h + iy0)[:, None] * in_w
    x_ptr += (x_row + ix0[None, :]) * pixel + channel[None, :]  # [BLOCK_H, BLOCK_W], as all that follows
    y00 = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
    y01, y10, y11 = y00, y00, y00
    for r in tl.static_range(IN_Y):
        in_rows = (image < images) & (iy0 >= -r) & (iy0 < in_h - r)
        for c in tl.static_range(IN_X):
            inside = in_rows[:, None] & ((ix0 >= -c) & (ix0 < in_w - c))[None, :]
            v = tl.load(x_ptr + c * pixel, mask=inside, other=0.0).to(COMPUTED)
            if _is_tap(A0 + r * UP_Y, B0 + c * UP_X, FH, FW):
                y00 += tl.load(f_ptr + _at(A0 + r * UP_Y, B0 + c * UP_X, FH, FW, FLIP)).to(COMPUTED) * v
            if OUT_X == 2 and _is_tap(A0 + r * UP_Y, B1 + c * UP_X, FH, FW):
                y01 += tl.load(f_ptr + _at(A0 + r * UP_Y, B1 + c * UP_X, FH, FW, FLIP)).to(COMPUTED) * v
            if OUT_Y == 2 and _is_tap(A1 + r * UP_Y, B0 + c * UP_X, FH, FW):
                y10 += tl.load(f_ptr + _at(A1 + r * UP_Y, B0 + c * UP_X, FH, FW, FLIP)).to(COMPUTED) * v
            if OUT_X == 2 and OUT_Y == 2 and _is_tap(A1 + r * UP_Y, B1 + c * UP_X, FH, FW):
                y11 += tl.load(f_ptr + _at(A1 + r * UP_Y, B1 + c * UP_X, FH, FW, FLIP)).to(COMPUTED) * v
        x_ptr += in_w * pixel
    gain = tl.full((), gain, COMPUTED)
    for o in tl.static_range(OUT_Y):
        oy = m_y * OUT_Y + o
        out_rows = ((image < images) & (oy < out_h))[:, None]
        y_row = (image * out_h + oy)[:, None] * out_w
        even = (y00 if o == 0 else y10) * gain
        odd = (y01 if o == 0 else y11) * gain
        if PLANES and OUT_X == 2:
            ox = tl.program_id(0) % tl.cdiv(tl.cdiv(out_w, 2), BLOCK_W) * (2 * BLOCK_W) + tl.arange(0, 2 * BLOCK_W)
            tl.store(y_ptr + y_row + ox[None, :], tl.interleave(even, odd), mask=out_rows & (ox < out_w)[None, :])
        else:
            ox = m_x * OUT_X
            at = (y_row + ox[None, :]) * pixel + channel[None, :]
            tl.store(y_ptr + at, even, mask=out_rows & (ox < out_w)[None, :])
            if OUT_X == 2:
                tl.store(y_ptr + at + pixel, odd, mask=out_rows & (ox + 1 < out_w)[None, :])


@triton.jit
def _first_input(i, pad, lift, UP: tl.constexpr, DOWN: tl.constexpr):
    """The first input that output i meets, and its tap; `lift` inputs make the dividend positive."""
    position = i * DOWN - pad
    q = (position + lift * UP + UP - 1) // UP - lift
    return q, q * UP - position


# Any factors and filter: an output for each element of the tile, its taps gathered by its phase.
@triton.jit
def upfirdn2d_kernel(
    x_ptr, f_ptr, y_ptr, images, in_h, in_w, out_h, out_w, pixel, pad_x, pad_y, lift_x, lift_y, gain: tl.float64,
    UP_X: tl.constexpr, UP_Y: tl.constexpr, DOWN_X: tl.constexpr, DOWN_Y: tl.constexpr,
    FW: tl.constexpr, FH: tl.constexpr, FLIP: tl.constexpr, VEC: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    COMPUTED: tl.constexpr = tl.float64 if y_ptr.dtype.element_ty == tl.float64 else tl.float32
    image, oy, ox, channel = _tile(out_h, out_w, pixel, VEC, BLOCK_H, BLOCK_W)
    iy, a = _first_input(oy, pad_y, lift_y, UP_Y, DOWN_Y)
    ix0, b0 = _first_input(ox, pad_x, lift_x, UP_X, DOWN_X)
    x_ptr += ((image * in_h + iy)[:, None] * in_w + ix0[None, :]) * pixel + channel[None, :]  # [BLOCK_H, BLOCK_W]
    y = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
    for _ in range((FH + UP_Y - 1) // UP_Y):
        in_rows = (image < images) & (a < FH) & (iy >= 0) & (iy < in_h)
        for c in range((FW + UP_X - 1) // UP_X):
            b, ix = b0 + c * UP_X, ix0 + c
            inside = in_rows[:, None] & ((b < FW) & (ix >= 0) & (ix < in_w))[None, :]
            v = tl.load(x_ptr + c * pixel, mask=inside, other=0.0).to(COMPUTED)
            # beyond the filter v is 0 and any tap will do
            tap = tl.minimum(a, FH - 1)[:, None] * FW + tl.minimum(b, FW - 1)[None, :]
            y += tl.load(f_ptr + (tap if FLIP else FH * FW - 1 - tap)).to(COMPUTED) * v
        a, iy, x_ptr = a + UP_Y, iy + 1, x_ptr + in_w * pixel
    inside = ((image < images) & (oy < out_h))[:, None] & (ox < out_w)[None, :]
    at = ((image * out_h + oy)[:, None] * out_w + ox[None, :]) * pixel + channel[None, :]
    tl.store(y_ptr + at, y * tl.full((), gain, COMPUTED), mask=inside)


def _blocks(rows: int, columns: int) -> tuple[int, int, int]:
    """Height and width of a tile, and the number of tiles."""
    block_w = min(triton.next_power_of_2(columns), _TILE)
    block_h = min(triton.next_power_of_2(rows), _TILE // block_w)
    return block_h, block_w, triton.cdiv(columns, block_w) * triton.cdiv(rows, block_h)


def _outputs(up: int, down: int, taps: int, planes: bool) -> int:
    """Outputs of one thread along an axis: two share most of their inputs; 0 if their windows would differ."""
    if 2 * down % up:
        return 0
    return 2 if up > 1 or (taps > 1 and not planes) else 1


def _run(
    x: Tensor, f: Tensor, up: list[int], down: list[int], padding: list[int], flip: bool, gain: float, y: Tensor,
    size: tuple[int, int], pixel: int,
) -> None:  # fmt: skip
    """size: height and width of the filter."""
    (fh, fw), (in_h, in_w), (out_h, out_w) = size, x.shape[2:], y.shape[2:]
    images = x.shape[0] * x.shape[1] // pixel
    vec = 16 // x.element_size()
    vec = vec if pixel % vec == 0 else 1
    (up_x, up_y), (down_x, down_y), (pad_x, pad_y) = up, down, (padding[0], padding[2])
    shared = {"UP_X": up_x, "UP_Y": up_y, "DOWN_X": down_x, "DOWN_Y": down_y, "FW": fw, "FH": fh}
    shared |= {"FLIP": flip, "VEC": vec, "num_warps": 4 if vec > 1 else 8}  # fewer single elements for a thread to hold
    out_x = _outputs(up_x, down_x, fw, pixel == 1)
    out_y = _outputs(up_y, down_y, fh, False)
    phase_x, phase_y = -pad_x % up_x, -pad_y % up_y
    window_x = ((out_x - 1) * down_x + phase_x + fw - 1) // up_x + 1
    window_y = ((out_y - 1) * down_y + phase_y + fh - 1) // up_y + 1
    if out_x and out_y and window_x * window_y <= _WINDOW:
        rows, columns = images * triton.cdiv(out_h, out_y), triton.cdiv(out_w, out_x) * pixel
        block_h, block_w, tiles = _blocks(rows, columns)
        upfirdn2d_window_kernel[(tiles,)](
            x, f, y, images, in_h, in_w, out_h, out_w, pixel, -pad_x // up_x, -pad_y // up_y, gain, **shared,
            PHASE_X=phase_x, PHASE_Y=phase_y, OUT_X=out_x, OUT_Y=out_y, IN_X=window_x, IN_Y=window_y,
            PLANES=pixel == 1, BLOCK_H=block_h, BLOCK_W=block_w,
        )  # fmt: skip
    else:
        block_h, block_w, tiles = _blocks(images * out_h, out_w * pixel)
        lift_x, lift_y = max(0, triton.cdiv(pad_x, up_x)), max(0, triton.cdiv(pad_y, up_y))
        upfirdn2d_kernel[(tiles,)](
            x, f, y, images, in_h, in_w, out_h, out_w, pixel, pad_x, pad_y, lift_x, lift_y, gain, **shared,
            BLOCK_H=block_h, BLOCK_W=block_w,
        )  # fmt: skip


def upfirdn2d(
    x: Tensor, f: Tensor, up: list[int], down: list[int], padding: list[int], flip_filter: bool, gain: float, y: Tensor
) -> None:
    n, c, h, w = x.shape
    channels_last = c > 1 and (x if h * w > 1 else y).stride(1) == 1
    pixel = c if channels_last else 1
    computed = torch.float64 if y.dtype == torch.float64 else torch.float32
    taps = f.shape[-1]
    if f.ndim == 1 and taps <= _OUTER_TAPS:
        f = torch.outer(f.to(computed), f.to(computed))
    if f.ndim == 2:
        _run(x, f, up, down, padding, flip_filter, gain, y, (f.shape[0], taps), pixel)
        return
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    rows = torch.empty((n, c, h, y.shape[3]), dtype=computed, device=x.device, memory_format=memory_format)
    x_padding, y_padding = [*padding[:2], 0, 0], [0, 0, *padding[2:]]
    _run(x, f, [up[0], 1], [down[0], 1], x_padding, flip_filter, gain, rows, (1, taps), pixel)
    _run(rows, f, [1, up[1]], [1, down[1]], y_padding, flip_filter, 1.0, y, (taps, 1), pixel)
