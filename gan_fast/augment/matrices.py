"""Batches of small matrices that act on homogeneous coordinates."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def matrix(*rows: list[Tensor | float], like: Tensor) -> Tensor:
    """[N, R, C] from rows whose elements are numbers or tensors [N]; `like`: a tensor [N] of the dtype and device."""
    elements = [e for row in rows for e in row]
    numbers = {e: torch.full_like(like, e) for e in {e for e in elements if not isinstance(e, Tensor)}}
    stacked = torch.stack([e if isinstance(e, Tensor) else numbers[e] for e in elements], 1)
    return stacked.view(len(like), len(rows), -1)


def product(*factors: Tensor) -> Tensor:
    """The matrix product of [N, R, K], [N, K, C], ...: in float32 also where a GPU's matmul rounds to TF32."""
    return functools.reduce(lambda a, b: (a[..., :, :, None] * b[..., None, :, :]).sum(-2), factors)
