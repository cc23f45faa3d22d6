"""The geometric part of ADA: maps of the plane composed into one, and images resampled through it without aliasing.

Points are (x, y, 1) in pixels from the centre of the image, x to the right and y down.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from gan_fast.augment.matrices import matrix, product
from gan_fast.augment.parameters import Parameters
from gan_fast.ops import affine_warp, downsample2d, setup_filter, upsample2d

# Daubechies' least asymmetric wavelet with 6 vanishing moments. Its even shifts are orthogonal, so that upsampling and
# then downsampling through it is the identity.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = len(SYM6) // 4  # to each side, in pixels of the image: the filter runs at twice its resolution


def source_map(a: Parameters) -> Tensor:
    """[N, 3, 3]: the point of the image that each point of the result shows.

    The image is mirrored, turned by quarters, shifted, scaled, turned, stretched, turned and drifts, in this order; its
    points follow from the result's by the product of the inverses, in the same order.
    """

    zero, one = torch.zeros_like(a.scale), torch.ones_like(a.scale)

    def scaled(x: Tensor, y: Tensor) -> Tensor:
        return matrix([x, zero, zero], [zero, y, zero], [zero, zero, one], like=a.scale)

    def turned(angle: Tensor) -> Tensor:
        cos, sin = angle.cos(), angle.sin()
        return matrix([cos, -sin, zero], [sin, cos, zero], [zero, zero, one], like=a.scale)

    def moved(by: Tensor) -> Tensor:
        return matrix([one, zero, by[:, 0]], [zero, one, by[:, 1]], [zero, zero, one], like=a.scale)

    return product(
        scaled(1 - 2 * a.flip, one),
        turned(a.quarter_turns * (math.pi / 2)),
        moved(-a.shift),
        scaled(1 / a.scale, 1 / a.scale),
        turned(a.turn_before),
        scaled(1 / a.stretch, a.stretch),
        turned(a.turn_after),
        moved(-a.drift),
    )


def resample(x: Tensor, source: Tensor) -> Tensor:
    """y at each point p is x, reflected at its borders, at the point source p, low-pass filtered: [N, C, H, W].

    x is enlarged twofold through `SYM6`, sampled bilinearly there, and the result shrunk through the same filter. Its
    reflections reach one side length beyond each border; there it is 0. Where source is the identity, y is x to the
    bit. Differentiable in x any number of times.

    Source: Karras et al. 2020, arXiv 2006.06676, appendix B and figure 20.
    """
    height, width = x.shape[2:]
    margin_x, margin_y = _margins(source, width, height)
    f = _filter(x.device)
    planes = x.contiguous()  # as pixels are too few channels to be filtered by vectors
    up = upsample2d(_reflected(_reflected(planes, 3, margin_x), 2, margin_y), f)
    out_h, out_w = 2 * (height + 2 * REACH), 2 * (width + 2 * REACH)
    like = source[:, 0, 0]

    def affine(scale_x: float, scale_y: float, shift: float = 0.0) -> Tensor:
        return matrix([scale_x, 0.0, shift], [0.0, scale_y, shift], [0.0, 0.0, 1.0], like=like)

    # Pixel i is pixel 2 i of the enlarged image, half a pixel before the point that is twice as far from the centre.
    enlarged = product(affine(2, 2, -0.5), source, affine(0.5, 0.5, 0.25))
    theta = product(affine(2 / up.shape[3], 2 / up.shape[2]), enlarged, affine(out_w / 2, out_h / 2))
    y = downsample2d(affine_warp(up, theta[:, :2], (out_h, out_w)), f, padding=-2 * REACH, flip_filter=True)
    moved = (source != torch.eye(3, device=x.device)).flatten(1).any(1)
    return torch.where(moved[:, None, None, None], y, x)


@functools.lru_cache(maxsize=8)
def _filter(device: torch.device) -> Tensor:
    return setup_filter(SYM6, device)


def _margins(source: Tensor, width: int, height: int) -> tuple[int, int]:
    """By how many pixels of reflection a batch reaches beyond its images.

    On a GPU always the largest margin: asking for the matrices would stop the host, and shapes that depend on them
    would keep the phase out of a CUDA graph. The result is the same.
    """
    largest = max(width - 1, 2 * REACH), max(height - 1, 2 * REACH)
    if source.device.type != "cpu":
        return largest
    centre = (width - 1) / 2, (height - 1) / 2
    corners = [
        [sign_x * (centre[0] + REACH), sign_y * (centre[1] + REACH), 1] for sign_x in (-1, 1) for sign_y in (-1, 1)
    ]
    extent = product(source, source.new_tensor(corners).T[None])[:, :2].abs().amax((0, 2)).tolist()
    return tuple(
        min(max(math.ceil(e - c + REACH), 0), limit) for e, c, limit in zip(extent, centre, largest, strict=True)
    )


def _reflected(x: Tensor, dim: int, margin: int) -> Tensor:
    # F.pad's gradient adds in no fixed order on a GPU; slices and flips have none to choose.
    while margin > 0:
        size = x.shape[dim]
        step = min(margin, size - 1)
        before, after = x.narrow(dim, 1, step).flip(dim), x.narrow(dim, size - 1 - step, step).flip(dim)
        x = torch.cat([before, x, after], dim)
        margin -= step
    return x
