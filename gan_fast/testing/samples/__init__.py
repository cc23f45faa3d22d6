"""The calls that every op is tested with: one file an op, found by the op's name.

A file has `samples()`: every option, layout and odd size, the same at every run; `drawn(draw)`: one call anywhere in
the op's argument space; and, where the op has no kernel of its own, `PARTS`: the ops with kernels that it is made of.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import pkgutil
import random
from dataclasses import replace
from types import ModuleType

from gan_fast.testing.sample import Draw, NoSample, Sample

OPS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def _module(op: str) -> ModuleType:
    if op not in OPS:
        raise ValueError(f"op: got {op!r}, takes {', '.join(OPS)}")
    return importlib.import_module(f"{__name__}.{op}")


@functools.cache
def samples(op: str) -> tuple[Sample, ...]:
    """The calls that an op is tested with."""
    return tuple(_module(op).samples())


def draw(op: str, seed: int | random.Random) -> Sample:
    """A call drawn from the op's whole argument space: the same for the same seed."""
    generator = random.Random(seed) if isinstance(seed, int) else seed
    for _ in range(100):
        with contextlib.suppress(NoSample):
            sample = _module(op).drawn(Draw(generator))
            return replace(sample, name=f"drawn-{seed}") if isinstance(seed, int) else sample
    raise NoSample(f"{op}: seed {seed}")


def parts_of(op: str) -> tuple[str, ...]:
    """The ops with kernels behind an op: itself, or those that it is made of."""
    return getattr(_module(op), "PARTS", (op,))
