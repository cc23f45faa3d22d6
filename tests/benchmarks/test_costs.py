"""The model of bytes and FLOPs equals what is counted on small cases."""

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gan_fast import ops
from gan_fast.benchmarks.cases import CASES, MODES, Case, alias_free
from gan_fast.benchmarks.contenders import contenders, inputs, task
from gan_fast.benchmarks.costs import RESAMPLING, cost_of, resampling_padding
from gan_fast.benchmarks.traffic import Traffic

CPU = torch.device("cpu")


def small(case: Case) -> Case:
    n, c, height, width = case.shape
    out = {"out": 12} if "out" in case.settings else {}
    shape = (min(n, 3), min(c, 8), min(height, 36), min(width, 36))
    return replace(case, shape=shape, settings=case.settings | out, compiled="never")


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


def products(size: tuple[int, int], taps: tuple[int, int], **settings: object) -> int:
    """Counted one by one: pairs of an input and an output of upfirdn2d that depend on each other."""
    x, f = torch.ones(1, 1, *size), torch.ones(taps)
    jacobian = torch.autograd.functional.jacobian(lambda x: ops.upfirdn2d(x, f, backend="reference", **settings), x)
    return int(jacobian.count_nonzero())


@pytest.mark.parametrize("case", [c for c in SMALL if c.op in RESAMPLING and c.name != "12taps"], ids=str)
def test_flops_of_a_filter(case: Case) -> None:
    (up, down), taps = RESAMPLING[case.op], len(case.settings["f"])
    case = replace(case, shape=(2, 3, 10, 12))
    low, high = resampling_padding(case.op, taps)
    counted = products((10, 12), (taps, taps), up=up, down=down, padding=[low, high, low, high])
    for passes, mode in enumerate(MODES, 1):
        assert cost_of(case, mode).flops == 2 * 6 * counted * passes


def test_flops_of_a_separable_filtered_lrelu() -> None:
    """Rows, then columns, of each of the two filters."""
    case = Case("filtered_lrelu", "up4down2", (1, 1, 7, 9), alias_free(7, 8, 4, 2) | {"padding": (-2, 9, -2, 9)})
    counted = products((7, 9), (1, 24), up=(4, 1), padding=[-2, 9, 0, 0])
    counted += products((7, 20), (24, 1), up=(1, 4), padding=[0, 0, -2, 9])
    counted += products((12, 20), (1, 12), down=(2, 1)) + products((12, 5), (12, 1), down=(1, 2))
    assert cost_of(case, "forward").flops == 2 * counted


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [c for c in SMALL if "out" in c.settings], ids=str)
def test_flops_of_a_convolution(case: Case, mode: str) -> None:
    """PyTorch's own count of its convolutions, and the filter of an upsampling layer."""
    case = replace(case, shape=(2, 4, 6, 7))
    n, _, height, width = case.shape
    fake, call = fake_call(case, mode, "cpu")
    with fake, Traffic() as traffic:
        call()
    counted = sum(flops for name, flops in traffic.flops.items() if name.startswith("convolution"))
    if up := case.settings.get("up"):
        filtered = products((up * height + 1, up * width + 1), (4, 4), padding=1)
        counted += 2 * n * case.settings["out"] * filtered * (1 + MODES.index(mode))
    assert cost_of(case, mode).flops == counted


def test_flops_of_a_sampled_image_are_four_products_a_point() -> None:
    case = Case("grid_sample", "warp", (1, 1, 4, 5))
    grid = torch.rand(1, 4, 5, 2) - 0.5  # inside, and on no pixel's centre
    x = torch.ones(1, 1, 4, 5)
    jacobian = torch.autograd.functional.jacobian(lambda x: ops.grid_sample(x, grid, backend="reference"), x)
    assert cost_of(case, "forward").flops == 2 * int(jacobian.count_nonzero())


def test_half_precision_halves_what_is_large() -> None:
    full = next(c for c in CASES if c.op == "bias_act" and c.dtype == "float32")
    half = replace(full, dtype="bfloat16")
    assert cost_of(half, "forward").bytes == cost_of(full, "forward").bytes / 2
