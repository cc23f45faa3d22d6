"""Holds every op on every backend to one contract: the float64 reference, differentiated by PyTorch.

Each output and gradient, up to the second, is compared at one table of tolerances.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gan_fast import ops
from gan_fast.ops import backends, primitive
from gan_fast.testing.sample import Sample
from gan_fast.testing.samples import parts_of

ORDERS = ("forward", "backward", "double backward")
ROUTES = ("eager", "registered")

# The largest error allowed, in machine epsilons times sqrt(length of the sum) times the largest true value.
# Half precision is judged by distance: at most twice the error of the reference in that precision.
FULL_PRECISION = {torch.float32: 16.0, torch.float64: 64.0}
HALF_DISTANCE = 2.0


class registered_route(TorchDispatchMode):
    """Within it a primitive goes through its registered op, as under tracing: any dispatch mode sends it there."""

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
    mode = registered_route() if route == "registered" else contextlib.nullcontext()
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
    rounded = {name: t.to(dtype).double() if t.is_floating_point() else t for name, t in sample.tensors.items()}
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
        got, expected = found[name], own[name].dtype if own else dtype
        if got.dtype != expected or got.shape != true.shape:
            raise AssertionError(f"{sample} {backend}: {name} is {got.dtype} {got.shape}, not {expected} {true.shape}")
        finite = true[true.isfinite()]
        scale = finite.abs().max().item() if finite.numel() else 0.0
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
        parts = parts_of(op)
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
