"""The exponential moving average of the generator, which is what gets evaluated and shipped."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, batch: int, half_life_kimg: float, ramp: float) -> AveragedModel:
    """An average of `model`, parameters and buffers, that `update_parameters(model)` moves after each step.

    p_ema <- p + beta (p_ema - p), beta = 0.5 ** (batch / h), h = min(1000 half_life_kimg, ramp * images shown so far):
    the ramp keeps the untrained start out of the average (Karras et al., arXiv 2006.06676, "EMA ramp-up").

    Args:
        model: the generator.
        batch: images in a step.
        half_life_kimg: half-life in thousands of images; 0: the average is the model.
        ramp: longest half-life as a share of the images shown so far.
    """

    @torch.no_grad()
    def lerp(average: list[torch.Tensor], current: list[torch.Tensor], updates: torch.Tensor | int) -> None:
        half_life = min(1000 * half_life_kimg, ramp * batch * int(updates))
        beta = 0.5 ** (batch / half_life) if half_life > 0 else 0.0
        torch._foreach_lerp_(average, current, 1 - beta)

    return AveragedModel(model, multi_avg_fn=lerp, use_buffers=True).requires_grad_(False)
