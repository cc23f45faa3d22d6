"""Modulated and demodulated convolution with noise, bias and activation: the layer of StyleGAN2's generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import autocast_dtype, outside_autocast, resolve
from gan_fast.ops.conv2d_resample import convolve_resampled
from gan_fast.ops.modulate import modulate
from gan_fast.ops.upfirdn2d import Ints, parse_padding


@outside_autocast
def demodulation(w: Tensor, s: Tensor, eps: float = 1e-8) -> Tensor:
    """Demodulation coefficients d[n, o] = 1 / sqrt(sum over i of s[n, i]^2 sum over taps of w[o, i, taps]^2 + eps).

    w: [O, I, kh, kw]. s: [N, I]. Returns [N, O], in float32 or higher. One matrix product of [N, I] by [I, O]: the
    per-sample weights [N, O, I, kh, kw] are never formed. Source: StyleGAN2, equation 3.
    """
    dtype = torch.promote_types(torch.promote_types(w.dtype, s.dtype), torch.float32)
    squares = w.to(dtype).square().sum([2, 3])
    return (s.to(dtype).square() @ squares.t() + eps).rsqrt()


def modulated_conv2d(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    *,
    noise: Tensor | None = None,
    strength: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    f: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    b: Tensor | None = None,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    eps: float = 1e-8,
    backend: str | None = None,
) -> Tensor:
    """Convolves each sample with weights scaled by its style, normalised, then adds noise and bias and activates.

        y[n, o] = clamp(act(d[n, o] * conv(s[n] * x[n], w)[o] + strength * noise[n] + b[o]) * gain)
        d[n, o] = 1 / sqrt(sum over i, taps of (s[n, i] w[o, i, taps])^2 + eps), 1 without demodulation

    which equals convolving with the weights s[n, i] w[o, i] d[n, o], one set a sample, without ever forming them.

    x: [N, I, H, W]. w: [O, I, kh, kw]. s: [N, I]. noise: anything that broadcasts to [N, 1, H', W'], or None. strength:
    of the noise, one number, 1 if None. up, down, padding, f, flip_weight: as in `conv2d_resample`. b, act, alpha,
    gain, clamp: as in `bias_act`. w, s, noise, strength and b may have any floating dtype; d is computed in float32 or
    higher. In float16 with demodulation w and s are divided by their largest magnitudes first, which cancels in d and
    keeps the sums in range.

    Returns y: [N, O, H', W'], x's dtype, or that of torch.autocast where it is on. Differentiable twice in x, w, s,
    noise, strength and b on every backend. For the backward pass x and, of most activations, y are kept, and nothing
    else of their size: s x is computed again, and what the gradient of d needs is recovered from y.

    Raises TypeError or ValueError that names the argument.

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), section 2.2, equations 1 to 3; float16 normalisation:
    StyleGAN2-ADA, Karras et al. 2020 (arXiv 2006.06676), appendix D.
    """
    arguments.check_tensor("x", x, ndim=4)
    arguments.check_tensor("w", w, ndim=4)
    arguments.check_tensor("s", s, ndim=2)
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"w: got {tuple(w.shape)}, takes [O, {x.shape[1]}, kh, kw] for x of shape {tuple(x.shape)}")
    if s.shape != x.shape[:2]:
        raise ValueError(f"s: got {tuple(s.shape)}, takes {tuple(x.shape[:2])} for x of shape {tuple(x.shape)}")
    for name, t in (("w", w), ("s", s)):
        arguments.check_same_device(name, t, x)

    for name, value in (("up", up), ("down", down)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, takes an integer from 1")
    x = x.to(autocast_dtype(x))
    if x.dtype == torch.float16 and demodulate:
        # constants to autograd: y does not depend on them
        largest_w = w.detach().abs().amax([1, 2, 3], keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
        largest_s = s.detach().abs().amax(1, keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)
        w = w / (largest_w * math.sqrt(w[0].numel()))
        s = s / largest_s
    backend = resolve("modulated_conv2d", x, backend)
    z = convolve_resampled(
        x, w.to(x.dtype), f, up, down, parse_padding(padding), 1, flip_weight, flip_filter=False, backend=backend, s=s
    )
    return modulate(
        z,
        demodulation(w, s, eps) if demodulate else None,
        noise=noise,
        strength=strength,
        b=b,
        act=act,
        alpha=alpha,
        gain=gain,
        clamp=clamp,
        recover=True,  # d is not zero
        backend=backend,
    )
