import threading

import pytest
import torch

from gan_fast.training import prefetch
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


def test_waiting_is_counted(monkeypatch):
    now, asked = [0.0], threading.Event()

    def clock():
        asked.set()
        return now[0]

    def fetch(step):
        if step == 0:  # ends two seconds after somebody began to wait for it
            asked.wait()
            now[0] += 2

    monkeypatch.setattr(prefetch.time, "perf_counter", clock)
    with Prefetch(fetch) as batches:
        batches(0)
        assert batches.waited == 2
        batches(1)
        assert batches.waited == 2


def test_an_error_is_raised_for_its_own_step():
    def fetch(step):
        if step == 1:
            raise ValueError("broken image 7.png")
        return step

    with Prefetch(fetch) as batches:
        assert batches(0) == 0
        with pytest.raises(ValueError, match=r"7\.png"):
            batches(1)


def test_batches_do_not_wait_behind_the_steps(device):
    if device.type != "cuda":
        pytest.skip("only a GPU has streams")
    with Prefetch(lambda step: (torch.full([1000], float(step)).to(device),), device=device) as batches:
        batches(0)
        torch.cuda.synchronize()
        busy = torch.cuda.Event()
        torch.cuda._sleep(10**9)  # clock cycles, about half a second
        busy.record()
        found = [batches(step)[0] for step in range(1, 6)]
        assert not busy.query()
        assert [x.sum().item() for x in found] == [1000.0 * step for step in range(1, 6)]
