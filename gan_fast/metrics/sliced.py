"""Sliced Wasserstein distance between two sets of points in the plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sliced_wasserstein(real: Tensor, fake: Tensor, directions: int = 32) -> float:
    """The mean over directions u of the Wasserstein-1 distance between the points' projections on u.

        1/K sum over k of 1/N sum over i of |sort(real u_k)[i] - sort(fake u_k)[i]|,  u_k at the angles pi k / K

    It is 0 where the sets are equal, and 2/pi |v| where one is the other moved by v (as K grows). Two samples of one
    distribution are some distance apart, too, about N^(-1/2): print that value beside it.

    Args:
        real, fake: points [N, 2].
        directions: K.

    Raises:
        ValueError: the shapes are not that.

    Source: Bonneel et al. 2015, Sliced and Radon Wasserstein Barycenters of Measures, equation 8, of order 1.
    """
    if real.shape != fake.shape or real.shape[1:] != (2,):
        raise ValueError(f"real, fake: expected equal shapes [N, 2], got {list(real.shape)} and {list(fake.shape)}")
    angles = torch.arange(directions, dtype=real.dtype, device=real.device) * (math.pi / directions)
    u = torch.stack([angles.cos(), angles.sin()])
    return ((real @ u).sort(0).values - (fake @ u).sort(0).values).abs().mean().item()
