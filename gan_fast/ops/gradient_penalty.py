"""Penalties on the discriminator's gradient."""

from __future__ import annotations

import torch
from torch import Tensor


def r1_penalty(x: Tensor, logits: Tensor) -> Tensor:
    (g,) = torch.autograd.grad(logits.sum(), [x], create_graph=True)
    return g.square().sum([1, 2, 3])
