"""`op.conv2d_gradfix` of rosinality and its like: that of nvlabs, but `enabled` starts as True."""

import sys

from gan_fast.compat.nvlabs.conv2d_gradfix import Gradfix, conv2d, conv_transpose2d, no_weight_gradients

__all__ = ["conv2d", "conv_transpose2d", "enabled", "no_weight_gradients"]

enabled = True
sys.modules[__name__].__class__ = Gradfix
