"""Triton kernels of upfirdn2d."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE_BYTES = 4096  # of x under one tap: two 16-byte vectors for each of 128 threads
_OUTER_TAPS = 6  # separable filters up to this size run as one two-dimensional sum, longer ones as two passes
_WINDOW = 64  # inputs that a program of the window kernel reads, at most: its loops are unrolled

# Coordinates along an axis: output i begins at p = i down - pad on the grid of x with its inserted zeros; tap a lies at
# p + a and meets input q where p + a = up q. Taps are those of a correlation: flipped unless FLIP says so.
#
# Memory is [images, H, W * pixel]: planes (pixel = 1), or channels_last images whose pixels have that many channels.
# A tile is [BLOCK_H rows of any image, BLOCK_W columns], a column being one channel of one pixel. VEC channels lie in
# one pixel and are moved at once.


@triton.jit
def _tap(f_ptr, a, b, gain, FH: tl.constexpr, FW: tl.constexpr, SEPARABLE: tl.constexpr, FLIP: tl.constexpr):
    """The tap that lies at row a and column b, times gain."""
    if not FLIP:
        a, b = FH - 1 - a, FW - 1 - b
    if SEPARABLE:
        return tl.load(f_ptr + a).to(gain.dtype) * (tl.load(f_ptr + b).to(gain.dtype) * gain)
    return tl.load(f_ptr + a * FW + b).to(gain.dtype) * gain


@triton.jit
def _tile(size_h, size_w, pixel, VEC: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    """Where the program's tile lies: images, rows and columns of [images, size_h, size_w, pixel], and the channel."""
    across = tl.cdiv(size_w * pixel, BLOCK_W)
    row = (tl.program_id(0) // across).to(tl.int64) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = (tl.program_id(0) % across) * BLOCK_W + tl.arange(0, BLOCK_W)
    channel = tl.max_contiguous(tl.multiple_of(column % pixel, [VEC]), [VEC])
    return row // size_h, (row % size_h).to(tl.int32), tl.max_constancy(column // pixel, [VEC]), channel


@triton.jit
def _accumulate(
    total, v, f_ptr, gain, A: tl.constexpr, B: tl.constexpr,
    FH: tl.constexpr, FW: tl.constexpr, SEPARABLE: tl.constexpr, FLIP: tl.constexpr,
):  # fmt: skip
    """total + tap * v where the filter has a tap at row A and column B."""
    if A >= 0 and A < FH and B >= 0 and B < FW:
        total += _tap(f_ptr, A, B, gain, FH, FW, SEPARABLE, FLIP) * v
    return total


# Output OUT m + o of an axis, o < OUT, sees the window of inputs from m OUT DOWN / UP + first on; input r of it lies
# under tap r UP - o DOWN - PHASE.
@triton.jit
def upfirdn2d_window_kernel(
    x_ptr, f_ptr, y_ptr, images, in_h, in_w, out_h, out_w, pixel, first_x, first_y, gain: tl.float64,
    UP_X: tl.constexpr, UP_Y: tl.constexpr, DOWN_X: tl.constexpr, DOWN_Y: tl.constexpr,
    PHASE_X: tl.constexpr, PHASE_Y: tl.constexpr, OUT_X: tl.constexpr, OUT_Y: tl.constexpr,
    IN_X: tl.constexpr, IN_Y: tl.constexpr, FW: tl.constexpr, FH: tl.constexpr,
    SEPARABLE: tl.constexpr, FLIP: tl.constexpr, PLANES: tl.constexpr, VEC: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    COMPUTED: tl.constexpr = tl.float64 if y_ptr.dtype.element_ty == tl.float64 else tl.float32
    gain = tl.full((), gain, COMPUTED)
    image, m_y, m_x, channel = _tile(tl.cdiv(out_h, OUT_Y), tl.cdiv(out_w, OUT_X), pixel, VEC, BLOCK_H, BLOCK_W)
    x_ptr += image[:, None] * in_h * in_w * pixel + channel[None, :]
    y00 = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
    y01, y10, y11 = y00, y00, y00
    for r in tl.static_range(IN_Y):
        iy = m_y * (OUT_Y * DOWN_Y // UP_Y) + first_y + r
        in_rows = (image < images) & (iy >= 0) & (iy < in_h)
        row_ptr = x_ptr + iy[:, None].to(tl.int64) * in_w * pixel
        for c in tl.static_range(IN_X):
            ix = m_x * (OUT_X * DOWN_X // UP_X) + first_x + c
            inside = in_rows[:, None] & ((ix >= 0) & (ix < in_w))[None, :]
            v = tl.load(row_ptr + ix[None, :] * pixel, mask=inside, other=0.0).to(COMPUTED)
            A: tl.constexpr = r * UP_Y - PHASE_Y
            B: tl.constexpr = c * UP_X - PHASE_X
            y00 = _accumulate(y00, v, f_ptr, gain, A, B, FH, FW, SEPARABLE, FLIP)
            if OUT_X == 2:
                y01 = _accumulate(y01, v, f_ptr, gain, A, B - DOWN_X, FH, FW, SEPARABLE, FLIP)
            if OUT_Y == 2:
                y10 = _accumulate(y10, v, f_ptr, gain, A - DOWN_Y, B, FH, FW, SEPARABLE, FLIP)
            if OUT_X == 2 and OUT_Y == 2:
                y11 = _accumulate(y11, v, f_ptr, gain, A - DOWN_Y, B - DOWN_X, FH, FW, SEPARABLE, FLIP)
    for o in tl.static_range(OUT_Y):
        oy = m_y * OUT_Y + o
        out_rows = (image < images) & (oy < out_h)
        row_ptr = y_ptr + (image * out_h + oy)[:, None] * out_w * pixel + channel[None, :]
        even = y00 if o == 0 else y10
        odd = y01 if o == 0 else y11
        if PLANES and OUT_X == 2:
            y = tl.interleave(even, odd)
            ox = tl.program_id(0) % tl.cdiv(tl.cdiv(out_w, 2), BLOCK_W) * (2 * BLOCK_W) + tl.arange(0, 2 * BLOCK_W)
            tl.store(y_ptr + (image * out_h + oy)[:, None] * out_w + ox[None, :], y, out_rows[:, None] & (ox < out_w))
        else:
            ox = m_x * OUT_X
            tl.store(row_ptr + ox[None, :] * pixel, even, mask=out_rows[:, None] & (ox < out_w)[None, :])
            if OUT_X == 2:
                inside = out_rows[:, None] & (ox + 1 < out_w)[None, :]
                tl.store(row_ptr + (ox + 1)[None, :] * pixel, odd, mask=inside)


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
    FW: tl.constexpr, FH: tl.constexpr, SEPARABLE: tl.constexpr, FLIP: tl.constexpr, VEC: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    COMPUTED: tl.constexpr = tl.float64 if y_ptr.dtype.element_ty == tl.float64 else tl.float32
    gain = tl.full((), gain, COMPUTED)
    image, oy, ox, channel = _tile(out_h, out_w, pixel, VEC, BLOCK_H, BLOCK_W)
    x_ptr += image[:, None] * in_h * in_w * pixel + channel[None, :]
    qy, phase_y = _first_input(oy, pad_y, lift_y, UP_Y, DOWN_Y)
    qx, phase_x = _first_input(ox, pad_x, lift_x, UP_X, DOWN_X)
    y = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
    for r in range((FH + UP_Y - 1) // UP_Y):
        a, iy = phase_y + r * UP_Y, qy + r
        in_rows = (image < images) & (a < FH) & (iy >= 0) & (iy < in_h)
        row_ptr = x_ptr + iy[:, None].to(tl.int64) * in_w * pixel
        for c in range((FW + UP_X - 1) // UP_X):
            b, ix = phase_x + c * UP_X, qx + c
            inside = in_rows[:, None] & ((b < FW) & (ix >= 0) & (ix < in_w))[None, :]
            v = tl.load(row_ptr + ix[None, :] * pixel, mask=inside, other=0.0).to(COMPUTED)
            some_a, some_b = tl.minimum(a, FH - 1)[:, None], tl.minimum(b, FW - 1)[None, :]  # v is 0 beyond
            y += _tap(f_ptr, some_a, some_b, gain, FH, FW, SEPARABLE, FLIP) * v
    inside = ((image < images) & (oy < out_h))[:, None] & (ox < out_w)[None, :]
    tl.store(y_ptr + ((image * out_h + oy)[:, None] * out_w + ox[None, :]) * pixel + channel[None, :], y, mask=inside)


def _blocks(rows: int, columns: int, itemsize: int) -> tuple[int, int, int]:
    """Height and width of a tile, and the number of tiles."""
    tile = _TILE_BYTES // itemsize
    block_w = min(triton.next_power_of_2(columns), tile)
    block_h = min(triton.next_power_of_2(rows), tile // block_w)
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
    itemsize = x.element_size()
    vec = 16 // itemsize if pixel % (16 // itemsize) == 0 else 1
    (up_x, up_y), (down_x, down_y), (pad_x, pad_y) = up, down, (padding[0], padding[2])
    shared = {"UP_X": up_x, "UP_Y": up_y, "DOWN_X": down_x, "DOWN_Y": down_y, "FW": fw, "FH": fh}
    shared |= {"SEPARABLE": f.ndim == 1 and fw == fh, "FLIP": flip, "VEC": vec}
    out_x = _outputs(up_x, down_x, fw, pixel == 1)
    out_y = _outputs(up_y, down_y, fh, False)
    phase_x, phase_y = -pad_x % up_x, -pad_y % up_y
    window_x = ((out_x - 1) * down_x + phase_x + fw - 1) // up_x + 1
    window_y = ((out_y - 1) * down_y + phase_y + fh - 1) // up_y + 1
    if out_x and out_y and window_x * window_y <= _WINDOW:
        rows, columns = images * triton.cdiv(out_h, out_y), triton.cdiv(out_w, out_x) * pixel
        block_h, block_w, tiles = _blocks(rows, columns, itemsize)
        upfirdn2d_window_kernel[(tiles,)](
            x, f, y, images, in_h, in_w, out_h, out_w, pixel, -pad_x // up_x, -pad_y // up_y, gain, **shared,
            PHASE_X=phase_x, PHASE_Y=phase_y, OUT_X=out_x, OUT_Y=out_y, IN_X=window_x, IN_Y=window_y,
            PLANES=pixel == 1, BLOCK_H=block_h, BLOCK_W=block_w,
        )  # fmt: skip
    else:
        block_h, block_w, tiles = _blocks(images * out_h, out_w * pixel, itemsize)
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
    taps = f.shape[-1]
    if f.ndim == 2 or taps <= _OUTER_TAPS:
        _run(x, f, up, down, padding, flip_filter, gain, y, (f.shape[0], taps), pixel)
        return
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    computed = torch.float64 if y.dtype == torch.float64 else torch.float32
    rows = torch.empty((n, c, h, y.shape[3]), dtype=computed, device=x.device, memory_format=memory_format)
    x_padding, y_padding = [*padding[:2], 0, 0], [0, 0, *padding[2:]]
    _run(x, f, [up[0], 1], [down[0], 1], x_padding, flip_filter, gain, rows, (1, taps), pixel)
    _run(rows, f, [1, up[1]], [1, down[1]], y_padding, flip_filter, 1.0, y, (taps, 1), pixel)
