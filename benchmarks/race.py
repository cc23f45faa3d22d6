"""Times contenders in turn, round by round, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from gan_fast.benchmarks.record import Timing

SPIN = 2_000_000  # clock cycles, about a millisecond, in which the host gets ahead of the GPU
MOST = 200  # copies of inputs

Call = Callable[[], object]


def tune_malloc() -> str:
    """Lets glibc keep freed memory: by default each large output is page-faulted in anew, at ten times its cost."""
    if platform.libc_ver()[0] != "glibc":
        return "default"
    libc, mmap_max, trim_threshold = ctypes.CDLL(None), -4, -1
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    return "glibc, mmap_max=0, trim_threshold=2^31-1"


def timer(device: torch.device) -> Callable[[Call], float]:
    """What times one call, in seconds; on a GPU between two events, behind a wait in which the call is launched."""
    if device.type != "cuda":

        def on_host(call: Call) -> float:
            begin = time.perf_counter()
            call()
            return time.perf_counter() - begin

        return on_host

    def on_device(call: Call) -> float:
        with torch.cuda.device(device):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda._sleep(SPIN)
            begin.record()
            call()
            end.record()
            end.synchronize()
        return begin.elapsed_time(end) / 1e3

    return on_device


def copies_of(size: int, device: torch.device) -> int:
    """How many copies of inputs of `size` bytes a GPU needs, to find none in its second-level cache: on a CPU one.

    A CPU finds them where the call before has left them, as a layer finds what the layer before has written. Inputs so
    small that MOST copies do not fill the cache cost a launch, wherever they lie.
    """
    if device.type != "cuda":
        return 1
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return min(MOST, 1 + math.ceil(2 * cache / max(size, 1)))


def rotating(copies: Sequence[Call], turn: Iterator[int]) -> Call:
    """One call of the copies, the next at each turn, which all contenders share."""
    return copies[0] if len(copies) == 1 else lambda: copies[next(turn) % len(copies)]()


def race(calls: dict[str, Call], device: torch.device, seconds: float, min_rounds: int = 5) -> dict[str, list[float]]:
    """Seconds of each call in each round; round by round the contenders swap places."""
    seconds_of = timer(device)
    for call in itertools.chain(calls.values(), calls.values()):
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


def rank_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median lies with at least 95 % confidence, whatever the distribution: two of the sorted values.

    Of fewer than six values the least and the greatest, which is less than 95 %.
    """
    ordered, n = sorted(values), len(values)
    k, ways, outside = 0, 1, 1  # outcomes of n coins: with k heads, and with at most k
    while True:
        ways = ways * (n - k) // (k + 1)
        outside += ways
        if 40 * outside > 2**n:  # both ends together: 5 %
            return ordered[k], ordered[n - 1 - k]
        k += 1


def timings(times: dict[str, list[float]], ours: str) -> dict[str, Timing]:
    """Milliseconds, and each contender's time over ours in the same round."""
    found = {}
    for name, seconds in times.items():
        low, middle, high = (1e3 * q for q in statistics.quantiles(seconds, n=4))
        ratios = [a / b for a, b in zip(seconds, times[ours], strict=True)]
        least, most = rank_interval(ratios)
        found[name] = Timing(
            median=round(middle, 4),
            q1=round(low, 4),
            q3=round(high, 4),
            rounds=len(seconds),
            ratio=round(statistics.median(ratios), 3),
            low=round(least, 3),
            high=round(most, 3),
        )
    return found
