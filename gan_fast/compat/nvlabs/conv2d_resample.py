"""`torch_utils.ops.conv2d_resample`."""

from __future__ import annotations

from torch import Tensor

from gan_fast import ops
from gan_fast.ops.upfirdn2d import Ints


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """`gan_fast.ops.conv2d_resample`: padding counts on the upsampled grid."""
    return ops.conv2d_resample(x, w, f, up, down, padding, groups, flip_weight, flip_filter)
