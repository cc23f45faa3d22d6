import time

import torch

from gan_fast.training.clock import START, Clock


def test_parts_add_up_to_steps(monkeypatch):
    times = iter([0, 2, 5, 100, 104, 105])  # seconds; what lies between two steps counts for neither
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    clock = Clock(torch.device("cpu"))
    for _ in range(2):
        for part in (START, "data", "Gmain"):
            clock(part)
    steps, parts = clock.take()
    assert steps == [5000, 5000]
    assert parts == {"data": 3000, "Gmain": 2000}
    assert clock.take() == ([], {})


def test_on_a_gpu_marks_are_events_that_are_waited_for_once(monkeypatch):
    class Event:
        made, waited = 0, 0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            Event.made += 1
            self.at = float(Event.made**2)

        def synchronize(self):
            Event.waited += 1

        def elapsed_time(self, later):
            return later.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = Clock(torch.device("cuda", 0))
    for name in (START, "data", "Gmain", START, "data"):
        clock(name)
    assert Event.waited == 0
    assert clock.take() == ([3.0 + 5.0, 9.0], {"data": (3.0 + 9.0) / 2, "Gmain": 2.5})
    assert Event.waited == 1
