"""Under torch.autocast ops compute in the dtype of what they are given; only convolutions follow torch's rule."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from contract import backends_of, device_of, dtypes_of, marks_of, samples_of

from gan_fast import ops, testing
from gan_fast.ops import backends
from gan_fast.ops.modulated_conv2d import demodulation

CONVOLUTIONS = {"conv2d", "modulated_conv2d"}
CALLS = [
    pytest.param(op, backend, id=f"{op}-{backend}", marks=marks_of(backend))
    for op in testing.OPS
    if op not in CONVOLUTIONS
    for backend in ("reference", *backends_of(op))
]
HALF = torch.bfloat16


def half_of(backend: str) -> torch.dtype:
    return HALF if backend == "reference" or HALF in dtypes_of(backend) else torch.float16


def autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, HALF)


@pytest.fixture(params=testing.ROUTES)
def route(request: pytest.FixtureRequest):
    with testing.registered_route() if request.param == "registered" else contextlib.nullcontext():
        yield request.param


@pytest.mark.parametrize("route", testing.ROUTES)
@pytest.mark.parametrize(("op", "backend"), CALLS)
def test_changes_neither_dtypes_nor_bits(op: str, backend: str, route: str) -> None:
    """Of outputs and gradients of both orders, with backward passes inside the block too."""
    device = device_of(backend)
    for sample in samples_of(op, "cpu" if backend == "reference" else backend)[::12]:
        for dtype in (torch.float32, half_of(backend)):
            outside = testing.evaluate(sample, backend, dtype, device, route=route)
            with autocast(device):
                inside = testing.evaluate(sample, backend, dtype, device, route=route)
            for name, true in outside.items():
                torch.testing.assert_close(inside[name], true, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("backend", ["reference", *backends_of("bias_act")])
def test_parameters_of_another_dtype(backend: str, route: str) -> None:
    device = device_of(backend)
    dtype = half_of(backend)
    x = torch.randn(2, 3, 4, 4, device=device, dtype=dtype, requires_grad=True)
    b, noise = (torch.randn(n, device=device, requires_grad=True) for n in (3, (4, 4)))
    with autocast(device):
        y = ops.bias_act(x, b, act="softplus", noise=noise, backend=backend)
        grads = torch.autograd.grad(y.square().sum(), [x, b, noise], create_graph=True)
        seconds = torch.autograd.grad(sum(g.float().square().sum() for g in grads), [x, b, noise])
    assert y.dtype == dtype
    assert [g.dtype for g in (*grads, *seconds)] == [dtype, torch.float32, torch.float32] * 2


def test_affine_warp_keeps_its_grid_exact(device: torch.device) -> None:
    x, theta = torch.randn(2, 3, 6, 6, device=device), torch.randn(2, 2, 3, device=device)
    with autocast(device):
        y = ops.affine_warp(x, theta)
    assert torch.equal(y, ops.affine_warp(x, theta))


@pytest.mark.parametrize("dtype", [torch.float32, HALF, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"padding": 1}, {"padding": [2, 1, 0, 1]}, {"up": 2}, {"down": 2}], ids=str)
@pytest.mark.parametrize("k", [1, 3])
def test_convolutions_follow_torch(
    settings: dict, k: int, dtype: torch.dtype, route: str, device: torch.device
) -> None:
    x = torch.randn(2, 4, 8, 8, device=device, dtype=dtype, requires_grad=True)
    parameters = torch.float64 if dtype == torch.float64 else torch.float32
    shapes = (5, 4, k, k), (2, 4), (5,)
    w, s, b = (torch.randn(n, device=device, dtype=parameters, requires_grad=True) for n in shapes)
    f = ops.setup_filter([1, 3, 3, 1], device=device)
    with autocast(device):
        expected = F.conv2d(x, w).dtype
        resampled = ops.conv2d_resample(x, w, f, **settings)
        modulated = [ops.modulated_conv2d(x, w, s, b=b, f=f, demodulate=d, **settings) for d in (True, False)]
        for y, tensors in ((resampled, [x, w]), *((m, [x, w, s, b]) for m in modulated)):
            assert y.dtype == expected
            grads = torch.autograd.grad(y.square().sum(), tensors, create_graph=True)
            seconds = torch.autograd.grad(sum(g.double().square().sum() for g in grads), tensors)
            for g, second, t in zip(grads, seconds, tensors, strict=True):
                assert g.dtype == second.dtype == t.dtype


def test_another_dtype_of_w_is_an_error_outside(device: torch.device) -> None:
    x, w = torch.randn(1, 2, 4, 4, device=device, dtype=HALF), torch.randn(2, 2, 1, 1, device=device)
    with pytest.raises(TypeError, match=r"w: got torch\.float32, takes x's torch\.bfloat16"):
        ops.conv2d_resample(x, w)
    with autocast(device):
        assert ops.conv2d_resample(x, w).dtype == HALF
        with torch.autocast(device.type, enabled=False), pytest.raises(TypeError, match="w: got"):
            ops.conv2d_resample(x, w)


def test_demodulation_is_summed_in_full_precision(device: torch.device) -> None:
    w, s = torch.randn(5, 4, 3, 3, device=device), torch.randn(2, 4, device=device)
    with autocast(device):
        inside = demodulation(w, s)
    assert torch.equal(inside, demodulation(w, s))


def test_modulated_conv2d_in_float16_stays_in_range(device: torch.device) -> None:
    x, w, s = torch.randn(2, 64, 4, 4), 300 * torch.randn(8, 64, 3, 3), 300 * torch.randn(2, 64)
    with torch.autocast(device.type, torch.float16):
        y = ops.modulated_conv2d(x.to(device), w.to(device), s.to(device), padding=1)
    assert y.dtype == torch.float16
    assert y.isfinite().all()


@pytest.mark.parametrize("backend", ["reference", *backends_of("upfirdn2d")])
def test_compiles_without_graph_breaks(backend: str) -> None:
    device = device_of(backend)
    f = ops.setup_filter([1, 3, 3, 1], device=device)

    def layer(x: torch.Tensor) -> torch.Tensor:
        return ops.upsample2d(ops.bias_act(x, act="swish", backend=backend), f, backend=backend)

    x = torch.randn(2, 3, 4, 4, device=device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with autocast(device):
        y = compiled(x)
    assert torch.equal(y, compiled(x))


def test_devices_that_have_no_autocast() -> None:
    assert not backends.autocasts(torch.device("meta"))
    assert ops.upfirdn2d(torch.ones(1, 1, 2, 2, device="meta"), None, up=2).shape == (1, 1, 4, 4)
