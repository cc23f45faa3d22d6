"""`torch_utils.ops.grid_sample_gradfix`."""

from torch import Tensor

from gan_fast import ops

enabled = False  # scripts assign it; the gradients below are differentiable either way


def grid_sample(input: Tensor, grid: Tensor) -> Tensor:
    """`gan_fast.ops.grid_sample`: bilinear, zeros outside, align_corners=False."""
    return ops.grid_sample(input, grid)
