"""Batches made on a thread while the step before them runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch


class Prefetch:
    """`prefetch(step)` returns `fetch(step)`, which a thread has made meanwhile, and starts those of the next steps.

    What `fetch` raises is raised here, for the step that asked for it. To be used as a context manager. On a GPU the
    thread has a stream of its own: copies on the steps' would stand behind all steps that are queued, and the thread
    with them.

    Args:
        fetch: makes the batch of a step, tensors on `device`; it runs on one other thread.
        depth: how many batches may wait.
        device: where the batches are used.

    Attributes:
        waited: seconds spent waiting for batches since the start.
    """

    def __init__(self, fetch: Callable[[int], Any], depth: int = 2, device: torch.device | None = None):
        self.waited = 0.0
        self._stream = torch.cuda.Stream(device) if device is not None and device.type == "cuda" else None
        self._fetch, self._depth = fetch, depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._coming: dict[int, Future] = {}

    def __call__(self, step: int) -> Any:
        wanted = range(step, step + 1 + self._depth)
        for skipped in self._coming.keys() - set(wanted):
            self._coming.pop(skipped).cancel()
        for ahead in wanted:
            if ahead not in self._coming:
                self._coming[ahead] = self._thread.submit(self._make, ahead)
        start = time.perf_counter()
        batch, made = self._coming.pop(step).result()
        self.waited += time.perf_counter() - start
        if made is not None:
            current = torch.cuda.current_stream(self._stream.device)
            current.wait_event(made)
            for tensor in batch:
                tensor.record_stream(current)  # its memory is the other stream's
        return batch

    def _make(self, step: int) -> tuple[Any, torch.cuda.Event | None]:
        """The batch, and on a GPU when its copies are done."""
        if self._stream is None:
            return self._fetch(step), None
        with torch.cuda.stream(self._stream):
            return self._fetch(step), self._stream.record_event()

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
