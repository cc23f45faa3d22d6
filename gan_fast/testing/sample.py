"""A sample: one call of an op, and the memory layouts that it may come in."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t.contiguous(),
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "sliced": lambda t: torch.nn.functional.pad(t, [1, 2] * t.ndim)[tuple(slice(1, 1 + n) for n in t.shape)],
    "expanded": lambda t: t[:1].expand_as(t),
    "transposed": lambda t: t.transpose(-1, -2).contiguous().transpose(-1, -2),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """One call of an op.

    tensors: float64 (indices: integers), on the CPU. layout: of x, a key of LAYOUTS. differentiable: the tensors to
    differentiate. reductions: length of the longest sum behind "y" or behind the gradient of a tensor,
    where it is not 1. order: of the highest derivative that can be judged. half: whether half precision can be.
    """

    op: str
    name: str
    tensors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    layout: str = "contiguous"
    differentiable: tuple[str, ...] = ("x",)
    reductions: dict[str, int] = field(default_factory=dict)
    order: int = 2
    half: bool = True

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def inputs(self, dtype: torch.dtype, device: torch.device | str) -> dict[str, Tensor]:
        """Fresh tensors for one call, those to be differentiated requiring a gradient."""
        made = {}
        for name, t in self.tensors.items():
            t = t.to(dtype) if t.is_floating_point() else t
            t = LAYOUTS[self.layout](t).to(device) if name == "x" else t.to(device)
            made[name] = t.detach().requires_grad_(name in self.differentiable)
        return made


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class NoSample(Exception):
    """What was drawn lies on points where a derivative jumps, and could not be moved off them."""


class Draw:
    """What the argument spaces of several ops have in common, drawn from a generator."""

    def __init__(self, r: random.Random) -> None:
        self.r = r
        self.integer, self.one_of = r.randint, r.choice

    def boolean(self) -> bool:
        return self.one_of([False, True])

    def seed(self) -> int:
        return self.integer(0, 2**16)

    def size(self) -> int:
        return self.integer(1, 20)

    def width(self) -> int:
        """The vector paths of kernels begin at widths and channel counts like these."""
        return self.one_of([self.size(), self.one_of([16, 17, 32, 33, 48, 64])])

    def batch(self) -> int:
        return self.one_of([1, 2, 2, 3, 0])

    def layout(self, *without: str) -> str:
        return self.one_of(sorted(set(LAYOUTS) - set(without)))

    def shape(self) -> tuple[int, ...]:
        """Mostly of four dimensions."""
        rank = self.one_of([4, 4, 4, 1, 2, 3, 5])
        return (self.batch(), *(self.width() if rank < 5 else self.integer(1, 5) for _ in range(rank - 1)))

    def padding(self, length: int, factor: int, taps: int, most: int) -> list[int]:
        """Before and after: at least one output, and not many more than there are inputs."""
        before = self.integer(-3, most)
        least = max(taps - length * factor - before, -3)
        return [before, self.integer(least, least + 8)]
