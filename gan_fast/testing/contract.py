"""Holds every op on every backend to one contract: the float64 reference, differentiated by PyTorch.

Each output and gradient, up to the second, is compared at one table of tolerances. A backend is one of ours by its
name, or any module with functions of the ops' names and signatures (less `backend`).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError
from torch.utils._python_dispatch import TorchDispatchMode

from gan_fast import ops
from gan_fast.ops import backends, primitive
from gan_fast.testing.sample import Sample
from gan_fast.testing.samples import parts_of

ORDERS = ("forward", "backward", "double backward")
ASPECTS = (*ORDERS, "equal bits", "gradcheck")
ROUTES = ("eager", "registered")

# The largest error allowed, in machine epsilons times sqrt(length of the sum) times the largest true value.
# Half precision is judged by distance: at most twice the error of the reference in that precision, or, where values
# cancel to less than that, float32's epsilon.
FULL_PRECISION = {torch.float32: 16.0, torch.float64: 64.0}
HALF_DISTANCE = 2.0
GRADCHECK_ELEMENTS = 300  # of the inputs: finite differences lose digits in long sums


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


def load(name: str) -> ModuleType:
    """The module at a path or of a dotted name. Raises ValueError if there is none, or it cannot be imported."""
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(Path(name).stem, name)
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(module.__name__, module)
        spec.loader.exec_module(module)
        return module
    except Exception as error:  # whatever its code raises
        raise ValueError(f"{name}: {type(error).__name__}: {error}") from error


def function_of(op: str, backend: str | ModuleType) -> Callable[..., Tensor]:
    """What a call of an op on a backend runs. Raises NotImplementedError if a module has no function of the name."""
    if isinstance(backend, ModuleType):
        if not hasattr(backend, op):
            raise NotImplementedError(f"{backend.__name__} has no {op}")
        return getattr(backend, op)
    return functools.partial(getattr(ops, op), backend=backend)


def evaluate(
    sample: Sample,
    backend: str | ModuleType,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    order: int = 2,
    route: str = "eager",
) -> dict[str, Tensor]:
    """Runs a sample and differentiates it `order` times along fixed random directions.

    Returns "y"; from order 1 on "grad x", ... for each differentiable tensor; from order 2 on "grad2 x", ... and
    "grad2 dy". Outputs are poisoned with NaN before each launch; cuDNN computes in full precision and in one order.
    """
    inputs = sample.inputs(dtype, device)
    wanted = {name: inputs[name] for name in sample.differentiable}
    mode = registered_route() if route == "registered" else contextlib.nullcontext()
    poisoned, primitive.poison_outputs = primitive.poison_outputs, True
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with mode, exact:
            y = function_of(sample.op, backend)(**inputs, **sample.settings)
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


_known: WeakKeyDictionary[Sample, dict[tuple, tuple[dict[str, Tensor], dict[str, Tensor]]]] = WeakKeyDictionary()


def _references(sample: Sample, dtype: torch.dtype, order: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The truth, which is the float64 reference on the numbers as `dtype` has them, and the reference in `dtype`."""
    known = _known.setdefault(sample, {})
    if (dtype, order) not in known:
        rounded = {name: t.to(dtype).double() if t.is_floating_point() else t for name, t in sample.tensors.items()}
        truth = evaluate(replace(sample, tensors=rounded), "reference", torch.float64, "cpu", order)
        own = {} if dtype in FULL_PRECISION else evaluate(sample, "reference", dtype, "cpu", order)
        known[dtype, order] = truth, own
    return known[dtype, order]


@dataclass(frozen=True)
class Check:
    """One output held against the truth: its largest error, and the largest that is allowed.

    aspect: one of ASPECTS. note: what else is to be said of a failure.
    """

    sample: Sample
    backend: str | ModuleType
    dtype: torch.dtype
    aspect: str
    output: str
    error: float
    limit: float = 0.0
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.error <= self.limit  # False for NaN

    @property
    def share(self) -> float:
        return 0.0 if self.error == 0 else self.error / self.limit if self.limit else math.inf

    def __str__(self) -> str:
        verdict = (
            f"{self.error:.3g} <= {self.limit:.3g}" if self.passed else f"WRONG: {self.error:.3g} > {self.limit:.3g}"
        )
        where = f"{self.sample} {name_of(self.backend)} {self.dtype} {self.output}"
        return f"{where}: {verdict}{self.note and f', {self.note}'}"


def name_of(backend: str | ModuleType) -> str:
    return backend.__name__ if isinstance(backend, ModuleType) else backend


def check(
    sample: Sample,
    backend: str | ModuleType,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    order: int = 2,
    route: str = "eager",
) -> list[Check]:
    """Evaluates a sample on a backend and compares every output and gradient with the float64 reference."""
    order = min(order, sample.order)
    truth, own = _references(sample, dtype, order)
    found = evaluate(sample, backend, dtype, device, order, route)
    checks = []
    for name, true in truth.items():
        got, expected = found[name], own[name].dtype if own else dtype
        aspect = ORDERS[("y", "grad", "grad2").index(name.split()[0])]
        about = (sample, backend, dtype, aspect, name)
        note = "" if route == "eager" else f"by the {route} route"
        if got.dtype != expected or got.shape != true.shape:
            kinds = [f"{dtype} {tuple(t.shape)}" for dtype, t in ((got.dtype, got), (expected, true))]
            checks.append(Check(*about, math.inf, note=f"is {kinds[0]} and not {kinds[1]}"))
            continue
        finite = true[true.isfinite()]
        scale = finite.abs().max().item() if finite.numel() else 0.0
        if dtype in FULL_PRECISION:
            length = sample.reductions.get(name.split()[-1], 1)
            limit = FULL_PRECISION[dtype] * torch.finfo(dtype).eps * math.sqrt(length) * max(scale, 1.0)
        else:
            limit = HALF_DISTANCE * _distance(own[name], true) + torch.finfo(dtype).eps * scale
            limit = max(limit, torch.finfo(torch.float32).eps)  # what cancels in float32 leaves as much
        checks.append(Check(*about, _distance(got, true), limit, note))
    return checks


def check_equal_bits(
    sample: Sample, backend: str | ModuleType, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> list[Check]:
    """Evaluates a sample twice: results must not depend on the run."""
    first, again = (evaluate(sample, backend, dtype, device, sample.order) for _ in range(2))
    about = (sample, backend, dtype, "equal bits")
    return [
        Check(*about, name, _distance(t, again[name].double().cpu()), note="at a second run")
        for name, t in first.items()
    ]


def check_gradients(
    sample: Sample, backend: str | ModuleType, device: torch.device | str = "cpu", fast: bool = True
) -> list[Check]:
    """torch.autograd.gradcheck and gradgradcheck in float64: derivatives against finite differences."""
    inputs = sample.inputs(torch.float64, device)
    names = sample.differentiable

    def call(*tensors: Tensor) -> Tensor:
        given = inputs | dict(zip(names, tensors, strict=True))
        return function_of(sample.op, backend)(**given, **sample.settings)

    checks = []
    tensors = [inputs[name] for name in names]
    for test in (torch.autograd.gradcheck, torch.autograd.gradgradcheck)[: sample.order]:
        about = (sample, backend, torch.float64, "gradcheck", test.__name__)
        try:
            test(call, tensors, fast_mode=fast)
        except GradcheckError as error:
            checks.append(Check(*about, math.inf, note=str(error).strip().splitlines()[0]))
        else:
            checks.append(Check(*about, 0.0))
    return checks


def can_check_gradients(sample: Sample) -> bool:
    """Whether finite differences say anything: of few finite numbers, none of which lies in two places."""
    inputs = sample.tensors.values()
    few = sum(t.numel() for t in inputs) <= GRADCHECK_ELEMENTS and sample.tensors[sample.differentiable[0]].numel() > 0
    return few and sample.layout != "expanded" and all(t.isfinite().all() for t in inputs)


def _distance(got: Tensor, true: Tensor) -> float:
    """The largest absolute difference; equal non-finite values do not differ, others differ without bound."""
    got = got.double().cpu()
    difference = torch.where((got == true) | (got.isnan() & true.isnan()), 0.0, (got - true).abs())
    if difference.numel() == 0:
        return 0.0
    return difference.nan_to_num(nan=math.inf).max().item()


def _raise_if_wrong(checks: Iterable[Check]) -> None:
    if wrong := [str(c) for c in checks if not c.passed]:
        raise AssertionError("\n".join(wrong))


def assert_matches_reference(
    sample: Sample,
    backend: str | ModuleType,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    order: int = 2,
    route: str = "eager",
) -> None:
    """Raises AssertionError naming every output of the sample that is further from the reference than allowed."""
    _raise_if_wrong(check(sample, backend, dtype, device, order, route))


@dataclass(frozen=True)
class Run:
    """What `verify` runs samples of an op with."""

    op: str
    backend: str | ModuleType
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


def plan_against(op_names: Sequence[str], module: ModuleType, device: str) -> tuple[list[Run], list[str]]:
    """As `plan`, of another implementation."""
    there = [op for op in op_names if hasattr(module, op)]
    runs = [Run(op, module, dtype, device) for op, dtype in itertools.product(there, backends.FLOATS)]
    return runs, [f"{op} on {module.__name__}: it has no function of the name" for op in op_names if op not in there]


def judges(sample: Sample, dtype: torch.dtype) -> bool:
    """Whether a sample can be judged in a dtype."""
    return sample.half or dtype in FULL_PRECISION


def verify(sample: Sample, run: Run) -> Iterator[Check]:
    """Both orders on the eager route; in float32 on the registered one too, and twice; in float64 finite differences.

    A call that raises is a check that failed; a module that raises NotImplementedError declines it, and nothing is
    checked.
    """
    ours = not isinstance(run.backend, ModuleType)
    if not judges(sample, run.dtype):
        return
    try:
        yield from check(sample, run.backend, run.dtype, run.device)
        if run.dtype == torch.float32:
            if ours:
                yield from check(sample, run.backend, run.dtype, run.device, route="registered")
            yield from check_equal_bits(sample, run.backend, run.dtype, run.device)
        if run.dtype == torch.float64 and can_check_gradients(sample):
            yield from check_gradients(sample, run.backend, run.device)
    except Exception as error:  # whatever an implementation raises
        if ours or not isinstance(error, NotImplementedError):
            note = f"{type(error).__name__}: {error}"
            yield Check(sample, run.backend, run.dtype, ORDERS[0], "call", math.inf, note=note)


def assert_verified(sample: Sample, run: Run) -> None:
    """Raises AssertionError naming everything that `verify` finds wrong."""
    _raise_if_wrong(verify(sample, run))
