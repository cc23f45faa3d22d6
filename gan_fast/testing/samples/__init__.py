"""The calls that every op is tested with: one file an op, found by the op's name.

A file has `samples()`: every option, layout and odd size, the same at every run; and, where the op has no kernel of its
own, `PARTS`: the ops with kernels that it is made of.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from gan_fast.testing.sample import Sample

OPS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def _module(op: str) -> ModuleType:
    if op not in OPS:
        raise ValueError(f"op: got {op!r}, takes {', '.join(OPS)}")
    return importlib.import_module(f"{__name__}.{op}")


@functools.cache
def samples(op: str) -> tuple[Sample, ...]:
    """The calls that an op is tested with."""
    return tuple(_module(op).samples())


def parts_of(op: str) -> tuple[str, ...]:
    """The ops with kernels behind an op: itself, or those that it is made of."""
    return getattr(_module(op), "PARTS", (op,))
