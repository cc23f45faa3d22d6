"""Mixtures of Gaussians in the plane: where it can be seen which modes a generator draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """Equally likely round Gaussians N(centre, std^2 I).

    Attributes:
        centres: float32 [modes, 2].
        std: of each.
    """

    centres: Tensor
    std: float

    def sample(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns (points float32 [n, 2], the mode of each, int64 [n])."""
        modes = torch.randint(len(self.centres), (n,), generator=generator)
        return self.centres[modes] + self.std * torch.randn(n, 2, generator=generator), modes

    def log_prob(self, points: Tensor) -> Tensor:
        """log p of points [n, 2], in nats: [n]."""
        squares = (points[:, None] - self.centres.to(points)).square().sum(2) / self.std**2
        return (-squares / 2).logsumexp(1) - math.log(len(self.centres) * 2 * math.pi * self.std**2)

    def counts(self, points: Tensor, reach: float = 3.0) -> Tensor:
        """How many points lie within reach standard deviations of each centre, the nearest one counting: int64 [modes].

        A mode is covered where that is positive; the sum over n is the share of points of high quality (Srivastava et
        al. 2017, VEEGAN, arXiv 1705.07761, section 4.1).
        """
        distance, mode = torch.cdist(points, self.centres.to(points)).min(1)
        return torch.bincount(mode[distance <= reach * self.std], minlength=len(self.centres))

    def modes_covered(self, points: Tensor, reach: float = 3.0) -> int:
        """How many modes have a point within reach standard deviations of their centre."""
        return int((self.counts(points, reach) > 0).sum())


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Mixture:
    """Modes evenly on a circle. The defaults are those of Metz et al., Unrolled GANs, arXiv 1611.02163, section 3.1."""
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return Mixture(radius * torch.stack([angles.cos(), angles.sin()], 1), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """side x side modes on a square grid around 0. The defaults are those of VEEGAN, arXiv 1705.07761, section 4.1."""
    ticks = spacing * (torch.arange(side) - (side - 1) / 2)
    return Mixture(torch.cartesian_prod(ticks, ticks), std)


def line(modes: int = 4, length: float = 4.0, std: float = 0.05) -> Mixture:
    """Modes evenly on a straight line through 0."""
    ticks = torch.linspace(-length / 2, length / 2, modes)
    return Mixture(torch.stack([ticks, torch.zeros(modes)], 1), std)
