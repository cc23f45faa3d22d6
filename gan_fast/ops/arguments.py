"""Checks of arguments that ops share: each error names the argument, what it got and what it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_fast.ops.backends import FLOATS


def check_tensor(name: str, x: object, ndim: int | None = None) -> None:
    """A floating-point tensor, of `ndim` dimensions if given."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: got {type(x).__name__}, takes a torch.Tensor")
    if x.dtype not in FLOATS:
        raise TypeError(f"{name}: got {x.dtype}, takes float32, float64, float16 or bfloat16")
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{name}: got {x.ndim} dimensions {tuple(x.shape)}, takes {ndim}")


def check_scalar(name: str, x: object) -> None:
    """A floating-point tensor of one element."""
    check_tensor(name, x)
    if x.numel() != 1:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, takes one number")


def check_same_device(name: str, t: Tensor, x: Tensor) -> None:
    if t.device != x.device:
        raise ValueError(f"{name}: is on {t.device}, takes a tensor on x's device {x.device}")


def check_labels(name: str, labels: object, x: Tensor) -> None:
    """An integer for each sample of x."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name}: got {type(labels).__name__}, takes a torch.Tensor")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name}: got {labels.dtype}, takes integers")
    if labels.shape != x.shape[:1]:
        raise ValueError(f"{name}: got shape {tuple(labels.shape)}, takes ({x.shape[0]},)")
    check_same_device(name, labels, x)


def check_seed(name: str, seed: object) -> None:
    """Seed and offset of a counter."""
    if not isinstance(seed, Tensor) or seed.dtype != torch.int64 or seed.shape != (2,):
        got = f"{seed.dtype} {tuple(seed.shape)}" if isinstance(seed, Tensor) else repr(seed)
        raise ValueError(f"{name}: got {got}, takes an int64 tensor of two elements, seed and offset")


def real(name: str, value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: got {value!r}, takes a number")
    if not math.isfinite(value):
        raise ValueError(f"{name}: got {value}, takes a finite number")
    return float(value)


def integers(name: str, value: object, lengths: Sequence[int], minimum: int | None = None) -> list[int]:
    """An integer, or a sequence of them of one of the given lengths; returns a list."""
    if type(value) is int:
        items = [value]
    elif isinstance(value, (list, tuple)) and all(type(i) is int for i in value):
        items = list(value)
    else:
        raise TypeError(f"{name}: got {value!r}, takes {_counts(lengths)}")
    if len(items) not in lengths:
        raise ValueError(f"{name}: got {value!r}, takes {_counts(lengths)}")
    if minimum is not None and min(items, default=minimum) < minimum:
        raise ValueError(f"{name}: got {value!r}, takes integers from {minimum}")
    return items


def _counts(lengths: Sequence[int]) -> str:
    several = " or ".join(str(n) for n in lengths if n > 1)
    return f"an integer or {several} of them" if several else "an integer"
