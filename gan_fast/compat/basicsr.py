"""`basicsr.ops` of BasicSR, GFPGAN and CodeFormer: the same as `gan_fast.compat.rosinality_old`."""

from gan_fast.compat.rosinality_old import FusedLeakyReLU, fused_leaky_relu, upfirdn2d, upfirdn2d_native

__all__ = ["FusedLeakyReLU", "fused_leaky_relu", "upfirdn2d", "upfirdn2d_native"]
