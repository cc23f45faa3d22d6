"""The colour part of ADA: affine maps of RGB composed into one. Points are (r, g, b, 1), grey being r = g = b."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_fast.augment.matrices import matrix, product
from gan_fast.augment.parameters import Parameters

GREY = 1 / math.sqrt(3)  # each component of the unit vector along the grey axis


def colour_map(a: Parameters, channels: int) -> Tensor:
    """The map of each image's pixels: [N, 3, 4] for RGB, [N, 1, 2] for grey images.

    Brightness, contrast, luma flip, hue and saturation, in this order. With v the grey axis: contrast c is c I, a luma
    flip I - 2 v v^T, a hue t the rotation about v, a saturation s is s I + (1 - s) v v^T. A grey image takes the mean
    of what grey pixels become; hue and saturation do nothing to it.
    """
    one = torch.ones_like(a.brightness)
    zero = torch.zeros_like(one)

    def about_grey(along: Tensor, across: Tensor, turn: Tensor) -> Tensor:
        """Factors along and across the grey axis, and how far the cross product with it is added."""
        mean = (along - across) / 3
        plus, minus = mean + turn * GREY, mean - turn * GREY
        own = mean + across
        rows = [[own, minus, plus, zero], [plus, own, minus, zero], [minus, plus, own, zero]]
        return matrix(*rows, [zero, zero, zero, one], like=one)

    b, c = a.brightness, a.contrast
    steps = [
        matrix([one, zero, zero, b], [zero, one, zero, b], [zero, zero, one, b], [zero, zero, zero, one], like=one),
        about_grey(c, c, zero),
        about_grey(1 - 2 * a.luma_flip, one, zero),
    ]
    if channels == 1:
        total = product(*reversed(steps))[:, :3].mean(1, keepdim=True)
        return torch.cat([total[:, :, :3].sum(2, keepdim=True), total[:, :, 3:]], 2)
    steps += [about_grey(one, a.hue.cos(), a.hue.sin()), about_grey(one, a.saturation, zero)]
    return product(*reversed(steps))[:, :3]


def recolour(x: Tensor, colours: Tensor) -> Tensor:
    """y[n, i] = colours[n, i, C] + sum over j of colours[n, i, j] x[n, j]: [N, C, H, W]; any order of gradient in x."""
    columns = colours.to(x.dtype)[..., None, None].unbind(2)
    return sum((columns[j] * x[:, j : j + 1] for j in range(x.shape[1])), columns[-1])
