"""The model of bytes and FLOPs equals what is counted on small cases."""

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gan_fast.benchmarks.cases import CASES, MODES, Case
from gan_fast.benchmarks.contenders import contenders, inputs, task
from gan_fast.benchmarks.costs import cost_of
from gan_fast.benchmarks.traffic import Traffic

CPU = torch.device("cpu")


def small(case: Case) -> Case:
    n, c, height, width = case.shape
    out = {"out": 12} if "out" in case.settings else {}
    shape = (min(n, 3), min(c, 8), min(height, 38), min(width, 38))
    return replace(case, shape=shape, settings=case.settings | out, compiled=False)


# one of each op and name
SMALL = {(c.op, c.name): small(c) for c in CASES if not c.channels_last}.values()


def fake_call(case: Case, mode: str, backend: str) -> tuple[FakeTensorMode, Callable[[], object]]:
    tensors = inputs(case, CPU)
    found = contenders(case, mode, CPU)
    y = found["reference"](*tensors).detach()
    fake = FakeTensorMode(allow_non_fake_inputs=True)  # the filters are real
    with fake:
        tensors = [fake.from_tensor(t) for t in tensors]
        dy = fake.from_tensor(torch.ones_like(y).requires_grad_(mode == "second_order"))
    return fake, task(mode, backend, functools.partial(found["reference"], backend=backend), tensors, dy)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_bytes_are_those_of_our_launches(case: Case, mode: str) -> None:
    ours = dir(torch.ops.gan_fast)
    launcher = "cpu" if case.op in ("filtered_lrelu", "grid_sample") else "triton"  # whose launches are not composed
    fake, call = fake_call(case, mode, launcher)
    with fake, Traffic() as traffic:
        call()
    counted = {name: b for name, b in traffic.bytes.items() if name.startswith(("convolution", *ours))}
    assert sum(counted.values()) == cost_of(case, mode).bytes, counted
