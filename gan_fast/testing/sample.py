"""A sample: one call of an op, and the memory layouts that it may come in."""

from __future__ import annotations

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
    where it is not 1.
    """

    op: str
    name: str
    tensors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    layout: str = "contiguous"
    differentiable: tuple[str, ...] = ("x",)
    reductions: dict[str, int] = field(default_factory=dict)

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
