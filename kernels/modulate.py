"""Triton kernels of modulate and its derivatives."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE_BYTES = 4096  # of one tensor: two 16-byte vectors for each of 128 threads
_MIN_STEPS = 4  # tiles that a program walks, at least: fewer, and the partial sums cost bandwidth
_PROGRAMS = 4096  # about as many as fill the largest GPU a few times over


@triton.jit
def _load(pointer, at, inside, COMPUTED: tl.constexpr):
    """Zeros, where there is no tensor. With `else`: Triton compiles what follows a branch that returns."""
    if pointer is None:
        return tl.zeros(at.shape, COMPUTED)
    else:
        return tl.load(pointer + at, mask=inside, other=0.0).to(COMPUTED)


# Memory is planes, [N, C, P], or with CHANNELS_LAST pixels, [N, P, C]. A program walks STEPS tiles [BLOCK_H, BLOCK_W],
#   planes         of the same BLOCK_H planes, by BLOCK_W pixels
#   CHANNELS_LAST  of the same BLOCK_W channels of a sample, by BLOCK_H pixels
# so that it keeps what it is given of their channels, and their sums. Those of a program go to row `part` of
# [parts, 3, N, C], whose rows are added up when all are there.
@triton.jit
def modulate_kernel(
    v_ptr,  # x, dy, w or None
    y_ptr,  # None, y or None, y or None
    x_ptr,  # None, x or None, x or None
    s_ptr,
    r_ptr,
    noise_ptr,
    strength_ptr,
    b_ptr,
    out_ptr,
    sums_ptr,
    samples,
    channels,
    pixels,
    across,  # programs beside each other for all channels of a sample (CHANNELS_LAST), or for all planes
    alpha: tl.float64,
    gain: tl.float64,
    clamp: tl.float64,
    PRIMITIVE: tl.constexpr,
    ACT: tl.constexpr,
    CLAMP: tl.constexpr,
    RECOVER: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    STEPS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    STORED: tl.constexpr = out_ptr.dtype.element_ty
    COMPUTED: tl.constexpr = tl.float64 if tl.float64 == STORED else tl.float32
    gain = tl.full((1, 1), gain, COMPUTED)
    clamp = tl.full((1, 1), clamp, STORED).to(COMPUTED)  # as it is found in y
    alpha = tl.full((1, 1), alpha, COMPUTED)
    below = gain if ACT == "linear" else gain * alpha if ACT == "lrelu" else tl.zeros_like(gain)

    planes = samples * channels
    if CHANNELS_LAST:
        sample = tl.program_id(0) // across % samples
        part = tl.program_id(0) // across // samples
        column = tl.program_id(0) % across * BLOCK_W + tl.arange(0, BLOCK_W)[None, :]
        channel = column
        plane = sample * channels + channel
        exists = column < channels
    else:
        part = tl.program_id(0) // across
        plane = tl.program_id(0) % across * BLOCK_H + tl.arange(0, BLOCK_H)[:, None]
        sample = plane // channels
        channel = plane % channels
        exists = plane < planes

    scale = tl.full(plane.shape, 1.0, COMPUTED) if s_ptr is None else _load(s_ptr, plane, exists, COMPUTED)
    if PRIMITIVE == "modulate":
        bias = _load(b_ptr, channel, exists, COMPUTED)
        strength = tl.full((1, 1), 1.0, COMPUTED) if strength_ptr is None else tl.load(strength_ptr)
    elif PRIMITIVE == "modulate_grad":
        sum_h = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
        sum_hx = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
        sum_hz = tl.zeros((BLOCK_H, BLOCK_W), COMPUTED)
    else:
        r0 = _load(r_ptr, plane, exists, COMPUTED)
        r1 = _load(r_ptr, planes + plane, exists, COMPUTED)
        r2 = _load(r_ptr, 2 * planes + plane, exists, COMPUTED)

    for step in range(STEPS):
        tile = part * STEPS + step
        if CHANNELS_LAST:
            pixel = tile * BLOCK_H + tl.arange(0, BLOCK_H)[:, None]
            at = (sample.to(tl.int64) * pixels + pixel) * channels + column  # [BLOCK_H, BLOCK_W]
        else:
            pixel = tile * BLOCK_W + tl.arange(0, BLOCK_W)[None, :]
            at = plane.to(tl.int64) * pixels + pixel
        inside = exists & (pixel < pixels)
        z_inside = pixel < pixels if CHANNELS_LAST else inside
        v = _load(v_ptr, at, inside, COMPUTED)
        z = _load(noise_ptr, sample.to(tl.int64) * pixels + pixel, z_inside, COMPUTED)
        if PRIMITIVE == "modulate":
            u = v * scale + (strength * z + bias)
            if ACT == "relu":
                u = tl.where(u < 0, 0.0, u)
            elif ACT == "lrelu":
                u *= tl.where(u > 0, 1.0, alpha)
            out = u * gain
            if CLAMP:
                out = tl.where(tl.abs(out) >= clamp, tl.where(out < 0, -clamp, clamp), out)
        else:
            y = _load(y_ptr, at, inside, COMPUTED)
            d = tl.where(y > 0, gain, below)  # act'(u) gain
            if CLAMP:
                masked = tl.abs(y) >= clamp
                d = tl.where(masked, 0.0, d)
                y = tl.where(masked, 0.0, y)
            x = _load(x_ptr, at, inside, COMPUTED)
            if PRIMITIVE == "modulate_grad":
                h = v * d
                out = scale * h
                if sums_ptr is not None:
                    sum_h += h
                    sum_hx += v * y if RECOVER else h * x
                    sum_hz += h * z
            else:
                out = d * (scale * v + r0 + r2 * z)
                out += r1 * y if RECOVER else d * r1 * x
        tl.store(out_ptr + at, out, mask=inside)

    if sums_ptr is not None:
        AXIS: tl.constexpr = 0 if CHANNELS_LAST else 1
        to = sums_ptr + part.to(tl.int64) * 3 * planes + plane
        tl.store(to, tl.sum(sum_h, AXIS, keep_dims=True), mask=exists)
        tl.store(to + planes, tl.sum(sum_hx, AXIS, keep_dims=True), mask=exists)
        tl.store(to + 2 * planes, tl.sum(sum_hz, AXIS, keep_dims=True), mask=exists)


def _run(
    primitive: str,
    v: Tensor | None,
    y: Tensor | None,
    x: Tensor | None,
    s: Tensor | None,
    r: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    recover: bool,
    out: Tensor,
    totals: Tensor | None = None,
) -> None:
    if out.numel() == 0:
        if totals is not None:
            totals.zero_()
        return
    samples, channels = out.shape[:2]
    pixels = out.numel() // (samples * channels)
    channels_last = channels > 1 and out.stride(1) == 1
    tile = _TILE_BYTES // out.element_size()
    block_w = min(triton.next_power_of_2(channels if channels_last else pixels), 256 if channels_last else tile)
    block_h = tile // block_w
    if channels_last:
        across, tiles = triton.cdiv(channels, block_w), triton.cdiv(pixels, block_h)
        groups = samples * across
    else:
        across, tiles = triton.cdiv(samples * channels, block_h), triton.cdiv(pixels, block_w)
        groups = across
    steps = triton.next_power_of_2(max(_MIN_STEPS, triton.cdiv(tiles * groups, _PROGRAMS)))
    parts = triton.cdiv(tiles, steps)
    sums = totals
    if totals is not None and parts > 1:
        sums = totals.new_empty(parts, *totals.shape)
    modulate_kernel[(groups * parts,)](
        v, y, None if recover else x, s, r, noise, strength, b, out, sums,
        samples, channels, pixels, across, alpha, gain, clamp,
        PRIMITIVE=primitive, ACT=act, CLAMP=clamp >= 0, RECOVER=recover, CHANNELS_LAST=channels_last,
        STEPS=min(steps, triton.next_power_of_2(tiles)), BLOCK_H=block_h, BLOCK_W=block_w,
    )  # fmt: skip
    if sums is not totals:
        torch.sum(sums, 0, out=totals)


def modulate(
    x: Tensor,
    s: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    recover: bool,
    y: Tensor,
    stand_in: Tensor,
) -> None:
    _run("modulate", x, None, None, s, None, noise, strength, b, act, alpha, gain, clamp, recover, y)


def modulate_grad(
    dy: Tensor,
    y: Tensor | None,
    s: Tensor | None,
    noise: Tensor | None,
    x: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    recover: bool,
    sums: bool,
    dx: Tensor,
    totals: Tensor,
) -> None:
    settings = (act, alpha, gain, clamp, recover)
    _run("modulate_grad", dy, y, x, s, None, noise, None, None, *settings, dx, totals if sums else None)


def modulate_tangent(
    dy: Tensor,
    w: Tensor | None,
    y: Tensor | None,
    s: Tensor | None,
    r: Tensor | None,
    noise: Tensor | None,
    x: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    recover: bool,
    ddy: Tensor,
) -> None:
    _run("modulate_tangent", w, y, x, s, r, noise, None, None, act, alpha, gain, clamp, recover, ddy)
