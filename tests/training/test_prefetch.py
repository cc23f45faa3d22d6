import threading
import time

import pytest

from gan_fast.training.prefetch import Prefetch


def test_batches_are_made_ahead_on_one_other_thread():
    made = []

    def fetch(step):
        made.append((step, threading.current_thread().name))
        return 10 * step

    with Prefetch(fetch, depth=2) as batches:
        assert [batches(step) for step in (3, 4, 5)] == [30, 40, 50]
    steps, threads = zip(*made, strict=True)
    assert steps == tuple(range(3, 3 + len(steps)))
    assert len(steps) <= 5
    assert set(threads) == {"prefetch_0"}


def test_waiting_is_counted():
    with Prefetch(lambda step: time.sleep(0.05)) as batches:
        batches(0)
        assert batches.waited >= 0.05
        time.sleep(0.2)
        before = batches.waited
        batches(1)
        assert batches.waited - before < 0.04


def test_an_error_is_raised_for_its_own_step():
    def fetch(step):
        if step == 1:
            raise ValueError("broken image 7.png")
        return step

    with Prefetch(fetch) as batches:
        assert batches(0) == 0
        with pytest.raises(ValueError, match=r"7\.png"):
            batches(1)
