"""Triton kernels of minibatch_stddev and its derivatives: one launch each."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

_TILE_BYTES = 32768  # of one tensor: four 16-byte vectors for each of 512 threads
_WARPS = 16
_PARTS = 32  # programs that share the values of a statistic, at most: each gathers the gradient of that statistic


# A statistic belongs to group m and share k of the channels. Its values are numbered 0 ... rows width - 1; in x and in
# the first channels of y, value i of a sample lies
#   planes         i-th from k width on, where width counts the pixels of C / F channels and rows is 1
#   CHANNELS_LAST  at channel k width + i % width of pixel i // width, where width is C / F and rows counts pixels
# A program walks STEPS tiles [GROUP, BLOCK], samples of a group by values, and adds up in a fixed order. Orders 0 and 2
# end with a sum over all values, so that one program walks them all; order 1 begins with a short sum and has `parts`.
# Group m is members[offsets[m]], ..., or where there are none the samples m, m + groups, m + 2 groups, ...
@triton.jit
def minibatch_stddev_kernel(
    x_ptr,
    v_ptr,  # None, dy or dy
    w_ptr,  # None, None or ddx
    members_ptr,
    offsets_ptr,
    y_ptr,  # y, None, ddy or None
    dx_ptr,  # None, dx, d2x or None
    group_size,
    groups,
    shares,
    channels,
    pixels,
    rows,
    width,
    parts,
    ORDER: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    STEPS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    PIXEL_STEPS: tl.constexpr,
    PIXEL_BLOCK: tl.constexpr,
):
    COMPUTED: tl.constexpr = tl.float64 if x_ptr.dtype.element_ty == tl.float64 else tl.float32
    part = tl.program_id(0) % parts
    m = tl.program_id(0) // parts // shares
    k = tl.program_id(0) // parts % shares
    j = tl.arange(0, GROUP)
    if members_ptr is None:
        size = group_size
        sample = m + j * groups
    else:
        begin = tl.load(offsets_ptr + m).to(tl.int32)
        size = tl.load(offsets_ptr + m + 1).to(tl.int32) - begin
        sample = tl.load(members_ptr + begin + j, mask=j < size, other=0)
    belongs = (j < size)[:, None]  # [GROUP, 1]
    count = tl.maximum(size, 1)
    x_sample = sample.to(tl.int64)[:, None] * channels * pixels
    y_sample = sample.to(tl.int64)[:, None] * (channels + shares) * pixels
    if CHANNELS_LAST:
        statistic = y_sample + channels + k
        pixel_step = channels + shares
    else:
        statistic = y_sample + (channels + k) * pixels
        pixel_step = 1
    values = rows * width

    if ORDER > 0:
        total = tl.zeros((GROUP, PIXEL_BLOCK), COMPUTED)
        for step in range(PIXEL_STEPS):
            pixel = step * PIXEL_BLOCK + tl.arange(0, PIXEL_BLOCK)[None, :]
            total += tl.load(v_ptr + statistic + pixel * pixel_step, mask=belongs & (pixel < pixels), other=0.0)
        a = tl.sum(tl.sum(total, 1), 0) / values  # of s, the gradient at each sigma
    result = tl.zeros((BLOCK,), COMPUTED)
    for step in range(STEPS):
        value = (part * STEPS + step) * BLOCK + tl.arange(0, BLOCK)
        if CHANNELS_LAST:
            x_at = value // width * channels + k * width + value % width
            y_at = value // width * (channels + shares) + k * width + value % width
        else:
            x_at = k * width + value
            y_at = x_at
        inside = belongs & (value < values)[None, :]  # [GROUP, BLOCK]
        x_at = x_sample + x_at[None, :]
        y_at = y_sample + y_at[None, :]
        x = tl.load(x_ptr + x_at, mask=inside, other=0.0).to(COMPUTED)
        u = tl.where(inside, x - (tl.sum(x, 0) / count)[None, :], 0.0)
        sigma = tl.sqrt(tl.sum(u * u, 0) / count + 1e-8)  # [BLOCK]
        if ORDER == 0:
            tl.store(y_ptr + y_at, x, mask=inside)
            result += tl.where(value < values, sigma, 0.0)
        if ORDER == 1:
            v = tl.load(v_ptr + y_at, mask=inside, other=0.0).to(COMPUTED)
            tl.store(dx_ptr + x_at, v + u * (a / (count * sigma))[None, :], mask=inside)
        if ORDER == 2:
            w = tl.load(w_ptr + x_at, mask=inside, other=0.0).to(COMPUTED)
            c = tl.sum(w * u, 0) / count
            if y_ptr is not None:
                tl.store(y_ptr + y_at, w, mask=inside)
                result += c / sigma
            if dx_ptr is not None:
                d = w - (tl.sum(w, 0) / count)[None, :] - u * (c / (sigma * sigma))[None, :]
                tl.store(dx_ptr + x_at, d * (a / (count * sigma))[None, :], mask=inside)
    if y_ptr is not None:
        s = tl.sum(result, 0) / values
        for step in range(PIXEL_STEPS):
            pixel = step * PIXEL_BLOCK + tl.arange(0, PIXEL_BLOCK)[None, :]
            to = y_ptr + statistic + pixel * pixel_step
            tl.store(to, tl.zeros((GROUP, PIXEL_BLOCK), COMPUTED) + s, mask=belongs & (pixel < pixels))


def _run(
    x: Tensor,
    v: Tensor | None,
    w: Tensor | None,
    members: Tensor | None,
    offsets: Tensor | None,
    group_size: int,
    shares: int,
    like_y: Tensor,
    y: Tensor | None,
    dx: Tensor | None,
    order: int,
) -> None:
    n, channels, height, columns = x.shape
    pixels = height * columns
    channels_last = like_y.stride(1) == 1
    rows, width = (pixels, channels // shares) if channels_last else (1, channels // shares * pixels)
    groups = n // group_size if members is None else n
    group = triton.next_power_of_2(group_size)
    tile = max(_TILE_BYTES // x.element_size() // group, 16)
    block = min(tile, triton.next_power_of_2(rows * width))
    tiles = triton.cdiv(rows * width, block)
    steps = triton.next_power_of_2(triton.cdiv(tiles, _PARTS) if order == 1 else tiles)
    parts = triton.cdiv(tiles, steps)
    pixel_block = min(tile, triton.next_power_of_2(pixels))
    minibatch_stddev_kernel[(groups * shares * parts,)](
        x, v, w, members, offsets, y, dx, group_size, groups, shares, channels, pixels, rows, width, parts,
        ORDER=order, CHANNELS_LAST=channels_last, STEPS=steps, GROUP=group, BLOCK=block,
        PIXEL_STEPS=triton.next_power_of_2(triton.cdiv(pixels, pixel_block)), PIXEL_BLOCK=pixel_block,
        num_warps=_WARPS,
    )  # fmt: skip


def minibatch_stddev(
    x: Tensor, members: Tensor | None, offsets: Tensor | None, group_size: int, num_channels: int, y: Tensor
) -> None:
    _run(x, None, None, members, offsets, group_size, num_channels, y, y, None, order=0)


def minibatch_stddev_grad(
    dy: Tensor,
    x: Tensor,
    members: Tensor | None,
    offsets: Tensor | None,
    group_size: int,
    num_channels: int,
    dx: Tensor,
) -> None:
    _run(x, dy, None, members, offsets, group_size, num_channels, dy, None, dx, order=1)


def minibatch_stddev_grad2(
    ddx: Tensor,
    dy: Tensor,
    x: Tensor,
    members: Tensor | None,
    offsets: Tensor | None,
    group_size: int,
    num_channels: int,
    dy_grad: bool,
    x_grad: bool,
    ddy: Tensor,
    d2x: Tensor,
) -> None:
    outputs = (ddy if dy_grad else None, d2x if x_grad else None)
    _run(x, dy, ddx, members, offsets, group_size, num_channels, dy, *outputs, order=2)
