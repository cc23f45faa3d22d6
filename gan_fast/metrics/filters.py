"""Features of any image from a bank of fixed filters: a formula in place of a trained network, so nothing to load."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast.data import to_float

REVISION = 1  # of the formula: values of different revisions cannot be compared
SIDE, SCALES = 64, 4
GREY_LEVEL = 1 / 127.5


def filter_features(images: Tensor) -> Tensor:
    """How much detail of each orientation, scale and colour is where in an image, and a thumbnail.

    The image is brought to 64x64 (bilinear, antialiased), and its channels to luma and two chromas by an orthonormal
    cosine transform. At sides 64, 32, 16 and 8 each is convolved with the eight 3x3 cosine filters that have no mean;
    log(mean |response| + one grey level) is taken of luma in each quarter of the image, and of the chromas over all of
    it. The thumbnail has 4x4 pixels.

    Args:
        images: uint8 [N, C, H, W] with C = 1 or 3.

    Returns:
        float32 [N, 4 * (8 * 4 + 16) + 48 = 240].
    """
    x = to_float(images).expand(-1, 3, -1, -1)
    if x.shape[2:] != (SIDE, SIDE):
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    cosines = _cosines(3)
    x = torch.einsum("kc,nchw->nkhw", cosines, x)
    bank = torch.einsum("ah,bw->abhw", cosines, cosines).flatten(0, 1)[1:, None]
    features = [F.adaptive_avg_pool2d(x, 4).flatten(1)]
    for _ in range(SCALES):
        response = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None], bank).abs()
        response = response.unflatten(0, x.shape[:2])
        luma, chroma = F.adaptive_avg_pool2d(response[:, 0], 2).flatten(1), response[:, 1:].mean((3, 4)).flatten(1)
        features += [(luma + GREY_LEVEL).log(), (chroma + GREY_LEVEL).log()]
        x = F.avg_pool2d(x, 2)
    return torch.cat(features, 1)


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II, [n, n]: a row a frequency."""
    k, i = torch.arange(n)[:, None], torch.arange(n)
    waves = torch.cos(math.pi / n * (i + 0.5) * k) * math.sqrt(2 / n)
    waves[0] /= math.sqrt(2)
    return waves
