"""`modulated_conv2d` of `training.networks_stylegan3` (stylegan3)."""

from __future__ import annotations

from torch import Tensor

from gan_fast import ops
from gan_fast.ops.upfirdn2d import Ints


def modulated_conv2d(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    demodulate: bool = True,
    padding: Ints = 0,
    input_gain: Tensor | None = None,
) -> Tensor:
    """`gan_fast.ops.modulated_conv2d`, where demodulation starts from weights and styles of unit second moment.

    The means are over a weight's [I, kh, kw] and over all of s [N, I]. input_gain scales x after demodulation, which
    does not see it: anything that broadcasts to [N, I].
    """
    if demodulate:
        w = w * w.square().mean([1, 2, 3], keepdim=True).rsqrt()
        s = s * s.square().mean().rsqrt()
    if input_gain is not None:
        x = x * input_gain.expand(s.shape).to(x.dtype)[:, :, None, None]
    return ops.modulated_conv2d(x, w, s, padding=padding, demodulate=demodulate)
