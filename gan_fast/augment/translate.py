"""Random shifts by whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def translate(x: Tensor, max_shift: float, generator: torch.Generator | None = None) -> Tensor:
    """Shift each image by whole pixels; the border value fills what comes in.

    y[n, c, i, j] = x[n, c, clamp(i + a_n), clamp(j + b_n)], with a_n, b_n uniform in -m..m, m = round(max_shift * H)
    (or W). As y = A x B^T with 0/1 matrices A and B, it is differentiable to every order and exact.

    Args:
        x: images [N, C, H, W], floating point.
        max_shift: the largest shift as a share of the side; 0 returns `x`.
        generator: where the shifts come from, on the CPU or on x's device; None: x's device's own.

    Raises:
        ValueError: `max_shift` is not in [0, 1).
    """
    if not 0 <= max_shift < 1:
        raise ValueError(f"max_shift: expected a share of the side in [0, 1), got {max_shift}")
    if max_shift == 0:
        return x
    rows, columns = (_shift_matrix(len(x), size, round(max_shift * size), generator, x) for size in x.shape[2:])
    return rows @ x @ columns.mT


def _shift_matrix(n: int, size: int, limit: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    device = like.device if generator is None else generator.device
    shift = torch.randint(-limit, limit + 1, (n, 1), generator=generator, device=device).to(like.device)
    source = (torch.arange(size, device=like.device) + shift).clamp(0, size - 1)
    # Not one_hot, which reads its argument on the host.
    return (source[:, None, :, None] == torch.arange(size, device=like.device)).to(like)
