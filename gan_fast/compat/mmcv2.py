"""`mmcv.ops` of mmcv 2: nvlabs' meanings; a pair as padding is (x, y), each on both sides.

use_custom_op=False is the reference. Of some callables another revision names parameters as nvlabs does (f, impl):
those keywords are taken too. Not copied: what `gan_fast.compat.nvlabs` lists.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from gan_fast.compat import nvlabs
from gan_fast.compat.conv2d_gradfix import conv2d, conv_transpose2d
from gan_fast.compat.mmcv1 import FusedBiasLeakyReLU, fused_bias_leakyrelu
from gan_fast.compat.nvlabs.upfirdn2d import setup_filter
from gan_fast.ops.upfirdn2d import Ints

__all__ = [
    "FusedBiasLeakyReLU",
    "bias_act",
    "conv2d",
    "conv_transpose2d",
    "downsample2d",
    "filter2d",
    "filtered_lrelu",
    "fused_bias_leakyrelu",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]


def _impl(use_custom_op: bool) -> str:
    return "cuda" if use_custom_op else "ref"


def _in_both_revisions(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Takes the keywords of the other revision: f for filter, impl for use_custom_op."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        if "f" in kwargs:
            kwargs["filter"] = kwargs.pop("f")
        if "impl" in kwargs:
            kwargs["use_custom_op"] = kwargs.pop("impl") != "ref"
        return function(*args, **kwargs)

    return call


@_in_both_revisions
def upfirdn2d(
    input: Tensor,
    filter: Tensor | None,
    up: Ints = 1,
    down: Ints = 1,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    use_custom_op: bool = True,
) -> Tensor:
    """`gan_fast.ops.upfirdn2d`."""
    return nvlabs.upfirdn2d.upfirdn2d(input, filter, up, down, padding, flip_filter, gain, _impl(use_custom_op))


@_in_both_revisions
def filter2d(
    input: Tensor,
    filter: Tensor | None,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    use_custom_op: bool = True,
) -> Tensor:
    """`gan_fast.ops.filter2d`."""
    return nvlabs.upfirdn2d.filter2d(input, filter, padding, flip_filter, gain, _impl(use_custom_op))


@_in_both_revisions
def upsample2d(
    input: Tensor,
    filter: Tensor | None,
    up: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    use_custom_op: bool = True,
) -> Tensor:
    """`gan_fast.ops.upsample2d`."""
    return nvlabs.upfirdn2d.upsample2d(input, filter, up, padding, flip_filter, gain, _impl(use_custom_op))


@_in_both_revisions
def downsample2d(
    input: Tensor,
    filter: Tensor | None,
    down: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    use_custom_op: bool = True,
) -> Tensor:
    """`gan_fast.ops.downsample2d`."""
    return nvlabs.upfirdn2d.downsample2d(input, filter, down, padding, flip_filter, gain, _impl(use_custom_op))


@_in_both_revisions
def bias_act(
    input: Tensor,
    bias: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    use_custom_op: bool = True,
) -> Tensor:
    """`gan_fast.ops.bias_act`."""
    return nvlabs.bias_act.bias_act(input, bias, dim, act, alpha, gain, clamp, _impl(use_custom_op))


@_in_both_revisions
def filtered_lrelu(
    input: Tensor,
    filter_up: Tensor | None = None,
    filter_down: Tensor | None = None,
    bias: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
    use_custom_op: bool = True,
) -> Tensor:
    """`gan_fast.ops.filtered_lrelu`."""
    geometry, settings = (up, down, padding), (gain, slope, clamp, flip_filter)
    filters = (filter_up, filter_down, bias)
    return nvlabs.filtered_lrelu.filtered_lrelu(input, *filters, *geometry, *settings, _impl(use_custom_op))
