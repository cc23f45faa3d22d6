"""Everything that `gan-fast bench` measures, as pytest-benchmark's tests: see measure.py for how."""

from __future__ import annotations

import time
from collections import deque

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gan_fast.benchmarks.measure import Bench, Job

_durations: deque[float] = deque()
_running = False


def replay() -> float:
    """The clock of pytest-benchmark, which reads off it what the race has measured."""
    global _running
    if not _durations:
        return time.perf_counter()
    _running = not _running
    return 0.0 if _running else _durations.popleft()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    bench: Bench = metafunc.config.bench
    metafunc.parametrize("job", bench.jobs(), ids=str)


@pytest.mark.benchmark(timer=replay)
def test_is_right_and_timed(job: Job, benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    row, times = job.run()
    request.config.rows.append(row)
    assert not row.refused, row.refused
    benchmark.extra_info.update({name: timing.ratio for name, timing in row.times.items()})
    _durations.extend(times[row.ours])
    benchmark.pedantic(lambda: None, rounds=len(times[row.ours]))
