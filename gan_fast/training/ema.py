"""The exponential moving averages of the generator, the first of which is what gets evaluated and shipped."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn


class Averages:
    """Averages of a generator, parameters and buffers, with half-lives of their own.

    a <- p + beta (a - p), beta = 0.5 ** (batch / h), h = min(1000 half_life_kimg, ramp * images shown so far): the
    ramp keeps the untrained start out of the averages (Karras et al., arXiv 2006.06676, "EMA ramp-up"), and the first
    update copies. Integers, such as counters of batches, are copied.

    Args:
        generator: its copies, in eval mode and without gradients, are the averages.
        half_lives_kimg: in thousands of images; 0: the average is the generator.
        ramp: longest half-life as a share of the images shown so far.

    Attributes:
        modules: the averages by name, the first half-life's as "G_ema", others as "G_ema_<images>".
    """

    def __init__(self, generator: nn.Module, half_lives_kimg: Sequence[float], ramp: float):
        self.ramp = ramp
        self.modules: dict[str, nn.Module] = {}
        self._half_lives: list[float] = []
        for kimg in half_lives_kimg:
            name = f"G_ema_{round(1000 * kimg)}" if self.modules else "G_ema"
            self.modules[name] = copy.deepcopy(generator).eval().requires_grad_(False)
            self._half_lives.append(1000 * kimg)

    @torch.no_grad()
    def update(self, generator: nn.Module, images: int, batch: int) -> None:
        """Move the averages towards the generator; `images` were shown before this step's `batch`."""
        current = _tensors(generator)
        for module, half_life in zip(self.modules.values(), self._half_lives, strict=True):
            half_life = min(half_life, self.ramp * images)
            beta = 0.5 ** (batch / half_life) if half_life > 0 else 0.0
            pairs = list(zip(_tensors(module), current, strict=True))
            moving = [(a, p) for a, p in pairs if a.is_floating_point()]
            torch._foreach_lerp_([a for a, _ in moving], [p for _, p in moving], 1 - beta)
            for a, p in pairs:
                if not a.is_floating_point():
                    a.copy_(p)


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
