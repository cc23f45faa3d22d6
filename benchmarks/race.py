"""Times contenders in turn, round by round, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable

import torch

from gan_fast.ops.autotune import timer


def tune_malloc() -> str:
    """Lets glibc keep freed memory: by default each large output is page-faulted in anew, at ten times its cost."""
    if platform.libc_ver()[0] != "glibc":
        return "default"
    libc, mmap_max, trim_threshold = ctypes.CDLL(None), -4, -1
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    return "glibc, mmap_max=0, trim_threshold=2^31-1"


def race(
    calls: dict[str, Callable], device: torch.device, seconds: float, min_rounds: int = 5
) -> dict[str, list[float]]:
    seconds_of = timer(device)
    for _ in range(2):
        for call in calls.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        rounds = 0
        while rounds < min_rounds or time.perf_counter() - begin < seconds:
            for name in order:
                times[name].append(seconds_of(calls[name]))
            order = order[1:] + order[:1]
            rounds += 1
    finally:
        gc.enable()
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Milliseconds: median and quartiles."""
    low, middle, high = (1e3 * q for q in statistics.quantiles(times, n=4))
    return {"median": round(middle, 4), "q1": round(low, 4), "q3": round(high, 4), "rounds": len(times)}
