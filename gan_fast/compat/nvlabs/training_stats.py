"""`torch_utils.training_stats`: numbers reported from anywhere, collected as count, mean and standard deviation."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from gan_fast.compat.nvlabs.dnnlib import EasyDict

_rank = 0
_sync_device: torch.device | None = None
_totals: dict[str, Tensor] = {}  # of this process and, after `_sync`, of all: count, sum, sum of squares
_pending: dict[str, Tensor] = {}


def init_multiprocessing(rank: int, sync_device: torch.device | None) -> None:
    """Says which process this is, and on what device to add up over processes; None: a process for itself."""
    global _rank, _sync_device
    _rank, _sync_device = rank, sync_device


def report(name: str, value: Any) -> Any:
    """Adds a number, or the elements of anything that holds numbers, to the statistics called name; returns value."""
    x = torch.as_tensor(value).detach().flatten().to(torch.float64)
    if name not in _pending:
        _pending[name] = torch.zeros(3, dtype=torch.float64, device=x.device)
    moments = torch.stack([torch.full_like(x.sum(), x.numel()), x.sum(), x.square().sum()])
    _pending[name] += moments.to(_pending[name].device)
    return value


def report0(name: str, value: Any) -> Any:
    """As `report`, on the first process; the others report nothing under this name."""
    report(name, value if _rank == 0 else [])
    return value


def _sync(names: list[str]) -> None:
    """Adds what is pending to the totals. Every process calls it with the same names."""
    if not names:
        return
    device = _sync_device or torch.device("cpu")
    moments = torch.stack([_pending.pop(n, torch.zeros(3, dtype=torch.float64)).to(device) for n in names])
    if _sync_device is not None:
        torch.distributed.all_reduce(moments)
    for name, delta in zip(names, moments.cpu(), strict=True):
        _totals[name] = _totals.get(name, torch.zeros(3, dtype=torch.float64)) + delta


class Collector:
    """Statistics of the names that match a regular expression, between one `update` and the next.

    keep_previous: a name that nothing was reported for keeps its last statistics.
    """

    def __init__(self, regex: str = ".*", keep_previous: bool = True):
        self._regex, self.keep_previous = re.compile(regex), keep_previous
        self._before: dict[str, Tensor] = {}
        self._moments: dict[str, Tensor] = {}
        self.update()
        self._moments.clear()

    def names(self) -> list[str]:
        """All names reported so far that match."""
        return [name for name in sorted({*_totals, *_pending}) if self._regex.fullmatch(name)]

    def update(self) -> None:
        """Takes what was reported since the last update."""
        names = self.names()
        if not self.keep_previous:
            self._moments.clear()
        _sync(names)
        for name in names:
            delta = _totals[name] - self._before.get(name, 0)
            self._before[name] = _totals[name]
            if delta[0] != 0:
                self._moments[name] = delta

    def num(self, name: str) -> int:
        """How many numbers were reported."""
        return int(self._get(name)[0])

    def mean(self, name: str) -> float:
        """Their mean; NaN of none."""
        count, total, _ = self._get(name).tolist()
        return total / count if count else float("nan")

    def std(self, name: str) -> float:
        """Their standard deviation; NaN of none."""
        count, total, squares = self._get(name).tolist()
        return max(squares / count - (total / count) ** 2, 0) ** 0.5 if count else float("nan")

    def as_dict(self) -> EasyDict:
        """name: num, mean, std."""
        return EasyDict({n: EasyDict(num=self.num(n), mean=self.mean(n), std=self.std(n)) for n in self.names()})

    def __getitem__(self, name: str) -> float:
        return self.mean(name)

    def _get(self, name: str) -> Tensor:
        return self._moments.get(name, torch.zeros(3, dtype=torch.float64))
