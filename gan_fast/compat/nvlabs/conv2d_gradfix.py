"""`torch_utils.ops.conv2d_gradfix`: convolutions whose gradients are differentiable, and can be had without weights'.

`enabled` may be assigned and changes nothing. `weight_gradients_disabled` may be read and assigned: it is the calling
thread's, and counts where a backward pass is run, on whatever device; code that torch.compile has compiled ignores it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast import ops

Ints = int | tuple[int, ...]
enabled = False
# the state of a thread that autograd hands on to the threads in which it runs a backward pass
_KEY = "gan_fast.weight_gradients_disabled"


def _disabled() -> bool:
    return torch._C._is_key_in_tls(_KEY) and torch._C._get_obj_in_tls(_KEY)


class Gradfix(ModuleType):
    """A module with the switch `weight_gradients_disabled`."""

    @property
    def weight_gradients_disabled(self) -> bool:
        return _disabled()

    @weight_gradients_disabled.setter
    def weight_gradients_disabled(self, value: bool) -> None:
        torch._C._stash_obj_in_tls(_KEY, bool(value))


sys.modules[__name__].__class__ = Gradfix


@contextlib.contextmanager
def no_weight_gradients(disable: bool = True) -> Iterator[None]:
    """Backward passes within the block give the weights of convolutions no gradient.

    What `torch.autograd.grad` is not asked for is not computed anyway, so that gradient penalties gain nothing here.
    """
    before = _disabled()
    torch._C._stash_obj_in_tls(_KEY, before or disable)
    try:
        yield
    finally:
        torch._C._stash_obj_in_tls(_KEY, before)


class _Gate(torch.autograd.Function):
    """A weight, whose gradient passes unless it is disabled."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        return w.view_as(w)

    @staticmethod
    def backward(ctx: Any, dw: Tensor) -> Tensor | None:
        return None if _disabled() else dw


def _gated(w: Tensor) -> Tensor:
    return _Gate.apply(w) if w.requires_grad and not torch.compiler.is_compiling() else w


def _single(value: Ints) -> int | None:
    """An integer that stands for both axes, if the two are equal."""
    if isinstance(value, int):
        return value
    return value[0] if len(set(value)) == 1 else None


def _biased(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.to(y.dtype)[:, None, None]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """`gan_fast.ops.conv2d` and a bias; dilated ones, and those with two strides, are PyTorch's own."""
    weight = _gated(weight)
    if _single(dilation) != 1 or _single(stride) is None:
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    return _biased(ops.conv2d(input, weight, _single(stride), padding, groups), bias)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """`gan_fast.ops.conv_transpose2d` and a bias; dilated ones, and those with two strides, are PyTorch's own."""
    weight = _gated(weight)
    if _single(dilation) != 1 or _single(stride) is None:
        return F.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _biased(ops.conv_transpose2d(input, weight, _single(stride), padding, output_padding, groups), bias)
