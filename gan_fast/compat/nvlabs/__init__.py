"""The `torch_utils.ops` of stylegan2-ada-pytorch, stylegan3 and what grew from them: one module for each of theirs.

Everywhere `impl="cuda"` means what gan_fast chooses, on a CPU too, and `impl="ref"` the reference.

Not copied from the originals:
- Compiling when first called, locks that a killed compilation leaves behind, and wrong results without a word where a
  plugin could not be built.
- A bias of another dtype than x is an error on one device and promotes y on the other: here it is cast to x's.
- A clamp that turns NaN into a number on one device only: NaN stays NaN.
- `conv2d_gradfix.enabled` and `grid_sample_gradfix.enabled`: both ops are always twice differentiable here.
- `no_weight_gradients` that stays in force after an exception, and that reaches into other threads.
- Filters that must be float32: any floating dtype will do.
- `modulated_conv2d` adding the noise to a tensor in place.
"""

from gan_fast.compat.nvlabs import (
    bias_act,
    conv2d_gradfix,
    conv2d_resample,
    filtered_lrelu,
    fma,
    grid_sample_gradfix,
    upfirdn2d,
)

__all__ = [
    "bias_act",
    "conv2d_gradfix",
    "conv2d_resample",
    "filtered_lrelu",
    "fma",
    "grid_sample_gradfix",
    "upfirdn2d",
]
