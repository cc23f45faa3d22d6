"""Makes a failing sample as small as it fails, and a program of it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import torch
from torch import Tensor

from gan_fast.testing.contract import Run, evaluate, verify
from gan_fast.testing.sample import Sample, randn

LITERAL = 256  # elements that are printed as they are


def failures(sample: Sample, run: Run) -> set[str]:
    """The outputs that `verify` finds wrong; none of a call that the reference does not take."""
    try:
        evaluate(sample, "reference", torch.float64, order=sample.order)
    except (ValueError, TypeError, RuntimeError):
        return set()
    return {check.output for check in verify(sample, run) if not check.passed}


def shrink(sample: Sample, run: Run, seconds: float = 10) -> Sample:
    """A sample that fails in the same way and from which nothing can be left out: greedily, for about so long."""
    deadline = time.monotonic() + seconds
    wrong = failures(sample, run)
    tried = iter(_smaller(sample))
    while time.monotonic() < deadline and (candidate := next(tried, None)) is not None:
        if wrong & failures(candidate, run):
            sample = candidate
            tried = iter(_smaller(sample))
    return sample


def _smaller(sample: Sample) -> Iterator[Sample]:
    """Without an argument, in the plain layout, of smaller sizes, with smaller settings, of fewer digits."""
    for name in list(sample.tensors)[1:]:
        yield _with_tensors(sample, {k: t for k, t in sample.tensors.items() if k != name})
    for name in sample.settings:
        yield replace(sample, settings={k: v for k, v in sample.settings.items() if k != name})
    if sample.layout != "contiguous":
        yield replace(sample, layout="contiguous")
    sides = [(name, i, n) for name, t in sample.tensors.items() for i, n in enumerate(t.shape) if n > 1]
    for size in sorted({n for *_, n in sides}, reverse=True):
        equal = [(name, i) for name, i, n in sides if n == size]
        dimensions = [[(k, i) for k, i in equal if i == dimension] for dimension in {i for _, i in equal}]
        for cut, to in itertools.product([equal, *dimensions, *([side] for side in equal)], {1, size // 2, size - 1}):
            yield _with_tensors(
                sample, {k: _cut(t, {i: to for name, i in cut if name == k}) for k, t in sample.tensors.items()}
            )
    for key, value in sample.settings.items():
        if isinstance(value, list):
            for i, n in enumerate(value):
                for smaller in {0, 1, n // 2} if abs(n) > 1 else ():
                    yield replace(sample, settings=sample.settings | {key: [*value[:i], smaller, *value[i + 1 :]]})
    for name, t in sample.tensors.items():
        if t.is_floating_point() and (rounded := t.round(decimals=1)).nan_to_num().ne(t.nan_to_num()).any():
            yield _with_tensors(sample, sample.tensors | {name: rounded})


def _cut(t: Tensor, sizes: dict[int, int]) -> Tensor:
    return t[tuple(slice(sizes.get(i)) for i in range(t.ndim))]


def _with_tensors(sample: Sample, tensors: dict[str, Tensor]) -> Sample:
    wanted = tuple(name for name in sample.differentiable if name in tensors)
    return replace(sample, tensors=tensors, differentiable=wanted)


def snippet(sample: Sample, run: Run) -> str:
    """A program that raises AssertionError as long as the sample fails."""
    values = {name: _literal(t) for name, t in sample.tensors.items()}
    for i, (name, t) in enumerate(sample.tensors.items()):
        if t.numel() > LITERAL and t.is_floating_point():  # any numbers will do, or they are told after all
            other = _with_tensors(sample, sample.tensors | {name: randn(i, *t.shape)})
            if failures(sample, run) & failures(other, run):
                sample, values[name] = other, f"testing.randn({', '.join(map(str, (i, *t.shape)))})"
    given = {name: t.detach() for name, t in sample.inputs(run.dtype, "cpu").items()}
    backend = run.backend
    lines = [f"# {run.op}, sample {sample.name}, {run.dtype}; what the call is given:"]
    lines += [f"#   {name}: {tuple(t.shape)}, strides {t.stride()}, {t.dtype}" for name, t in given.items()]
    if run.backend == "triton" and os.environ.get("TRITON_INTERPRET") == "1":
        lines += ["import os", "", 'os.environ["TRITON_INTERPRET"] = "1"']
    lines += ["from math import inf, nan", "", "import torch", "", "from gan_fast import testing", ""]
    if isinstance(backend, ModuleType):
        lines.append(f"backend = testing.load({backend.__spec__.origin if backend.__file__ else backend.__name__!r})")
    else:
        lines.append(f"backend = {backend!r}")
    lines += [f"{name} = {value}" for name, value in values.items()]
    tensors = ", ".join(f"{name!r}: {name}" for name in sample.tensors)
    lines += [
        "sample = testing.Sample(",
        f"    {sample.op!r}, {sample.name!r}, {{{tensors}}},",
        f"    settings={sample.settings!r}, layout={sample.layout!r}, differentiable={sample.differentiable!r},",
        f"    reductions={sample.reductions!r}, order={sample.order},",
        ")",
        f"run = testing.Run({run.op!r}, backend, {run.dtype}, {run.device!r})",
        "testing.assert_verified(sample, run)",
    ]
    return "\n".join(lines) + "\n"


def _literal(t: Tensor) -> str:
    return f"torch.tensor({t.flatten().tolist()}, dtype={t.dtype}).reshape({list(t.shape)})"
