"""Every case, in every mode, with one thread and with two; see race.py for how and contenders.py for against whom."""

from __future__ import annotations

import time
from collections import deque

import pytest
import torch
from cases import CASES, MODES, Case
from contenders import contenders, inputs, task, verify
from race import race, summary

_durations: deque[float] = deque()
_running = False


def replay() -> float:
    """The clock of pytest-benchmark, which reads off it what the race has measured."""
    global _running
    if not _durations:
        return time.perf_counter()
    _running = not _running
    return 0.0 if _running else _durations.popleft()


THREADS = (0,) if torch.cuda.is_available() else (1, 2)


@pytest.mark.parametrize("threads", THREADS, ids=lambda n: f"{n}threads" if n else "gpu")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.benchmark(timer=replay)
def test_op(case: Case, mode: str, threads: int, device: torch.device, benchmark, request) -> None:
    config = request.config
    quick = config.getoption("--quick")
    if quick and not case.quick:
        pytest.skip("not in a quick run")
    if threads > 1 and (mode == "second_order" or case.channels_last):
        pytest.skip("one thread only, to keep a full run short")
    if threads:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
    try:
        tensors = inputs(case, device)
        truth = [t.detach().double().requires_grad_(t.requires_grad) for t in tensors]

        reference = contenders(case, mode, device)["reference"]

        with torch.no_grad():
            shape = reference(*tensors)
        generator = torch.Generator().manual_seed(1)
        dy = torch.randn(shape.shape, generator=generator).to(device)
        dy = torch.empty_like(shape).copy_(dy).requires_grad_(mode == "second_order")
        true = task(mode, "reference", reference, truth, dy.detach().double().requires_grad_(mode == "second_order"))()
        calls = {name: task(mode, name, f, tensors, dy) for name, f in contenders(case, mode, device).items()}
        for call in calls.values():
            verify(call(), true, case)
        times = race(calls, device, seconds=0.2 if quick else 0.3)
    finally:
        if threads:
            torch.set_num_threads(before)
    found = {name: summary(t) for name, t in times.items()}
    ours = next(iter(found))
    ratios = {name: round(s["median"] / found[ours]["median"], 2) for name, s in found.items() if name != ours}
    config.rows.append({"case": str(case), "mode": mode, "threads": threads, "times": found, "ratios": ratios})
    benchmark.extra_info.update(ratios)
    _durations.extend(times[ours])
    benchmark.pedantic(lambda: None, rounds=len(times[ours]))
