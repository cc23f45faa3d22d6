"""What a line of the log says of the steps since the one before it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gan_fast.training.clock import Clock
from gan_fast.training.engine import Engine
from gan_fast.training.prefetch import Prefetch
from gan_fast.training.stats import Record, autocorrelation


class Progress:
    """Losses and times since the last line of the log. Until `take`, nothing here waits for the device.

    Args:
        engine: whose steps these are.
        batch: images in a step.
        batches: where the steps' batches come from.

    Attributes:
        losses: the step's number and what it returned, of each step since then; the loop appends to it.
        clock: of the engine's phases; the loop marks where a step starts and where it has its batch.
    """

    def __init__(self, engine: Engine, batch: int, batches: Prefetch):
        self.engine, self.batch, self.batches = engine, batch, batches
        self.losses: list[tuple[int, dict[str, Tensor]]] = []
        self.clock = engine.mark = Clock(engine.device)
        self._started, self._waited = time.perf_counter(), batches.waited

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens within does not count as training time."""
        start = time.perf_counter()
        yield
        self._started += time.perf_counter() - start

    def take(self) -> Record:
        """The record of the steps since the last one, and a new start."""
        engine, recipe = self.engine, self.engine.recipe
        sums: dict[str, list[float]] = {}
        for _, values in self.losses:
            for name, value in values.items():
                sums.setdefault(name, []).append(float(value))
        record: Record = {name: sum(v) / len(v) for name, v in sums.items()}
        now, waited = time.perf_counter(), self.batches.waited
        seconds = now - self._started
        record["seconds_per_kimg"] = seconds * 1000 / (len(self.losses) * self.batch)
        record["data_wait"] = (waited - self._waited) / seconds
        steps, record["phase_ms"] = self.clock.take()
        record["step_ms"] = [round(ms, 3) for ms in steps]
        record["memory_mib"] = _peak_memory(engine.device) / 2**20
        record["Gmain_lag1"] = autocorrelation(sums.get("Gmain", []))
        record["nonfinite_gradients"] = int(engine.nonfinite)
        if recipe.augment == "ada":
            record["ada_p"] = float(engine.ada_p)
        if engine.objective.needs_k:
            record["began_k"] = float(engine.began_k)
        if recipe.grow_kimg:
            record["level"] = engine.generator.level
        if recipe.path_length:
            record["path_length"] = float(engine.path_length)
        self.losses.clear()
        self._started, self._waited = now, waited
        return record


def _peak_memory(device: torch.device) -> int:
    """The most bytes that the process has held: of the GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
