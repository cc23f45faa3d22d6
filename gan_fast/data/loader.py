"""Batches made ready while the device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from gan_fast.data.image_set import Images


def batches(
    images: Images,
    sampler: Callable[[int], Tensor],
    first_step: int = 0,
    device: torch.device | str = "cpu",
    ahead: int = 2,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(x, c) of `images.batch(sampler(step), device)` for step = first_step, first_step + 1, ..., without end.

    A thread makes the next `ahead` batches while the caller computes. What a batch raises is raised where that batch
    is due. Close the iterator, or let go of it, to stop the thread.
    """

    def make(step: int) -> tuple[Tensor, Tensor]:
        return images.batch(sampler(step), device)

    waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
    with ThreadPoolExecutor(1, "batches") as thread:
        try:
            while True:
                while len(waiting) <= ahead:
                    waiting.append(thread.submit(make, first_step))
                    first_step += 1
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)
