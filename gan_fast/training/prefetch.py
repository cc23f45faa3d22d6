"""Batches made on a thread while the step before them runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Prefetch:
    """`prefetch(step)` returns `fetch(step)`, which a thread has made meanwhile, and starts those of the next steps.

    What `fetch` raises is raised here, for the step that asked for it. To be used as a context manager.

    Args:
        fetch: makes the batch of a step; it runs on one other thread.
        depth: how many batches may wait.

    Attributes:
        waited: seconds spent waiting for batches since the start.
    """

    def __init__(self, fetch: Callable[[int], Any], depth: int = 2):
        self.waited = 0.0
        self._fetch, self._depth = fetch, depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._coming: dict[int, Future] = {}

    def __call__(self, step: int) -> Any:
        wanted = range(step, step + 1 + self._depth)
        for skipped in self._coming.keys() - set(wanted):
            self._coming.pop(skipped).cancel()
        for ahead in wanted:
            if ahead not in self._coming:
                self._coming[ahead] = self._thread.submit(self._fetch, ahead)
        start = time.perf_counter()
        batch = self._coming.pop(step).result()
        self.waited += time.perf_counter() - start
        return batch

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
