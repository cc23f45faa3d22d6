"""The ops: every public function here runs on every backend that `gan-fast doctor` lists."""

from gan_fast.ops.backends import explain, use_backend
from gan_fast.ops.bias_act import bias_act
from gan_fast.ops.conv2d import conv2d, conv_transpose2d
from gan_fast.ops.conv2d_resample import conv2d_resample
from gan_fast.ops.filtered_lrelu import filtered_lrelu
from gan_fast.ops.gradient_penalty import (
    dragan,
    finite_difference_r1,
    path_length,
    path_length_penalty,
    r1,
    r2,
    wgan_gp,
    zero_centred_gp,
)
from gan_fast.ops.grid_sample import affine_warp, grid_sample
from gan_fast.ops.interpolate import interpolate
from gan_fast.ops.minibatch_stddev import minibatch_stddev
from gan_fast.ops.modulate import modulate
from gan_fast.ops.modulated_conv2d import modulated_conv2d
from gan_fast.ops.noise import noise
from gan_fast.ops.primitive import explain_call
from gan_fast.ops.square_sum import square_sum
from gan_fast.ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "affine_warp",
    "bias_act",
    "conv2d",
    "conv2d_resample",
    "conv_transpose2d",
    "downsample2d",
    "dragan",
    "explain",
    "explain_call",
    "filter2d",
    "filtered_lrelu",
    "finite_difference_r1",
    "grid_sample",
    "interpolate",
    "minibatch_stddev",
    "modulate",
    "modulated_conv2d",
    "noise",
    "path_length",
    "path_length_penalty",
    "r1",
    "r2",
    "setup_filter",
    "square_sum",
    "upfirdn2d",
    "upsample2d",
    "use_backend",
    "wgan_gp",
    "zero_centred_gp",
]
