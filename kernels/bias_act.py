"""Triton kernels of bias_act and its derivatives."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE_BYTES = 4096  # of one tensor: two 16-byte vectors for each of 128 threads
_MIN_STEPS = 4  # tiles that a program walks, at least: fewer, and the partial sums cost bandwidth
_PROGRAMS = 4096  # about as many as fill the largest GPU a few times over
_SUM_ROWS, _SUM_COLUMNS = 128, 8


@triton.jit
def _expm1(x, TERMS: tl.constexpr):
    """exp(x) - 1 for x <= 0; near 0 by its series, as the difference would cancel."""
    p = tl.full(x.shape, 1.0, x.dtype)
    for i in tl.static_range(TERMS - 1):
        p = 1.0 + p * x * (1.0 / (TERMS - i))
    return tl.where(x > -0.3, x * p, tl.exp(x) - 1.0)


@triton.jit
def _log1p(x, TERMS: tl.constexpr):
    """log(1 + x) = 2 artanh(x / (2 + x)) for 0 <= x <= 1."""
    q = x / (2.0 + x)
    p = tl.full(x.shape, 0.0, x.dtype)
    for i in tl.static_range(TERMS):
        p = p * q * q + 1.0 / (2 * (TERMS - i) - 1)
    return 2.0 * q * p


@triton.jit
def _sigmoid(u):
    return 1.0 / (1.0 + tl.exp(-u))


@triton.jit
def _tanh(u, TERMS: tl.constexpr):
    e = _expm1(-2.0 * tl.abs(u), TERMS)
    t = e / (2.0 + e)
    return tl.where(u < 0, t, -t)


@triton.jit
def _activation(u, alpha, ORDER: tl.constexpr, ACT: tl.constexpr):
    """act(u), act'(u) or act''(u) for ORDER 0, 1, 2. NaN stays NaN; at a kink the derivative is the left one."""
    WIDE: tl.constexpr = u.dtype == tl.float64
    one = tl.full(u.shape, 1.0, u.dtype)
    zero = tl.full(u.shape, 0.0, u.dtype)
    if ACT == "linear":
        return u if ORDER == 0 else one if ORDER == 1 else zero
    elif ACT == "relu":
        return tl.where(u < 0, zero, u) if ORDER == 0 else tl.where(u > 0, one, zero) if ORDER == 1 else zero
    elif ACT == "lrelu":
        slope = tl.where(u > 0, one, alpha)
        return u * slope if ORDER == 0 else slope if ORDER == 1 else zero
    elif ACT == "tanh":
        t = _tanh(u, 14 if WIDE else 7)
        return t if ORDER == 0 else 1.0 - t * t if ORDER == 1 else -2.0 * t * (1.0 - t * t)
    elif ACT == "elu" or ACT == "selu":
        scale: tl.constexpr = 1.0507009873554804934193349852946 if ACT == "selu" else 1.0
        a: tl.constexpr = scale * 1.6732632423543772848170429916717 if ACT == "selu" else 1.0
        below = tl.where(u > 0, zero, u)  # exp of a large positive u would overflow
        if ORDER == 0:
            return tl.where(u > 0, scale * u, a * _expm1(below, 14 if WIDE else 7))
        return tl.where(u > 0, scale * one if ORDER == 1 else zero, a * tl.exp(below))
    elif ACT == "softplus" and ORDER == 0:
        return tl.where(u > 0, u, zero) + _log1p(tl.exp(-tl.abs(u)), 17 if WIDE else 8)
    else:
        s = _sigmoid(u)
        if ACT == "sigmoid":
            return s if ORDER == 0 else s * (1.0 - s) if ORDER == 1 else s * (1.0 - s) * (1.0 - 2.0 * s)
        elif ACT == "softplus":
            return s if ORDER == 1 else s * (1.0 - s)
        else:
            tl.static_assert(ACT == "swish", "unknown activation")
            if ORDER == 0:
                return u * s
            return s * (1.0 + u * (1.0 - s)) if ORDER == 1 else s * (1.0 - s) * (2.0 + u * (1.0 - 2.0 * s))


# Memory is [rows, groups, width], and a program walks STEPS tiles [BLOCK_H, BLOCK_W] of one group, so that it keeps
# its channels.
#   planes         inner > 1: a row is a sample, a group a channel, the width its pixels.
#   CHANNELS_LAST  inner == 1: a row is a pixel, or a few of them; the width is their channels, cut into groups.
# The sums of a program go to row `part` of [parts, channels], which a second kernel adds up in order.
@triton.jit
def bias_act_kernel(
    v_ptr,  # x, dy or dy
    s_ptr,  # noise [samples, pixels] or None, saved, x
    w_ptr,  # None, None or ddx
    b_ptr,
    y_ptr,
    sums_ptr,  # [parts, channels]; None: no sums
    rows,
    width,
    groups,
    channels,
    alpha: tl.float64,
    gain: tl.float64,
    clamp: tl.float64,
    ORDER: tl.constexpr,
    ACT: tl.constexpr,
    CLAMP: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    STEPS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    STORED: tl.constexpr = y_ptr.dtype.element_ty
    COMPUTED: tl.constexpr = tl.float64 if tl.float64 == STORED else tl.float32
    alpha = tl.full((1, 1), alpha, COMPUTED)
    gain = tl.full((1, 1), gain, COMPUTED)
    clamp = tl.full((1, 1), clamp, STORED).to(COMPUTED)  # as it is found in y

    group = tl.program_id(0) % groups
    part = tl.program_id(0) // groups
    if CHANNELS_LAST:
        row_stride = width.to(tl.int64)
        base = tl.zeros((), tl.int64)
        first = group * BLOCK_W
        across = 1
    else:
        row_stride = width.to(tl.int64) * groups
        base = group.to(tl.int64) * width
        first = 0
        across = tl.cdiv(width, BLOCK_W)

    column = first + tl.arange(0, BLOCK_W)
    if b_ptr is not None:
        if CHANNELS_LAST:
            bias = tl.load(b_ptr + column % channels).to(COMPUTED)[None, :]  # [1, BLOCK_W]
        else:
            bias = tl.load(b_ptr + group + tl.zeros((1, 1), tl.int32)).to(COMPUTED)  # [1, 1]
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
    for step in range(STEPS):
        tile = part * STEPS + step
        row = (tile // across) * BLOCK_H + tl.arange(0, BLOCK_H)
        w = (tile % across) * BLOCK_W + column
        at = row.to(tl.int64)[:, None] * row_stride + base + w[None, :]  # [BLOCK_H, BLOCK_W]
        inside = (row < rows)[:, None] & (w < width)[None, :]
        v = tl.load(v_ptr + at, mask=inside, other=0.0).to(COMPUTED)
        u = v
        if ORDER == 0 and s_ptr is not None:
            if CHANNELS_LAST:
                pixel = row.to(tl.int64)[:, None] * (width // channels) + (w // channels)[None, :]
            else:
                pixel = row.to(tl.int64)[:, None] * width + w[None, :]
            u += tl.load(s_ptr + pixel, mask=inside, other=0.0).to(COMPUTED)
        if ORDER > 0:
            u = tl.zeros_like(v) if s_ptr is None else tl.load(s_ptr + at, mask=inside, other=0.0).to(COMPUTED)
        y = u
        if b_ptr is not None:
            u += bias
        if ORDER == 0 or (CLAMP and not FROM_OUTPUT):
            y = _activation(u, alpha, 0, ACT) * gain
        if ORDER == 0:
            if CLAMP:
                y = tl.where(tl.abs(y) >= clamp, tl.where(y < 0, -clamp, clamp), y)
        else:
            d = v * _activation(u, alpha, ORDER, ACT) * gain
            if ORDER == 2:
                d *= tl.load(w_ptr + at, mask=inside, other=0.0).to(COMPUTED)
            if CLAMP:
                d = tl.where(tl.abs(y) >= clamp, 0.0, d)
            y = d
        tl.store(y_ptr + at, y, mask=inside)
        if sums_ptr is not None:
            total += tl.where(inside, y, 0.0)
    if sums_ptr is not None:
        if CHANNELS_LAST:
            tl.store(sums_ptr + part.to(tl.int64) * width + column, tl.sum(total, 0), mask=column < width)
        else:
            tl.store(sums_ptr + part.to(tl.int64) * groups + group, tl.sum(tl.sum(total, 1), 0))


@triton.jit
def bias_act_sum_kernel(
    partial_ptr, db_ptr, rows, channels, STEPS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr
):
    """db = partial [rows, channels] summed over its rows."""
    c = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    total = tl.zeros((BLOCK_H, BLOCK_W), partial_ptr.dtype.element_ty)
    for step in range(STEPS):
        row = step * BLOCK_H + tl.arange(0, BLOCK_H)
        inside = (row < rows)[:, None] & (c < channels)[None, :]
        total += tl.load(partial_ptr + row.to(tl.int64)[:, None] * channels + c[None, :], mask=inside, other=0.0)
    tl.store(db_ptr + c, tl.sum(total, 0), mask=c < channels)


def _run(
    v: Tensor,
    s: Tensor | None,
    w: Tensor | None,
    b: Tensor | None,
    y: Tensor,
    db: Tensor | None,
    dim: int,
    *settings: float,
    order: int,
    act: str,
    from_output: bool = False,
) -> None:
    alpha, gain, clamp = settings
    if y.numel() == 0:
        if db is not None:
            db.zero_()
        return
    channels = y.shape[dim]
    inner = y.numel() if channels == 1 else y.stride(dim)
    channels_last = inner == 1
    if channels_last:
        rows, width = y.numel() // channels, channels
        while width % 16 and rows % 2 == 0:  # joins pixels until a row is whole vectors
            rows, width = rows // 2, width * 2
    else:
        rows, width = y.numel() // (channels * inner), inner
    tile = _TILE_BYTES // y.element_size()
    block_w = min(triton.next_power_of_2(width), 256 if channels_last else tile)
    block_h = tile // block_w
    across = triton.cdiv(width, block_w)
    groups, tiles = (across, 1) if channels_last else (channels, across)
    tiles *= triton.cdiv(rows, block_h)
    steps = triton.next_power_of_2(max(_MIN_STEPS, triton.cdiv(tiles * groups, _PROGRAMS)))
    parts = triton.cdiv(tiles, steps)
    partial_rows = parts * (width // channels if channels_last else 1)
    sums = db
    if db is not None and partial_rows > 1:
        computed = torch.float64 if y.dtype == torch.float64 else torch.float32
        sums = torch.empty(partial_rows, channels, dtype=computed, device=y.device)
    bias_act_kernel[(groups * parts,)](
        v, s, w, b, y, sums, rows, width, groups, channels, alpha, gain, clamp,
        ORDER=order, ACT=act, CLAMP=clamp >= 0, FROM_OUTPUT=from_output, CHANNELS_LAST=channels_last,
        STEPS=min(steps, triton.next_power_of_2(tiles)), BLOCK_H=block_h, BLOCK_W=block_w,
    )  # fmt: skip
    if sums is not db:
        bias_act_sum_kernel[(triton.cdiv(channels, _SUM_COLUMNS),)](
            sums, db, partial_rows, channels,
            STEPS=triton.next_power_of_2(triton.cdiv(partial_rows, _SUM_ROWS)),
            BLOCK_H=_SUM_ROWS, BLOCK_W=_SUM_COLUMNS,
        )  # fmt: skip


def bias_act(
    x: Tensor,
    b: Tensor | None,
    noise: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    y: Tensor,
) -> None:
    _run(x, noise, None, b, y, None, dim, alpha, gain, clamp, order=0, act=act)


def bias_act_grad(
    dy: Tensor,
    saved: Tensor | None,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    from_output: bool,
    bias_grad: bool,
    dx: Tensor,
    db: Tensor,
) -> None:
    db_out = db if bias_grad else None
    _run(dy, saved, None, b, dx, db_out, dim, alpha, gain, clamp, order=1, act=act, from_output=from_output)


def bias_act_grad2(
    ddx: Tensor,
    dy: Tensor,
    x: Tensor,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    bias_grad: bool,
    d2x: Tensor,
    d2b: Tensor,
) -> None:
    _run(dy, x, ddx, b, d2x, d2b if bias_grad else None, dim, alpha, gain, clamp, order=2, act=act)
