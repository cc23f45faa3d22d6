"""The image-space filtering of ADA: octaves of spatial frequency made stronger or weaker."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

# Daubechies' wavelet with 2 vanishing moments.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
COUNT = 4
# The power that is expected in each band of a natural image, whose spectrum falls as 1/f.
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


def filter_bank() -> np.ndarray:
    """[4, 43], float64: zero-phase filters for [0, pi/8], [pi/8, pi/4], [pi/4, pi/2] and [pi/2, pi], which add up to 1.

    With L(z) = H(z) H(1/z) / 2 of the wavelet and U(z) = L(-z) = 1 - L(z), they are L(z) L(z^2) L(z^4),
    L(z) L(z^2) U(z^4), L(z) U(z^2) and U(z).
    """
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = low * (-1.0) ** np.arange(-3, 4)

    def spread(f: np.ndarray, by: int) -> np.ndarray:
        taps = np.zeros(by * (len(f) - 1) + 1)
        taps[::by] = f
        return taps

    below, bank = np.ones(1), []
    for by in (1, 2, 4):
        bank.insert(0, np.convolve(below, spread(high, by)))
        below = np.convolve(below, spread(low, by))
    bank.insert(0, below)
    return np.stack([np.pad(f, (len(below) - len(f)) // 2) for f in bank])


def normalised(factors: Tensor) -> Tensor:
    """Gains [N, 4] that are proportional to the factors t and keep the expected power, band by band.

    gains_j = t_j / sqrt(product over i of (1 + P_i (t_i^2 - 1))), P being `EXPECTED_POWER`.
    """
    power = 1.0
    for i, expected in enumerate(EXPECTED_POWER):
        power = power * (1 + expected * (factors[:, i].square() - 1))
    return factors / power.sqrt()[:, None]


@functools.lru_cache(maxsize=8)
def _matrices(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[4, size, size]: each filter of the bank as a matrix, the signal being reflected at its ends."""
    bank = torch.from_numpy(filter_bank())
    reach = bank.shape[1] // 2
    taken = torch.arange(size)[:, None] + torch.arange(-reach, reach + 1)
    period = 2 * (size - 1)
    reflected = ((taken + size - 1) % period - (size - 1)).abs()
    matrices = torch.zeros(COUNT, size, size, dtype=bank.dtype)
    return matrices.scatter_add_(2, reflected.expand(COUNT, -1, -1), bank[:, None].expand(-1, size, -1)).to(
        device, dtype
    )


def filtered(x: Tensor, gains: Tensor) -> Tensor:
    """Multiplies the bands of each image by its gains: x [N, C, H, W], gains [N, 4].

    y[n, c] = R_n x[n, c] S_n^T with R_n = sum over b of gains[n, b] R_b, R_b being filter b of the bank along the
    height, and S_n alike along the width. Where all gains are 1, y is x to the bit. Any order of gradient in x.

    Source: Karras et al. 2020, arXiv 2006.06676, appendix B and figure 20.
    """
    rows, columns = (
        (gains.to(x.dtype)[:, :, None, None] * _matrices(size, x.dtype, x.device)).sum(1, keepdim=True)
        for size in x.shape[2:]
    )
    changed = (gains != 1).any(1)
    return torch.where(changed[:, None, None, None], rows @ x @ columns.mT, x)
