"""This machine's ceilings, measured: how fast it copies, and how fast it multiplies matrices."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

from gan_fast.benchmarks.costs import Cost
from gan_fast.benchmarks.race import timer
from gan_fast.benchmarks.record import Ceiling

SECONDS = 0.1  # for each size


@contextlib.contextmanager
def threads_set(threads: int) -> Iterator[None]:
    """0 leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best(call: Callable[[], object], device: torch.device) -> float:
    seconds_of = timer(device)
    found = [seconds_of(call) for _ in range(3)]
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        found.append(seconds_of(call))
    return min(found)


def measure(device: torch.device, threads: int = 0, dtype: torch.dtype = torch.float32) -> Ceiling:
    """Copies from 64 KiB to 256 MiB, which a CPU's caches hold or not (a GPU: 1 GiB), and one matrix product."""
    gpu = device.type == "cuda"
    copies = {}
    with threads_set(threads):
        for size in (2**30,) if gpu else tuple(2**k for k in range(16, 29, 2)):
            x, y = (torch.ones(size // 2, dtype=torch.uint8, device=device) for _ in range(2))
            copies[size] = round(size / _best(lambda x=x, y=y: y.copy_(x), device) / 1e9, 2)
        n = 8192 if gpu else 1024
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # as convolutions multiply
        try:
            products = 2 * n**3 / _best(lambda: a @ b, device) / 1e9
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    return Ceiling(
        threads=threads, dtype=str(dtype).removeprefix("torch."), copy_gbs=copies, products_gflops=round(products, 1)
    )


def floor_ms(ceiling: Ceiling, cost: Cost) -> float:
    """The longer of the two: the bytes at the speed of a copy that moves as many, the FLOPs at that of the product.

    Of sizes in between the fastest copy counts that moves as many as the next smaller one: a floor is a lower bound.
    """
    smaller = max((size for size in ceiling.copy_gbs if size <= cost.bytes), default=0)
    speed = max(gbs for size, gbs in ceiling.copy_gbs.items() if size >= smaller)
    return max(cost.bytes / speed, cost.flops / ceiling.products_gflops) / 1e6
