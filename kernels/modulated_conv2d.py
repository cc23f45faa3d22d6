"""Triton kernels of modulated convolution: forward, input gradient and weight gradient."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROW_BYTES = 128  # of a tile along the channels that are summed: the widest swizzle of shared memory
_MULTIPROCESSORS = 132  # that are to be kept busy
_NARROW = 2**31  # elements that offsets of 32 bits reach
_SUM_ROWS, _SUM_TILE = 128, 1024


@triton.jit
def _spread(s, PIXELS: tl.constexpr):
    """[samples, channels] -> [samples * PIXELS, channels]: a sample's row for each of its pixels."""
    shape: tl.constexpr = (s.shape[0], PIXELS, s.shape[1])
    return tl.broadcast_to(s[:, None, :], shape).reshape(shape[0] * PIXELS, shape[2])


@triton.jit
def _scaled_sum(
    x_ptr, s_ptr, x2_ptr, s2_ptr, x_at, x_inside, s_at, s_inside, PIXELS: tl.constexpr, TRANSPOSED: tl.constexpr
):  # fmt: skip
    """s x + s2 x2 in x's dtype, where s None is 1 and x2 None is 0.

    x, x2: [samples * PIXELS, channels], or TRANSPOSED. s, s2: [samples, channels].
    """
    a = tl.load(x_ptr + x_at, mask=x_inside, other=0.0)
    if s_ptr is not None:
        s = _spread(tl.load(s_ptr + s_at, mask=s_inside, other=0.0).to(a.dtype), PIXELS)
        a *= tl.trans(s) if TRANSPOSED else s
    if x2_ptr is not None:
        a += _scaled_sum(x2_ptr, s2_ptr, None, None, x_at, x_inside, s_at, s_inside, PIXELS, TRANSPOSED)
    return a


# y = clamp(act(d q + strength noise + b) gain), where q is w convolved with s x + s2 x2 and what is None is absent.
# q is an implicit matrix product: rows are output pixels, columns output channels, and the sum runs over taps and,
# within a tap, over input channels. Along an axis output i under tap k meets input p where UP p = i DOWN + k - pad.
# A program makes outputs of one phase, i = UP m + phase: their taps are k = first, first + UP, ... and meet neighbours.
# The adjoint is the same sum with UP and DOWN swapped, taps mirrored and w transposed.
#
# Memory is [samples, height, width, channels] and w is [O, KH, KW, I]. A tile has SAMPLES samples of BLOCK_M / SAMPLES
# pixels each, and reads its scales once a sample. Offsets within a tile's samples are of 32 bits unless WIDE.
@triton.jit
def modulated_conv2d_kernel(
    x_ptr,
    s_ptr,  # [samples, IN]
    x2_ptr,
    s2_ptr,
    w_ptr,
    d_ptr,  # [samples, OUT]
    noise_ptr,  # [samples, out_h, out_w]
    strength_ptr,
    b_ptr,  # [OUT]
    v_ptr,  # as y
    y_ptr,
    sums_ptr,  # [parts, samples, OUT], of v q over pixels; None: no sums
    samples,
    in_h,
    in_w,
    out_h,
    out_w,
    pad_x,
    pad_y,
    alpha: tl.float64,
    gain: tl.float64,
    clamp: tl.float64,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    UP: tl.constexpr,
    DOWN: tl.constexpr,
    ADJOINT: tl.constexpr,
    ACT: tl.constexpr,
    CLAMP: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,
    SAMPLES: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    INDEX: tl.constexpr = tl.int64 if WIDE else tl.int32
    STORED: tl.constexpr = y_ptr.dtype.element_ty
    COMPUTED: tl.constexpr = tl.float64 if tl.float64 == STORED else tl.float32
    PIXELS: tl.constexpr = BLOCK_M // SAMPLES
    ACROSS: tl.constexpr = (OUT + BLOCK_N - 1) // BLOCK_N
    DEPTH: tl.constexpr = (IN + BLOCK_K - 1) // BLOCK_K

    rows_w = tl.cdiv(out_w, UP)
    rows = tl.cdiv(out_h, UP) * rows_w  # of a sample
    tiles = tl.cdiv(rows, PIXELS)
    tile = tl.program_id(0) // ACROSS % tiles
    first_sample = tl.program_id(0) // ACROSS // tiles * SAMPLES
    co = tl.program_id(0) % ACROSS * BLOCK_N + tl.arange(0, BLOCK_N)
    co_inside = (co < OUT) | (OUT % BLOCK_N == 0)
    n = first_sample + tl.arange(0, SAMPLES)
    n_inside = (n < samples) | (SAMPLES == 1)
    r = tl.arange(0, BLOCK_M)
    sample = r // PIXELS  # of the tile
    p = tile * PIXELS + r % PIXELS

    phase_y, phase_x = tl.program_id(1) // UP, tl.program_id(1) % UP
    first_y = ((pad_y - phase_y * DOWN) % UP + UP) % UP
    first_x = ((pad_x - phase_x * DOWN) % UP + UP) % UP
    taps_x = tl.cdiv(KW - first_x, UP)
    iy = p // rows_w * DOWN + (phase_y * DOWN + first_y - pad_y) // UP
    ix = p % rows_w * DOWN + (phase_x * DOWN + first_x - pad_x) // UP
    inside = (first_sample + sample < samples) & (p < rows)
    x_at = ((sample.to(INDEX) * in_h + iy) * in_w + ix) * IN  # [BLOCK_M]
    base = first_sample.to(tl.int64) * in_h * in_w * IN
    x_ptr += base
    if x2_ptr is not None:
        x2_ptr += base

    q = tl.zeros((BLOCK_M, BLOCK_N), COMPUTED)
    for step in range(tl.cdiv(KH - first_y, UP) * taps_x * DEPTH):
        ty, tx = step // DEPTH // taps_x, step // DEPTH % taps_x
        ky, kx = first_y + ty * UP, first_x + tx * UP
        c = step % DEPTH * BLOCK_K + tl.arange(0, BLOCK_K)
        # as unsigned numbers those below 0 are large
        found = inside & ((iy + ty).to(tl.uint32) < in_h) & ((ix + tx).to(tl.uint32) < in_w)
        a_at = (x_at + (ty * in_w + tx) * IN)[:, None] + c[None, :]
        c_inside = (c < IN) | (IN % BLOCK_K == 0)
        a_inside = found[:, None] & c_inside[None, :]  # [BLOCK_M, BLOCK_K]
        s_at, s_inside = n[:, None] * IN + c[None, :], n_inside[:, None] & c_inside[None, :]  # [SAMPLES, BLOCK_K]
        a = _scaled_sum(x_ptr, s_ptr, x2_ptr, s2_ptr, a_at, a_inside, s_at, s_inside, PIXELS, False)
        if ADJOINT:
            w_at = (c[:, None] * (KH * KW) + (KH - 1 - ky) * KW + KW - 1 - kx) * OUT + co[None, :]
        else:
            w_at = (co[None, :] * (KH * KW) + ky * KW + kx) * IN + c[:, None]
        w = tl.load(w_ptr + w_at, mask=c_inside[:, None] & co_inside[None, :], other=0.0)  # [BLOCK_K, BLOCK_N]
        q = tl.dot(a, w, q, input_precision=PRECISION, out_dtype=COMPUTED)

    oy, ox = p // rows_w * UP + phase_y, p % rows_w * UP + phase_x
    pixel = (sample * out_h + oy) * out_w + ox
    first_pixel = first_sample.to(tl.int64) * out_h * out_w
    y_at = pixel.to(INDEX)[:, None] * OUT + co[None, :]
    row_inside = inside & (oy < out_h) & (ox < out_w)
    y_inside = row_inside[:, None] & co_inside[None, :]
    if sums_ptr is not None:
        v = tl.load(v_ptr + first_pixel * OUT + y_at, mask=y_inside, other=0.0).to(COMPUTED)
        if SAMPLES == 1:
            sums = tl.sum(q * v, 0)[None, :]
        else:
            sums = tl.sum((q * v).reshape(SAMPLES, PIXELS, BLOCK_N), 1)
        part = tl.program_id(1) * tiles + tile
        to = (part * samples + n).to(tl.int64)[:, None] * OUT + co[None, :]
        tl.store(sums_ptr + to, sums, mask=n_inside[:, None] & co_inside[None, :])
    if d_ptr is not None:
        d_at, d_inside = n[:, None] * OUT + co[None, :], n_inside[:, None] & co_inside[None, :]  # [SAMPLES, BLOCK_N]
        q *= _spread(tl.load(d_ptr + d_at, mask=d_inside, other=0.0), PIXELS)
    if noise_ptr is not None:
        noise = tl.load(noise_ptr + first_pixel + pixel, mask=row_inside, other=0.0)
        if strength_ptr is not None:
            noise *= tl.load(strength_ptr)
        q += noise[:, None]
    if b_ptr is not None:
        q += tl.load(b_ptr + co, mask=co_inside, other=0.0)[None, :]
    if ACT == "relu":
        q = tl.where(q < 0, 0.0, q)
    if ACT == "lrelu":
        q *= tl.where(q > 0, 1.0, tl.full((1, 1), alpha, COMPUTED))
    q *= tl.full((1, 1), gain, COMPUTED)
    if CLAMP:
        limit = tl.full((1, 1), clamp, STORED).to(COMPUTED)  # as it is found in y
        q = tl.where(tl.abs(q) >= limit, tl.where(q < 0, -limit, limit), q)
    tl.store(y_ptr + first_pixel * OUT + y_at, q, mask=y_inside)


# dw[o, i, tap] is a product as well: its rows are taps and channels of x, its columns channels of g, and the sum runs
# over the pixels of g, of which a program takes a share. Pixel i of g under tap k meets pixel p of x where
# UP p = i DOWN + k - pad; the roles of x and g may be exchanged, with UP and DOWN swapped and taps MIRRORED.
# A tile has TAPS taps of BLOCK_M / TAPS channels, and its pixels are SAMPLES samples' BLOCK_K / SAMPLES.
@triton.jit
def modulated_conv2d_weight_grad_kernel(
    x_ptr,  # [samples, in_h, in_w, ROWS]
    s_ptr,
    x2_ptr,
    s2_ptr,
    g_ptr,  # [samples, out_h, out_w, COLUMNS]
    d_ptr,
    g2_ptr,
    d2_ptr,
    dw_ptr,  # [splits, size], and within a split as dw lies in memory
    samples,
    in_h,
    in_w,
    out_h,
    out_w,
    pad_x,
    pad_y,
    share,
    size,
    row_stride,
    column_stride,
    tap_stride,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    UP: tl.constexpr,
    DOWN: tl.constexpr,
    MIRRORED: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,
    SAMPLES: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    TAPS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    STORED: tl.constexpr = x_ptr.dtype.element_ty
    COMPUTED: tl.constexpr = tl.float64 if tl.float64 == STORED else tl.float32
    CHANNELS: tl.constexpr = BLOCK_M // TAPS
    PIXELS: tl.constexpr = HEIGHT * WIDTH
    BLOCK_K: tl.constexpr = SAMPLES * PIXELS
    INDEX: tl.constexpr = tl.int64 if WIDE else tl.int32
    ACROSS: tl.constexpr = (COLUMNS + BLOCK_N - 1) // BLOCK_N
    BLOCKS: tl.constexpr = (ROWS + CHANNELS - 1) // CHANNELS

    j = tl.program_id(0) % ACROSS * BLOCK_N + tl.arange(0, BLOCK_N)
    i = tl.program_id(0) // ACROSS % BLOCKS * CHANNELS + tl.arange(0, BLOCK_M) % CHANNELS
    tap = tl.arange(0, 1) if TAPS == 1 else tl.arange(0, BLOCK_M) // CHANNELS
    tap += tl.program_id(0) // ACROSS // BLOCKS * TAPS
    ky, kx = tap // KW, tap % KW
    if MIRRORED:
        ky, kx = KH - 1 - ky, KW - 1 - kx
    ky, kx = (ky - pad_y)[:, None], (kx - pad_x)[:, None]  # [1 or BLOCK_M, 1]
    i_inside = (i < ROWS) | (ROWS % CHANNELS == 0)
    j_inside = (j < COLUMNS) | (COLUMNS % BLOCK_N == 0)
    row_inside = i_inside & ((tap < KH * KW) | (KH * KW % TAPS == 0))

    down, across = tl.cdiv(out_h, HEIGHT), tl.cdiv(out_w, WIDTH)  # rectangles of a sample
    first = tl.program_id(1) * share
    first_sample, by, bx = first // (down * across) * SAMPLES, first // across % down, first % across
    r = tl.arange(0, BLOCK_K)
    sample, y, x = r // PIXELS, r // WIDTH % HEIGHT, r % WIDTH  # of the tile
    dw = tl.zeros((BLOCK_M, BLOCK_N), COMPUTED)
    for _ in range(tl.minimum(share, tl.cdiv(samples, SAMPLES) * down * across - first)):
        n = first_sample + tl.arange(0, SAMPLES)
        n_inside = ((n < samples) | (SAMPLES == 1))[:, None]
        oy, ox = by * HEIGHT + y, bx * WIDTH + x
        inside = (first_sample + sample < samples) & (oy < out_h) & (ox < out_w)
        iy, ix = (oy * DOWN)[None, :] + ky, (ox * DOWN)[None, :] + kx  # [1 or BLOCK_M, BLOCK_K]
        found = inside[None, :] & (iy.to(tl.uint32) < in_h * UP) & (ix.to(tl.uint32) < in_w * UP)
        if UP > 1:
            found = found & (iy % UP == 0) & (ix % UP == 0)
        a_at = ((sample.to(INDEX)[None, :] * in_h + iy // UP) * in_w + ix // UP) * ROWS + i[:, None]
        a_at += first_sample.to(tl.int64) * in_h * in_w * ROWS
        s_at, s_inside = n[:, None] * ROWS + i[None, :], n_inside & i_inside[None, :]  # [SAMPLES, BLOCK_M]
        a = _scaled_sum(
            x_ptr, s_ptr, x2_ptr, s2_ptr, a_at, found & row_inside[:, None], s_at, s_inside, PIXELS, True
        )  # [BLOCK_M, BLOCK_K]
        e_at = ((sample.to(INDEX) * out_h + oy) * out_w + ox)[:, None] * COLUMNS + j[None, :]
        e_at += first_sample.to(tl.int64) * out_h * out_w * COLUMNS
        d_at, d_inside = n[:, None] * COLUMNS + j[None, :], n_inside & j_inside[None, :]  # [SAMPLES, BLOCK_N]
        e = _scaled_sum(
            g_ptr, d_ptr, g2_ptr, d2_ptr, e_at, inside[:, None] & j_inside[None, :], d_at, d_inside, PIXELS, False
        )  # [BLOCK_K, BLOCK_N]
        dw = tl.dot(a, e, dw, input_precision=PRECISION, out_dtype=COMPUTED)
        bx += 1
        by += tl.where(bx == across, 1, 0)
        bx = tl.where(bx == across, 0, bx)
        first_sample += tl.where(by == down, SAMPLES, 0)
        by = tl.where(by == down, 0, by)

    to = (i * row_stride + tap * tap_stride)[:, None] + (j * column_stride)[None, :]
    dw_ptr += tl.program_id(1).to(tl.int64) * size
    tl.store(dw_ptr + to, dw, mask=row_inside[:, None] & j_inside[None, :])


@triton.jit
def modulated_conv2d_sum_kernel(partial_ptr, total_ptr, parts, size, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    """total [size] = partial [parts, size] summed over its rows."""
    column = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    total = tl.zeros((BLOCK_H, BLOCK_W), partial_ptr.dtype.element_ty)
    for first in range(0, parts, BLOCK_H):
        row = first + tl.arange(0, BLOCK_H)
        inside = (row < parts)[:, None] & (column < size)[None, :]
        total += tl.load(partial_ptr + row.to(tl.int64)[:, None] * size + column[None, :], mask=inside, other=0.0)
    tl.store(total_ptr + column, tl.sum(total, 0), mask=column < size)


def _sum(partial: Tensor, total: Tensor) -> None:
    """partial: [parts, ...], the rest as total lies in memory."""
    parts, size = partial.shape[0], total.numel()
    block_h = min(_SUM_ROWS, triton.next_power_of_2(parts))
    block_w = _SUM_TILE // block_h
    modulated_conv2d_sum_kernel[(triton.cdiv(size, block_w),)](
        partial, total, parts, size, BLOCK_H=block_h, BLOCK_W=block_w
    )  # fmt: skip


def _idle(programs: int) -> float:
    """The share of multiprocessors' time that passes with nothing to do, where one holds a single program."""
    return 1 - programs / (_MULTIPROCESSORS * triton.cdiv(programs, _MULTIPROCESSORS))


def _warps(block_m: int, block_n: int, itemsize: int) -> int:
    """Of halves four hold 128 by 128 sums, and a second program finds room beside them."""
    return 8 if block_m * block_n > 128 * (128 if itemsize == 2 else 32) else 4


def _tile(rows: int, pixels: int, width: int, depth: int, itemsize: int) -> dict[str, int]:
    """Blocks and schedule of products of `rows` by `depth` by `width`, where a sample has so many pixels of a phase.

    The larger a tile, the less of x and w is read twice: 128 by 256 where halves are enough to keep that many busy,
    else 128 by 128, of which a multiprocessor holds two: one multiplies while the other scales. Few rows take smaller
    tiles, so that no multiprocessor idles, and a stage more, as each has few programs to wait for memory with.
    """
    block_k = min(_ROW_BYTES // itemsize, max(triton.next_power_of_2(depth), 16))
    block_m, block_n = 128, min(128, max(triton.next_power_of_2(width), 16))
    if itemsize == 2 and width >= 256 and _idle(triton.cdiv(rows, block_m) * triton.cdiv(width, 256)) < 0.2:
        block_n = 256
    if triton.cdiv(rows, block_m) * triton.cdiv(width, block_n) < _MULTIPROCESSORS:
        block_n = min(block_n, 64)
    if triton.cdiv(rows, block_m) * triton.cdiv(width, block_n) < _MULTIPROCESSORS:
        block_m = 64
    return {
        "SAMPLES": max(1, block_m // triton.next_power_of_2(pixels)), "BLOCK_M": block_m, "BLOCK_N": block_n,
        "BLOCK_K": block_k, "num_stages": 3 if block_m == 128 else 4,
        "num_warps": _warps(block_m, block_n, itemsize),
    }  # fmt: skip


def _convolve(
    x: Tensor, s: Tensor | None, x2: Tensor | None, s2: Tensor | None, w: Tensor, d: Tensor | None,
    noise: Tensor | None, strength: Tensor | None, b: Tensor | None, v: Tensor | None, y: Tensor, sums: Tensor | None,
    up: int, down: int, padding: list[int], settings: tuple[str, float, float, float], precision: str, adjoint: bool,
) -> None:  # fmt: skip
    if y.numel() == 0:
        if sums is not None:
            sums.zero_()
        return
    (samples, depth, in_h, in_w), (width, out_h, out_w) = x.shape, y.shape[1:]
    kh, kw = w.shape[2:]
    act, *scalars, clamp = settings
    pad_x, pad_y = (kw - 1 - padding[0], kh - 1 - padding[2]) if adjoint else (padding[0], padding[2])
    pixels = triton.cdiv(out_h, up) * triton.cdiv(out_w, up)
    tile = _tile(samples * pixels * up * up, pixels, width, depth, x.element_size())
    tiles = triton.cdiv(pixels, tile["BLOCK_M"] // tile["SAMPLES"])
    grid = (triton.cdiv(samples, tile["SAMPLES"]) * tiles * triton.cdiv(width, tile["BLOCK_N"]), up * up)
    partial = sums
    if sums is not None and tiles * up * up > 1:
        partial = sums.new_empty(tiles * up * up, samples, width)
    modulated_conv2d_kernel[grid](
        x, s, x2, s2, w, d, noise, strength, b, v, y, partial, samples, in_h, in_w, out_h, out_w, pad_x, pad_y,
        *scalars, clamp, IN=depth, OUT=width, KH=kh, KW=kw, UP=up, DOWN=down, ADJOINT=adjoint,
        ACT=act, CLAMP=clamp >= 0, PRECISION=precision,
        WIDE=tile["SAMPLES"] * max(in_h * in_w * depth, out_h * out_w * width) >= _NARROW, **tile,
    )  # fmt: skip
    if partial is not sums:
        _sum(partial, sums)


def _packed(w: Tensor, x: Tensor, flip: bool) -> Tensor:
    """As the kernels read it. One layout serves both ways: input channels side by side."""
    return (w.flip([2, 3]) if flip else w).to(x.dtype).contiguous(memory_format=torch.channels_last)


def modulated_conv2d(
    x: Tensor,
    s: Tensor | None,
    x2: Tensor | None,
    s2: Tensor | None,
    w: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: list[int],
    flip: bool,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    precision: str,
    y: Tensor,
    stand_in: Tensor,
) -> None:
    settings = (act, alpha, gain, clamp)
    _convolve(
        x, s, x2, s2, _packed(w, x, flip), d, noise, strength, b, None, y, None, up, down, padding, settings,
        precision, adjoint=False,
    )  # fmt: skip


def modulated_conv2d_input_grad(
    g: Tensor,
    w: Tensor,
    s: Tensor | None,
    x: Tensor | None,
    size: list[int],
    up: int,
    down: int,
    padding: list[int],
    flip: bool,
    precision: str,
    dx: Tensor,
    ds: Tensor,
) -> None:
    settings = ("linear", 0.0, 1.0, -1.0)
    sums = None if x is None else ds
    _convolve(
        g, None, None, None, _packed(w, g, flip), s, None, None, None, x, dx, sums, down, up, padding, settings,
        precision, adjoint=True,
    )  # fmt: skip


def _rectangle(height: int, width: int, area: int) -> tuple[int, int]:
    """Sides of the blocks, of `area` pixels or an image's if that is less, of which the fewest cover an image."""
    area = min(area, triton.next_power_of_2(height) * triton.next_power_of_2(width))
    sides = [(1 << k, area >> k) for k in range(area.bit_length())]
    return min(sides, key=lambda side: triton.cdiv(height, side[0]) * triton.cdiv(width, side[1]))


def _splits(tiles: int, blocks: int) -> int:
    """Shares of the sum: as few as keep nine tenths of the places for programs taken, and of eight blocks at least."""
    places = 2 * _MULTIPROCESSORS
    most = max(1, blocks // 8)
    for splits in range(1, most):
        if tiles * splits >= 0.9 * places * triton.cdiv(tiles * splits, places):
            return splits
    return most


def modulated_conv2d_weight_grad(
    x: Tensor,
    s: Tensor | None,
    x2: Tensor | None,
    s2: Tensor | None,
    g: Tensor,
    size: list[int],
    up: int,
    down: int,
    padding: list[int],
    flip: bool,
    precision: str,
    dw: Tensor,
) -> None:
    if x.numel() == 0 or g.numel() == 0:
        dw.zero_()
        return
    _, channels, kh, kw = dw.shape
    contiguous = dw.is_contiguous()
    o_stride, tap_stride, i_stride = channels * kh * kw, 1 if contiguous else channels, kh * kw if contiguous else 1
    pad_x, pad_y = padding[0], padding[2]
    d = g2 = d2 = None
    exchanged = up > 1  # so that no pixel is visited in vain
    if exchanged:
        x, s, x2, s2, g, d, g2, d2 = g, None, None, None, x, s, x2, s2
        up, down, pad_x, pad_y = down, up, kw - 1 - pad_x, kh - 1 - pad_y
    (samples, rows, in_h, in_w), (columns, out_h, out_w) = x.shape, g.shape[1:]
    block_i = min(128, max(triton.next_power_of_2(rows), 16))
    taps = min(128 // block_i, triton.next_power_of_2(kh * kw))
    block_n = min(256 if x.element_size() == 2 else 128, max(triton.next_power_of_2(columns), 16))
    tangents = x2 is not None or g2 is not None  # half as deep then, as there is twice as much to keep
    block_k = max(16, _ROW_BYTES // x.element_size() // (2 if tangents else 1))
    height, width = _rectangle(out_h, out_w, block_k)
    in_tile = block_k // (height * width)
    blocks = triton.cdiv(samples, in_tile) * triton.cdiv(out_h, height) * triton.cdiv(out_w, width)
    tiles = triton.cdiv(rows, block_i) * triton.cdiv(kh * kw, taps) * triton.cdiv(columns, block_n)
    share = triton.cdiv(blocks, _splits(tiles, blocks))
    splits = triton.cdiv(blocks, share)
    # the addresses of several taps leave no room for four warps' 128 by 128 sums
    num_warps = 8 if taps > 1 and block_n > 64 else _warps(block_i * taps, block_n, x.element_size())
    partial = dw
    if splits > 1:
        computed = torch.float64 if dw.dtype == torch.float64 else torch.float32
        partial = torch.empty(splits, dw.numel(), dtype=computed, device=dw.device)
    modulated_conv2d_weight_grad_kernel[(tiles, splits)](
        x, s, x2, s2, g, d, g2, d2, partial, samples, in_h, in_w, out_h, out_w, pad_x, pad_y, share, dw.numel(),
        *((o_stride, i_stride) if exchanged else (i_stride, o_stride)), tap_stride,
        ROWS=rows, COLUMNS=columns, KH=kh, KW=kw, UP=up, DOWN=down, MIRRORED=exchanged != flip, PRECISION=precision,
        WIDE=in_tile * max(in_h * in_w * rows, out_h * out_w * columns) >= _NARROW,
        SAMPLES=in_tile, HEIGHT=height, WIDTH=width, TAPS=taps, BLOCK_M=block_i * taps, BLOCK_N=block_n, num_stages=3,
        num_warps=num_warps,
    )  # fmt: skip
    if partial is not dw:
        _sum(partial, dw)
