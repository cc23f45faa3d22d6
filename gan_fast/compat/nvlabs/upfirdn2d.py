"""`torch_utils.ops.upfirdn2d`. A pair as padding is (x, y), each on both sides; a 1-D filter runs along both axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_fast import ops
from gan_fast.compat.arguments import backend_of, number
from gan_fast.ops.upfirdn2d import Ints, filter_size, parse_padding
from gan_fast.ops.upfirdn2d import scaling as parse_scaling


def setup_filter(
    f: Tensor | Sequence[float] | float | None,
    device: torch.device | str = torch.device("cpu"),  # noqa: B008
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
) -> Tensor:
    """`gan_fast.ops.setup_filter`."""
    return ops.setup_filter(f, device, normalize, flip_filter, number(gain), separable)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Ints = 1,
    down: Ints = 1,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str = "cuda",
) -> Tensor:
    """`gan_fast.ops.upfirdn2d`."""
    return ops.upfirdn2d(x, f, up, down, padding, flip_filter, number(gain), backend=backend_of(impl))


def filter2d(
    x: Tensor, f: Tensor | None, padding: Ints = 0, flip_filter: bool = False, gain: float = 1, impl: str = "cuda"
) -> Tensor:
    """`gan_fast.ops.filter2d`."""
    return ops.filter2d(x, f, padding, flip_filter, number(gain), backend=backend_of(impl))


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str = "cuda",
) -> Tensor:
    """`gan_fast.ops.upsample2d`."""
    return ops.upsample2d(x, f, up, padding, flip_filter, number(gain), backend=backend_of(impl))


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
    impl: str = "cuda",
) -> Tensor:
    """`gan_fast.ops.downsample2d`."""
    return ops.downsample2d(x, f, down, padding, flip_filter, number(gain), backend=backend_of(impl))


# private there, and imported by others all the same
def _parse_scaling(scaling: Ints) -> tuple[int, int]:
    return parse_scaling("scaling", scaling)


def _parse_padding(padding: Ints) -> tuple[int, int, int, int]:
    return parse_padding(padding)


def _get_filter_size(f: Tensor | None) -> tuple[int, int]:
    return filter_size(f)


def _upfirdn2d_ref(
    x: Tensor,
    f: Tensor | None,
    up: Ints = 1,
    down: Ints = 1,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    return upfirdn2d(x, f, up, down, padding, flip_filter, gain, impl="ref")


def _init() -> bool:
    """Nothing has to be compiled."""
    return True
