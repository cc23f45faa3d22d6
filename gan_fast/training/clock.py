"""Where the time of the steps goes, without waiting for the device."""

from __future__ import annotations

import time

import torch

START = "start"


class Clock:
    """`clock(name)` marks the end of what `name` stands for, `clock(START)` the beginning of a step.

    On a GPU a mark is an event in its queue, so that the times are the device's.

    Args:
        device: where the steps run.
    """

    def __init__(self, device: torch.device):
        self._cuda = device.type == "cuda"
        self._marks: list[tuple[str, float | torch.cuda.Event]] = []

    def __call__(self, name: str) -> None:
        if self._cuda:
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = time.perf_counter()
        self._marks.append((name, now))

    def take(self) -> tuple[list[float], dict[str, float]]:
        """Milliseconds of each step since the last call, and of each part, the mean over these steps; none: empty."""
        if self._cuda and self._marks:
            self._marks[-1][1].synchronize()
        steps: list[float] = []
        parts: dict[str, float] = {}
        for i, (name, now) in enumerate(self._marks):
            if name == START:
                steps.append(0.0)
                continue
            before = self._marks[i - 1][1]
            ms = before.elapsed_time(now) if self._cuda else (now - before) * 1e3
            steps[-1] += ms
            parts[name] = parts.get(name, 0.0) + ms
        self._marks.clear()
        return steps, {name: ms / len(steps) for name, ms in parts.items()}
