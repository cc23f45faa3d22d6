"""`torch_utils.ops.filtered_lrelu`."""

from __future__ import annotations

import math

from torch import Tensor

from gan_fast import ops
from gan_fast.compat.arguments import backend_of, number
from gan_fast.ops.upfirdn2d import Ints


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
    impl: str = "cuda",
) -> Tensor:
    """`gan_fast.ops.filtered_lrelu`."""
    settings = (number(gain), number(slope), number(clamp), flip_filter)
    return ops.filtered_lrelu(x, fu, fd, b, up, down, padding, *settings, backend=backend_of(impl))


def _init() -> bool:
    """Nothing has to be compiled."""
    return True
