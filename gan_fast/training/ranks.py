"""The processes of a run, as torchrun starts them: who am I, and the few things that ranks say to each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

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


@contextmanager
def ranks_of_torchrun(device: str) -> Iterator[Ranks]:
    """The ranks that torchrun's environment tells of, within the block; without torchrun, one rank.

    Args:
        device: "cpu" lets them talk through gloo, "cuda" through NCCL, each on the GPU of its local rank; "auto": cuda
            where there is one.
    """
    if "RANK" not in os.environ:
        yield Ranks()
        return
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # While rank 0 evaluates, the others wait.
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(hours=2))
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def run_under_torchrun(count: int, arguments: list[str]) -> None:
    """Replace this process by torchrun, which starts `python -m gan_fast` with the arguments `count` times."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", "gan_fast"]
    os.execv(sys.executable, [sys.executable, *torchrun, *arguments])
