"""Holds every op on every backend to one contract: the float64 reference, differentiated by PyTorch.

    for sample in samples("bias_act"):
        assert_matches_reference(sample, backend="cpu", dtype=torch.float32)

`gan-fast verify` and tests/ops/test_contract.py are made of these, and so can be the tests of an op of your own.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gan_fast import ops
from gan_fast.ops import backends, primitive
from gan_fast.ops.bias_act import ACTIVATIONS

ORDERS = ("forward", "backward", "double backward")
ROUTES = ("eager", "registered")

# The largest error allowed, in machine epsilons times sqrt(length of the sum) times the largest true value.
# Half precision is judged by distance: at most twice the error of the reference in that precision.
FULL_PRECISION = {torch.float32: 16.0, torch.float64: 64.0}
HALF_DISTANCE = 2.0

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t.contiguous(),
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "sliced": lambda t: torch.nn.functional.pad(t, [1, 2] * t.ndim)[tuple(slice(1, 1 + n) for n in t.shape)],
    "expanded": lambda t: t[:1].expand_as(t),
    "transposed": lambda t: t.transpose(-1, -2).contiguous().transpose(-1, -2),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """One call of an op.

    tensors: float64, on the CPU. layout: of x, a key of LAYOUTS. differentiable: the tensors to differentiate.
    reductions: length of the longest sum behind "y" or behind the gradient of a tensor, where it is not 1.
    """

    op: str
    name: str
    tensors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    layout: str = "contiguous"
    differentiable: tuple[str, ...] = ("x",)
    reductions: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def inputs(self, dtype: torch.dtype, device: torch.device | str) -> dict[str, Tensor]:
        """Fresh tensors for one call, those to be differentiated requiring a gradient."""
        made = {}
        for name, t in self.tensors.items():
            t = t.to(dtype)
            t = LAYOUTS[self.layout](t).to(device) if name == "x" else t.to(device)
            made[name] = t.detach().requires_grad_(name in self.differentiable)
        return made


class _NoOpMode(TorchDispatchMode):
    """An active dispatch mode sends a primitive through its registered op, as tracing does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _cotangents(tensors: list[Tensor], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(t.shape, generator=generator, dtype=torch.float64).to(torch.bfloat16).to(t.device, t.dtype)
        for t in tensors
    ]


def evaluate(
    sample: Sample,
    backend: str,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    order: int = 2,
    route: str = "eager",
) -> dict[str, Tensor]:
    """Runs a sample and differentiates it `order` times along fixed random directions.

    Returns "y"; from order 1 on "grad x", ... for each differentiable tensor; from order 2 on "grad2 x", ... and
    "grad2 dy". Outputs are poisoned with NaN before each launch.
    """
    inputs = sample.inputs(dtype, device)
    wanted = {name: inputs[name] for name in sample.differentiable}
    mode = _NoOpMode() if route == "registered" else contextlib.nullcontext()
    poisoned, primitive.poison_outputs = primitive.poison_outputs, True
    try:
        with mode:
            y = getattr(ops, sample.op)(**inputs, **sample.settings, backend=backend)
            results = {"y": y}
            if order >= 1:
                (dy,) = _cotangents([y], seed=1)
                dy.requires_grad_(order >= 2)
                grads = torch.autograd.grad(y, list(wanted.values()), dy, create_graph=order >= 2)
                results |= {f"grad {name}": g for name, g in zip(wanted, grads, strict=True)}
            if order >= 2:
                wanted["dy"] = dy
                directions = _cotangents(list(grads), seed=2)
                seconds = torch.autograd.grad(grads, list(wanted.values()), directions, allow_unused=True)
                results |= {
                    f"grad2 {name}": torch.zeros_like(t) if g is None else g
                    for (name, t), g in zip(wanted.items(), seconds, strict=True)
                }
    finally:
        primitive.poison_outputs = poisoned
    return {name: t.detach() for name, t in results.items()}


@functools.lru_cache(maxsize=4096)
def _references(sample: Sample, dtype: torch.dtype, order: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The truth, which is the float64 reference on the numbers as `dtype` has them, and the reference in `dtype`."""
    rounded = {name: t.to(dtype).double() for name, t in sample.tensors.items()}
    truth = evaluate(replace(sample, tensors=rounded), "reference", torch.float64, "cpu", order)
    own = {} if dtype in FULL_PRECISION else evaluate(sample, "reference", dtype, "cpu", order)
    return truth, own


@dataclass(frozen=True)
class Check:
    """One output held against the truth: its largest error, and the largest that is allowed."""

    sample: Sample
    backend: str
    dtype: torch.dtype
    output: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit  # False for NaN

    @property
    def share(self) -> float:
        return 0.0 if self.error == 0 else self.error / self.limit if self.limit else math.inf

    @property
    def order(self) -> str:
        """One of ORDERS."""
        return ORDERS[{"y": 0, "grad": 1, "grad2": 2}[self.output.split()[0]]]

    def __str__(self) -> str:
        verdict = (
            f"{self.error:.3g} <= {self.limit:.3g}" if self.passed else f"WRONG: {self.error:.3g} > {self.limit:.3g}"
        )
        return f"{self.sample} {self.backend} {self.dtype} {self.output}: {verdict}"


def check(
    sample: Sample,
    backend: str,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    order: int = 2,
    route: str = "eager",
) -> list[Check]:
    """Evaluates a sample on a backend and compares every output and gradient with the float64 reference."""
    truth, own = _references(sample, dtype, order)
    found = evaluate(sample, backend, dtype, device, order, route)
    checks = []
    for name, true in truth.items():
        got = found[name]
        if got.dtype != dtype or got.shape != true.shape:
            raise AssertionError(f"{sample} {backend}: {name} is {got.dtype} {got.shape}, not {dtype} {true.shape}")
        scale = true.abs().max().item() if true.numel() else 0.0
        if dtype in FULL_PRECISION:
            length = sample.reductions.get(name.split()[-1], 1)
            limit = FULL_PRECISION[dtype] * torch.finfo(dtype).eps * math.sqrt(length) * max(scale, 1.0)
        else:
            limit = HALF_DISTANCE * _distance(own[name], true) + torch.finfo(dtype).eps * scale
        checks.append(Check(sample, backend, dtype, name, _distance(got, true), limit))
    return checks


def _distance(got: Tensor, true: Tensor) -> float:
    """The largest absolute difference; equal non-finite values do not differ, others differ without bound."""
    got = got.double().cpu()
    difference = torch.where((got == true) | (got.isnan() & true.isnan()), 0.0, (got - true).abs())
    if difference.numel() == 0:
        return 0.0
    return difference.nan_to_num(nan=math.inf).max().item()


def assert_matches_reference(
    sample: Sample,
    backend: str,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    order: int = 2,
    route: str = "eager",
) -> None:
    """Raises AssertionError naming every output of the sample that is further from the reference than allowed."""
    wrong = [str(c) for c in check(sample, backend, dtype, device, order, route) if not c.passed]
    if wrong:
        raise AssertionError("\n".join(wrong))


@dataclass(frozen=True)
class Run:
    """What `verify` runs all samples of an op with."""

    op: str
    backend: str
    dtype: torch.dtype
    device: str


def plan(op_names: Sequence[str], backend_names: Sequence[str]) -> tuple[list[Run], list[str]]:
    """All runs that this machine can make, and the reasons for those that it cannot."""
    runs: list[Run] = []
    refused: dict[str, None] = {}
    for op, backend in itertools.product(op_names, backend_names):
        parts = PARTS.get(op, (op,))
        for dtype in backends.FLOATS:
            verdicts = {
                device: [r for part in parts if (r := backends.refusal(part, backend, device, dtype)) is not None]
                for device in backends.BACKENDS[backend].devices()
            }
            if (device := next((d for d, reasons in verdicts.items() if not reasons), None)) is not None:
                runs.append(Run(op, backend, dtype, device))
            else:
                refused[f"{op} on {backend}: {next(iter(verdicts.values()))[0]}"] = None
    return runs, list(refused)


def verify(sample: Sample, run: Run) -> Iterator[Check]:
    """Both orders on the eager route, and in float32 on the registered one too."""
    for route in ROUTES if run.dtype == torch.float32 else ROUTES[:1]:
        yield from check(sample, run.backend, run.dtype, run.device, route=route)


# ----------------------------------------------------------------------------------------------------------- samples


def _randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _away_from_kinks(x: Tensor, b: Tensor | None, dim: int, act: str, **settings: Any) -> Tensor:
    """Moves elements of x off the points where a derivative jumps: there it is a convention, tested by itself."""
    clamp = settings.pop("clamp", None)
    for _ in range(20):
        u = x if b is None else x + b.reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
        near = u.abs() < 0.05
        if clamp is not None:
            near |= (ops.bias_act(u, act=act, backend="reference", **settings).abs() / clamp - 1).abs() < 0.03
        if not near.any():
            return x
        x = torch.where(near, x + 0.1, x)
    raise AssertionError("no x away from the kinks")


def _bias_act_sample(
    name: str, shape: tuple[int, ...], bias: bool, layout: str = "contiguous", **settings: Any
) -> Sample:
    settings = {"dim": 1, "act": "lrelu"} | settings
    dim = settings["dim"] % len(shape)
    x = LAYOUTS[layout](2 * _randn(3, *shape))
    b = _randn(4, shape[dim]) if bias else None
    x = _away_from_kinks(x, b, **settings)
    summed = x.numel() // max(shape[dim], 1)
    return Sample(
        "bias_act",
        name,
        {"x": x, "b": b} if bias else {"x": x},
        settings,
        layout,
        ("x", "b") if bias else ("x",),
        {"b": max(summed, 1), "dy": 2},
    )


def _bias_act_samples() -> Iterator[Sample]:
    for act, bias, clamp in itertools.product(ACTIVATIONS, (True, False), (None, 0.7)):
        name = f"{act}{'-bias' if bias else ''}{'-clamp' if clamp else ''}"
        yield _bias_act_sample(name, (2, 5, 3, 7), bias, act=act, clamp=clamp)
    for act in ("linear", "lrelu", "swish"):
        for layout in ("channels_last", "sliced", "expanded", "transposed"):
            yield _bias_act_sample(f"{act}-{layout}", (3, 6, 4, 5), True, layout, act=act, clamp=0.9)
        yield _bias_act_sample(f"{act}-large", (3, 33, 17, 19), True, act=act, clamp=1.5)
        yield _bias_act_sample(f"{act}-large-channels_last", (3, 33, 17, 19), True, "channels_last", act=act)
        yield _bias_act_sample(f"{act}-aligned", (2, 16, 16, 16), True, act=act)
        yield _bias_act_sample(f"{act}-aligned-channels_last", (2, 16, 16, 16), True, "channels_last", act=act)
        yield _bias_act_sample(f"{act}-many-tiles", (2, 3, 64, 80), True, act=act)
        yield _bias_act_sample(f"{act}-many-tiles-channels_last", (2, 3, 64, 80), True, "channels_last", act=act)
        yield _bias_act_sample(f"{act}-2d", (7, 130), True, act=act)
        yield _bias_act_sample(f"{act}-dim0", (6, 3, 5), True, act=act, dim=0)
        yield _bias_act_sample(f"{act}-dim-last", (2, 3, 9), True, act=act, dim=-1)
        yield _bias_act_sample(f"{act}-1d", (11,), True, act=act, dim=0)
        yield _bias_act_sample(f"{act}-5d", (2, 3, 2, 3, 4), True, act=act)
        yield _bias_act_sample(f"{act}-one-pixel", (4, 3, 1, 1), True, act=act)
        yield _bias_act_sample(f"{act}-one-channel", (4, 1, 3, 3), True, act=act)
        yield _bias_act_sample(f"{act}-empty", (0, 3, 4, 4), True, act=act)
        yield _bias_act_sample(f"{act}-gain", (2, 3, 4, 4), True, act=act, gain=0.3, clamp=0.4)
        yield _bias_act_sample(f"{act}-negative-gain", (2, 3, 4, 4), True, act=act, gain=-1.7, clamp=0.8)
        yield _bias_act_sample(f"{act}-zero-gain", (2, 3, 4, 4), True, act=act, gain=0.0)
    for alpha in (0.0, 0.01, 1.5, -0.3):
        yield _bias_act_sample(f"alpha{alpha}", (2, 3, 4, 4), True, alpha=alpha, clamp=1.1)


def _filter(kind: str) -> Tensor | None:
    if kind == "none":
        return None
    rows, _, columns = kind.partition("x")
    if columns:  # asymmetric, not of rank 1
        return _randn(5, int(rows), int(columns)) / math.sqrt(int(rows) * int(columns))
    if kind == "binomial":
        return ops.setup_filter([1, 3, 3, 1]).double()
    return _randn(6, int(kind)) / math.sqrt(int(kind))  # separable


def _upfirdn2d_sample(
    name: str,
    shape: tuple[int, int, int, int],
    kind: str,
    op: str = "upfirdn2d",
    layout: str = "contiguous",
    **settings: Any,
) -> Sample:
    f = _filter(kind)
    taps = 1 if f is None else f.numel() if f.ndim == 2 else f.numel() ** 2
    x = LAYOUTS[layout](_randn(7, *shape))
    tensors = {"x": x} if f is None else {"x": x, "f": f}
    if f is None:
        settings = settings | {"f": None}
    return Sample(op, name, tensors, settings, layout, reductions=dict.fromkeys(("y", "x", "dy"), taps))


def _upfirdn2d_samples() -> Iterator[Sample]:
    make = _upfirdn2d_sample
    for layout in LAYOUTS:
        yield make(f"up2-{layout}", (2, 3, 5, 6), "binomial", "upsample2d", layout)
        yield make(f"down2-{layout}", (2, 3, 7, 8), "binomial", "downsample2d", layout)
        yield make(f"fir-{layout}", (2, 3, 6, 5), "binomial", "filter2d", layout)
    for layout in ("contiguous", "channels_last"):
        yield make(f"up2-wide-{layout}", (1, 20, 9, 37), "binomial", "upsample2d", layout)
        yield make(f"down2-wide-{layout}", (1, 20, 10, 70), "binomial", "downsample2d", layout)
        yield make(f"fir-wide-{layout}", (1, 20, 9, 67), "binomial", "filter2d", layout)
        yield make(f"skip-pad-{layout}", (2, 17, 16, 16), "binomial", layout=layout, padding=[2, 2, 2, 2])
        yield make(f"conv-up-pad-{layout}", (2, 17, 17, 17), "binomial", layout=layout, padding=[1, 1, 1, 1], gain=4)
        yield make(f"rgb-up2-{layout}", (2, 3, 16, 16), "binomial", "upsample2d", layout)
        yield make(f"12-taps-up2-{layout}", (2, 5, 9, 18), "12", "upsample2d", layout)
        yield make(f"12-taps-down2-{layout}", (2, 5, 18, 34), "12", "downsample2d", layout)
        both = {"up": (2, 1), "down": (1, 3), "padding": [3, 1, 2, 4]}
        yield make(f"asymmetric-{layout}", (2, 3, 6, 7), "3x5", layout=layout, **both)
        yield make(f"flip-{layout}", (2, 3, 6, 7), "4x3", layout=layout, up=2, padding=2, flip_filter=True, gain=1.7)
        yield make(f"flip-separable-{layout}", (2, 3, 6, 7), "5", layout=layout, down=2, padding=3, flip_filter=True)
        yield make(f"up3-down2-{layout}", (2, 3, 5, 7), "6x6", layout=layout, up=3, down=2, padding=[4, 3, 4, 3])
        yield make(f"up4-down4-{layout}", (1, 2, 6, 5), "7", layout=layout, up=4, down=4, padding=[5, 3, 2, 6])
        yield make(f"up2-down2-{layout}", (1, 2, 7, 9), "4x4", layout=layout, up=2, down=2, padding=[2, 1, 2, 1])
        yield make(f"crop-{layout}", (2, 3, 8, 9), "3x3", layout=layout, padding=[-1, -2, -1, 0])
        yield make(f"crop-up-{layout}", (2, 3, 8, 9), "binomial", layout=layout, up=2, padding=[-3, 2, 1, -2])
        yield make(f"identity-{layout}", (2, 3, 4, 5), "none", layout=layout, padding=[1, 0, 2, -1], gain=0.5)
    yield make("1xk", (2, 3, 5, 9), "1x4", up=(2, 1), padding=[2, 1, 0, 0])
    yield make("kx1", (2, 3, 9, 5), "4x1", down=(1, 2), padding=[0, 0, 1, 1])
    yield make("haar", (2, 3, 6, 6), "2x2", down=2, padding=[1, 0, 1, 0])
    yield make("one-tap", (2, 3, 4, 4), "1", gain=3)
    yield make("24-taps", (1, 2, 16, 30), "24", up=2, down=2, padding=[11, 12, 11, 12])
    yield make("61-taps", (1, 1, 40, 33), "61", padding=[30, 30, 30, 30])
    yield make("one-pixel", (2, 3, 1, 1), "binomial", "upsample2d")
    yield make("one-row", (2, 3, 1, 9), "binomial", "upsample2d")
    yield make("one-column", (2, 3, 9, 1), "binomial", up=2, padding=[2, 1, 2, 1])
    yield make("empty", (0, 3, 4, 4), "binomial", "upsample2d")
    yield make("negative-gain", (1, 2, 5, 5), "3", padding=1, gain=-2)


def _modulated_conv2d_samples() -> Iterator[Sample]:
    f = ops.setup_filter([1, 3, 3, 1]).double()
    for name, k, settings in (
        ("plain", 3, {}),
        ("up2", 3, {"up": 2}),
        ("down2", 3, {"down": 2}),
        ("1x1", 1, {"demodulate": False, "act": "linear"}),
    ):
        size = 6 * settings.get("up", 1) // settings.get("down", 1)
        tensors = {
            "x": _randn(8, 3, 5, 6, 6),
            "w": _randn(9, 4, 5, k, k),
            "s": _randn(10, 3, 5) + 1.5,
            "b": _randn(11, 4) + 4.0,  # keeps lrelu's kink out of reach of most elements
            "noise": _randn(12, 3, 1, size, size),
            "f": f,
        }
        settings = {"act": "softplus", "padding": k // 2} | settings
        yield Sample(
            "modulated_conv2d",
            name,
            tensors,
            settings,
            differentiable=("x", "w", "s", "b", "noise"),
            reductions=dict.fromkeys(("y", "x", "w", "s", "b", "noise", "dy"), 5 * k * k),
        )


# the ops with kernels that a composed op is made of
PARTS = {"modulated_conv2d": ("bias_act", "upfirdn2d")}
_MAKERS: dict[str, Callable[[], Iterator[Sample]]] = {
    "bias_act": _bias_act_samples,
    "upfirdn2d": _upfirdn2d_samples,
    "modulated_conv2d": _modulated_conv2d_samples,
}
OPS = tuple(_MAKERS)


@functools.cache
def samples(op: str) -> tuple[Sample, ...]:
    """The calls that an op is tested with: every option, layout and odd size; the same at every run."""
    if op not in _MAKERS:
        raise ValueError(f"op: got {op!r}, takes {', '.join(OPS)}")
    return tuple(_MAKERS[op]())
