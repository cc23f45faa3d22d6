"""The launchers of kernels/modulated_conv2d.py against the formula in float64: zero insertion, conv2d, autograd."""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from gan_fast.kernels import modulated_conv2d as kernels
from gan_fast.testing.contract import FULL_PRECISION, HALF_DISTANCE
from gan_fast.testing.sample import randn


class Case(NamedTuple):
    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    up: int = 1
    down: int = 1
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    flip: bool = False

    @property
    def geometry(self) -> tuple:
        return self.up, self.down, list(self.padding), self.flip


CASES = {
    "plain": Case((2, 16, 6, 7), (32, 16, 3, 3)),
    "1x1": Case((2, 5, 9, 8), (3, 5, 1, 1), padding=(0, 0, 0, 0)),
    "5x5": Case((1, 3, 7, 6), (5, 3, 5, 5), padding=(2, 2, 2, 2)),
    "3x1": Case((2, 4, 5, 6), (6, 4, 3, 1), padding=(0, 0, 1, 1)),
    "up2": Case((2, 5, 4, 5), (6, 5, 3, 3), up=2, padding=(2, 2, 2, 2)),
    "up2-1x1": Case((2, 4, 4, 3), (3, 4, 1, 1), up=2, padding=(0, 1, 1, 0)),
    "up3": Case((1, 3, 4, 3), (4, 3, 4, 2), up=3, padding=(1, -1, 2, 3)),
    "down2": Case((2, 5, 9, 8), (6, 5, 3, 3), down=2, padding=(0, 0, 0, 0)),
    "down3": Case((1, 3, 10, 11), (4, 3, 2, 4), down=3, padding=(-1, 2, 1, 0)),
    "up2-down3": Case((2, 3, 5, 6), (4, 3, 3, 3), up=2, down=3, padding=(2, 1, 1, 3)),
    "cropped": Case((2, 3, 7, 6), (4, 3, 3, 3), padding=(-1, 2, 0, -2)),
    "flipped": Case((2, 3, 5, 6), (4, 3, 3, 2), padding=(1, 0, 2, 1), flip=True),
    "up2-flipped": Case((2, 3, 5, 4), (4, 3, 3, 3), up=2, padding=(2, 1, 1, 2), flip=True),
    "several tiles": Case((3, 3, 17, 19), (4, 3, 3, 3)),
    "4x4": Case((5, 8, 4, 4), (8, 8, 3, 3)),
    "channel tails": Case((3, 17, 4, 5), (70, 17, 3, 3)),
    "513 channels": Case((2, 513, 4, 4), (5, 513, 3, 3)),
}
RUNS = 2 if torch.cuda.is_available() else 1  # which agree where programs run one after the other
DTYPES = (torch.float32, torch.float64, torch.float16)
# each case in every dtype on a GPU; in the interpreter, which takes seconds for one, dtypes take turns
each_case = pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(case, dtype, id=f"{name}-{dtype}")
        for i, (name, case) in enumerate(CASES.items())
        for dtype in (DTYPES if torch.cuda.is_available() else DTYPES[i % 3 : i % 3 + 1])
    ],
)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
Inputs = dict[str, Tensor | None]


def scaled(x: Tensor, s: Tensor | None, x2: Tensor | None, s2: Tensor | None) -> Tensor:
    def one(t: Tensor, scale: Tensor | None) -> Tensor:
        return t if scale is None else t * scale[:, :, None, None]

    return one(x, s) if x2 is None else one(x, s) + one(x2, s2)


def convolved(a: Tensor, w: Tensor, case: Case) -> Tensor:
    n, channels, h, width = a.shape
    z = torch.nn.functional.pad(a[:, :, :, None, :, None], [0, case.up - 1, 0, 0, 0, case.up - 1])
    z = torch.nn.functional.pad(z.reshape(n, channels, h * case.up, width * case.up), case.padding)
    return torch.nn.functional.conv2d(z, w.flip([2, 3]) if case.flip else w, stride=case.down)


def tensors(case: Case, *absent: str) -> Inputs:
    """Numbers that every dtype has, so that all precisions begin with the same."""
    n, i = case.x[:2]
    o = case.w[0]
    out = convolved(torch.empty(case.x, device="meta"), torch.empty(case.w, device="meta"), case).shape
    shapes = {
        "x": case.x, "s": (n, i), "x2": case.x, "s2": (n, i), "w": case.w, "d": (n, o), "noise": (n, *out[2:]),
        "strength": (), "b": (o,), "g": out,
    }  # fmt: skip
    made = {name: randn(seed, *shape).half().double() for seed, (name, shape) in enumerate(shapes.items())}
    return made | dict.fromkeys(absent)


def stored(t: Tensor | None, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """As a launcher takes it: activations and weights in channels_last memory, the rest in the type of the sums."""
    if t is None:
        return None
    if t.ndim == 4:
        return t.to(device, dtype).contiguous(memory_format=torch.channels_last)
    return t.to(device, torch.promote_types(dtype, torch.float32))


def poisoned(like: Tensor, dtype: torch.dtype, device: torch.device, memory_format=torch.contiguous_format) -> Tensor:
    y = torch.empty(like.shape, dtype=dtype, device=device, memory_format=memory_format)
    return y.fill_(float("nan"))


def assert_close(
    got: Tensor, dtype: torch.dtype, reference: Callable[[Inputs], Tensor], inputs: Inputs, length: int
) -> None:
    """By the rule of gan_fast/testing/contract.py; half precision beside the same formula in half precision."""
    true = reference(inputs)
    scale = true.abs().max().item()
    if dtype in FULL_PRECISION:
        limit = FULL_PRECISION[dtype] * torch.finfo(dtype).eps * math.sqrt(length) * max(scale, 1.0)
    else:
        own = reference({name: None if t is None else t.to(dtype) for name, t in inputs.items()})
        limit = HALF_DISTANCE * (own.double() - true).abs().max().item() + torch.finfo(dtype).eps * scale
    error = (got.double().cpu() - true).abs().max().item()
    assert error <= limit, f"{error:.3g} > {limit:.3g}"


def forward(inputs: Inputs, case: Case, act: str, alpha: float, gain: float, clamp: float) -> Tensor:
    x, s, x2, s2, w, d, noise, strength, b = (
        inputs[k] for k in ("x", "s", "x2", "s2", "w", "d", "noise", "strength", "b")
    )
    y = convolved(scaled(x, s, x2, s2), w, case)
    y = scaled(y, d, None, None)
    if noise is not None:
        y = y + noise[:, None] * (1.0 if strength is None else strength)
    if b is not None:
        y = y + b[:, None, None]
    y = {"linear": lambda: y, "relu": y.relu, "lrelu": lambda: torch.where(y > 0, y, y * alpha)}[act]() * gain
    return y.clamp(-clamp, clamp) if clamp >= 0 else y


def check_forward(
    case: Case,
    dtype: torch.dtype,
    device: torch.device,
    absent: tuple[str, ...] = (),
    settings: tuple[str, float, float, float] = ("linear", 0.0, 1.0, -1.0),
    precision: str = "ieee",
) -> None:
    inputs = tensors(case, *absent)
    like = forward(inputs, case, *settings)
    args = [stored(inputs[k], dtype, device) for k in ("x", "s", "x2", "s2", "w", "d", "noise", "strength", "b")]
    ys = [poisoned(like, dtype, device, torch.channels_last) for _ in range(RUNS)]
    for y in ys:
        kernels.modulated_conv2d(*args, *case.geometry, *settings, precision, y, y.new_empty(0))
    assert all(torch.equal(ys[0], y) for y in ys)
    assert_close(ys[0], dtype, lambda t: forward(t, case, *settings), inputs, math.prod(case.w[1:]))


@each_case
def test_forward(case: Case, dtype: torch.dtype, device: torch.device) -> None:
    check_forward(case, dtype, device, absent=("x2", "s2", "d", "noise", "strength", "b"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", ["plain", "up2", "several tiles", "4x4"])
@each_dtype
def test_forward_with_everything(case: str, dtype: torch.dtype, device: torch.device) -> None:
    check_forward(CASES[case], dtype, device, settings=("lrelu", 0.2, 2**0.5, 3.0), precision="tf32x3")


@pytest.mark.parametrize("absent", ["s", "s2", "x2", "d", "noise", "strength", "b"])
def test_forward_without(absent: str, device: torch.device) -> None:
    check_forward(CASES["plain"], torch.float32, device, absent=(absent,))


@pytest.mark.parametrize("act", ["linear", "relu", "lrelu"])
@pytest.mark.parametrize("clamp", [-1.0, 0.5])
def test_forward_activates(act: str, clamp: float, device: torch.device) -> None:
    check_forward(CASES["plain"], torch.float32, device, settings=(act, 0.3, 1.5, clamp))


def input_grad(inputs: Inputs, case: Case) -> tuple[Tensor, Tensor]:
    g, w, s, x = (inputs[k] for k in ("g", "w", "s", "x"))
    a = torch.zeros(case.x, dtype=g.dtype, requires_grad=True)
    (q,) = torch.autograd.grad(convolved(a, w, case), a, g)
    return scaled(q, s, None, None), q.new_zeros(()) if x is None else (x * q).sum([2, 3])


def check_input_grad(case: Case, dtype: torch.dtype, device: torch.device, absent: tuple[str, ...] = ()) -> None:
    inputs = tensors(case, *absent)
    args = [stored(inputs[k], dtype, device) for k in ("g", "w", "s", "x")]
    settings = (list(case.x[2:]), *case.geometry, "ieee")
    like = tensors(case)
    results = []
    for _ in range(RUNS):
        dx = poisoned(like["x"], dtype, device, torch.channels_last)
        ds = poisoned(like["s"][: 0 if "x" in absent else None], torch.promote_types(dtype, torch.float32), device)
        kernels.modulated_conv2d_input_grad(*args, *settings, dx, ds)
        results.append((dx, ds))
    assert all(torch.equal(results[0][i], run[i]) for run in results for i in range(2))
    length = case.w[0] * math.prod(case.w[2:])
    assert_close(dx, dtype, lambda t: input_grad(t, case)[0], inputs, length)
    if "x" not in absent:
        assert_close(ds, dtype, lambda t: input_grad(t, case)[1], inputs, length * math.prod(case.x[2:]))


@each_case
def test_input_grad(case: Case, dtype: torch.dtype, device: torch.device) -> None:
    check_input_grad(case, dtype, device)


@pytest.mark.parametrize("absent", ["s", "x"])
def test_input_grad_without(absent: str, device: torch.device) -> None:
    check_input_grad(CASES["plain"], torch.float32, device, absent=(absent,))


def weight_grad(inputs: Inputs, case: Case) -> Tensor:
    x, s, x2, s2, g = (inputs[k] for k in ("x", "s", "x2", "s2", "g"))
    w = torch.zeros(case.w, dtype=g.dtype, requires_grad=True)
    (dw,) = torch.autograd.grad(convolved(scaled(x, s, x2, s2), w, case), w, g)
    return dw


def check_weight_grad(
    case: Case,
    dtype: torch.dtype,
    device: torch.device,
    absent: tuple[str, ...] = (),
    out: torch.dtype | None = None,
    memory_format: torch.memory_format = torch.channels_last,
) -> None:
    inputs = tensors(case, *absent)
    args = [stored(inputs[k], dtype, device) for k in ("x", "s", "x2", "s2", "g")]
    settings = (list(case.w[2:]), *case.geometry, "ieee")
    dws = [poisoned(tensors(case)["w"], out or dtype, device, memory_format) for _ in range(RUNS)]
    for dw in dws:
        kernels.modulated_conv2d_weight_grad(*args, *settings, dw)
    assert all(torch.equal(dws[0], dw) for dw in dws)
    length = case.x[0] * math.prod(inputs["g"].shape[2:])
    assert_close(dws[0], dtype, lambda t: weight_grad(t, case), inputs, length)


@each_case
def test_weight_grad(case: Case, dtype: torch.dtype, device: torch.device) -> None:
    check_weight_grad(case, dtype, device, absent=("x2", "s2"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", ["plain", "up2", "down2", "4x4"])
@each_dtype
def test_weight_grad_of_a_sum(case: str, dtype: torch.dtype, device: torch.device) -> None:
    check_weight_grad(CASES[case], dtype, device)


@pytest.mark.parametrize("absent", ["s", "s2", "x2"])
def test_weight_grad_without(absent: str, device: torch.device) -> None:
    check_weight_grad(CASES["up2"], torch.float32, device, absent=(absent,))


@pytest.mark.parametrize("case", ["plain", "up2", "1x1", "several tiles"])
def test_weight_grad_in_memory_of_any_kind(case: str, device: torch.device) -> None:
    check_weight_grad(CASES[case], torch.float16, device, out=torch.float32, memory_format=torch.contiguous_format)


def test_full_tiles(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As problems that fill a GPU take them."""
    monkeypatch.setattr(kernels, "_MULTIPROCESSORS", 1)
    check_forward(CASES["several tiles"], torch.float32, device)
    check_input_grad(CASES["several tiles"], torch.float32, device)


@pytest.mark.parametrize("case", ["up2", "4x4"])
def test_wide_offsets(case: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As samples of 2^31 elements and more take them."""
    monkeypatch.setattr(kernels, "_NARROW", 0)
    check_forward(CASES[case], torch.float32, device)
    check_input_grad(CASES[case], torch.float32, device)
    check_weight_grad(CASES[case], torch.float32, device)


def test_sums_over_no_pixels_are_zero(device: torch.device) -> None:
    x, g = torch.zeros(2, 3, 0, 4, device=device), torch.zeros(2, 5, 0, 4, device=device)
    w, ds = torch.ones(5, 3, 1, 1, device=device), torch.full((2, 3), float("nan"), device=device)
    dw = torch.full_like(w, float("nan"))
    geometry = (1, 1, [0, 0, 0, 0], False, "ieee")
    kernels.modulated_conv2d_input_grad(g, w, None, x, [0, 4], *geometry, torch.empty_like(x), ds)
    kernels.modulated_conv2d_weight_grad(x, None, None, None, g, [1, 1], *geometry, dw)
    assert ds.eq(0).all()
    assert dw.eq(0).all()
