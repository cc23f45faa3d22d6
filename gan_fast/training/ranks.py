"""The processes of a run, as torchrun starts them: who am I, and the few things that ranks say to each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process among `count`; the default is a run of one process, which communicates with nobody.

    Attributes:
        index: 0 .. count - 1; rank 0 writes the files.
        count: the world size.
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def mean_(self, x: Tensor) -> Tensor:
        """The mean of x over all ranks, in place."""
        if self.count > 1:
            dist.all_reduce(x)
            x /= self.count
        return x

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any rank's flag is set; waits for all ranks."""
        if self.count == 1:
            return flag
        x = torch.tensor(float(flag), device=device)
        dist.all_reduce(x, dist.ReduceOp.MAX)
        return bool(x)

    @torch.no_grad()
    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Rank 0's values, in place."""
        if self.count > 1:
            for x in tensors:
                y = x.contiguous()
                dist.broadcast(y, 0)
                x.copy_(y)


def share(x: Tensor, index: int, count: int, group: int = 1) -> Tensor:
    """Part `index` of `count` equal parts of a batch [N, ...] -> [N / count, ...].

    Samples that stand N / group apart stay together, N / (count group) apart: the groups of `BatchSampler`.
    """
    return x if count == 1 else x.unflatten(0, (group, count, -1))[:, index].flatten(0, 1)
