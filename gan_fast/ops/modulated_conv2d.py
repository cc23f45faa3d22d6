"""Modulated and demodulated convolution with noise, bias and activation: the layer of StyleGAN2's generator."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments, autotune
from gan_fast.ops.backends import autocast, candidates, has_kernel, outside_autocast
from gan_fast.ops.bias_act import NO_CLAMP, reads_output, settings_of
from gan_fast.ops.conv2d import Geometry, convolve
from gan_fast.ops.conv2d_resample import convolve_resampled
from gan_fast.ops.modulate import gradients, modulate, operands_of
from gan_fast.ops.primitive import Primitive, computed_dtype, wanted_of
from gan_fast.ops.upfirdn2d import Ints, memory_format_of, parse_padding


@outside_autocast
def demodulation(w: Tensor, s: Tensor, eps: float = 1e-8) -> Tensor:
    """Demodulation coefficients d[n, o] = 1 / sqrt(sum over i of s[n, i]^2 sum over taps of w[o, i, taps]^2 + eps).

    w: [O, I, kh, kw]. s: [N, I]. Returns [N, O], in float32 or higher. One matrix product of [N, I] by [I, O]: the
    per-sample weights [N, O, I, kh, kw] are never formed. Source: StyleGAN2, equation 3.
    """
    dtype = computed_dtype(torch.promote_types(w.dtype, s.dtype))
    squares = w.to(dtype).square().sum([2, 3])
    return (s.to(dtype).square() @ squares.t() + eps).rsqrt()


# The fused kernels' family. With q = conv(w, s x + s2 x2), whose second term only the derivatives below have,
#   y = clamp(act(d q + strength noise + b) gain)                              modulated_conv2d
# and with g the cotangent of d q, from y as `modulate` has it,
#   dx = s conv*(w, g),  ds = (sum over pixels of x conv*(w, g))               modulated_conv2d_input_grad
#   dw = corr(s x + s2 x2, g)                                                  modulated_conv2d_weight_grad
# With the cotangents v of dx and r of ds, conv*(w, g) has the cotangent s v + r x:
#   dg = conv(w, s v + r x),  dw = corr(s v + r x, g)
#   d2x = r conv*(w, g),  d2s = (sum over pixels of v conv*(w, g))             modulated_conv2d_input_grad with r and v
# and with u that of dw,  dx and ds are modulated_conv2d_input_grad with w = u, and dg = conv(u, s x).
# A convolution lies by up, down, padding [x0, x1, y0, y1] on the upsampled grid; flip: w is turned by 180 degrees.
_GEOMETRY = "int up, int down, int[] padding, bool flip"
_PLAIN = ("linear", 0.0, 1.0, NO_CLAMP)


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _empty(n: int, c: int, size: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty((n, c, *size), dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _output_size(x: Tensor, w: Tensor, up: int, down: int, padding: Sequence[int]) -> list[int]:
    x0, x1, y0, y1 = padding
    sides = zip(x.shape[2:], (y0 + y1, x0 + x1), w.shape[2:], strict=True)
    size = [(n * up + pad - k) // down + 1 for n, pad, k in sides]
    if min(size) < 1:
        raise ValueError(f"x: got {tuple(x.shape)}, with its padding smaller than w of shape {tuple(w.shape)}")
    return size


def _allocate(
    x: Tensor, s: Tensor | None, x2: Tensor | None, s2: Tensor | None, w: Tensor, d: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    """y, and what stands for d q in the graph, as in `modulate`."""
    y = _empty(x.shape[0], w.shape[0], _output_size(x, w, *rest[3:6]), x)
    return y, y.new_empty(0) if d is None else y.new_zeros([]).expand(y.shape)


def _setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    x, s, x2, _, w, d, noise, strength, b, *settings, ctx.precision, ctx.backend = inputs
    ctx.geometry, ctx.settings = tuple(settings[:4]), tuple(settings[4:])
    ctx.is_tangent = x2 is not None
    ctx.noise_grad = noise is not None and ctx.needs_input_grad[6]
    y, stand_in = output
    kept_y = y if ctx.settings != _PLAIN or d is not None else None
    ctx.save_for_backward(x, s, w, d, noise, strength, b, kept_y, stand_in if d is not None else None)


def _backward(ctx: Any, dy: Tensor | None, dz: Tensor | None) -> tuple:
    """dz: what second derivatives of dd bring to d q."""
    if ctx.is_tangent:
        raise RuntimeError("modulated_conv2d has no third gradient here: use backend='reference'")
    x, s, w, d, *operands, y, stand_in = ctx.saved_tensors
    x_grad, s_grad, w_grad, *wanted = wanted_of(ctx, x, s, w, d, *operands)
    g = None if d is None else dz
    rest: list[Tensor | None] = [None] * 4
    if dy is not None:
        z = stand_in if wanted[0] else None
        settings = (ctx.noise_grad, ctx.settings, True, ctx.backend)
        along, *rest = gradients(_dense(dy), z, y, [d, *operands], [True, *wanted], *settings)
        g = along if g is None else g + along
    dx = ds = dw = None
    launch = (*ctx.geometry, ctx.precision, ctx.backend)
    if g is not None and (x_grad or s_grad):
        dx, ds = _input_grad(_dense(g), w, s, x if s_grad else None, list(x.shape[2:]), *launch)
    if g is not None and w_grad:
        dw = _weight_grad(x, s, None, None, _dense(g), list(w.shape[2:]), *launch).to(w.dtype)
    return dx, ds if s_grad else None, None, None, dw, *rest, *[None] * 9


def _allocate_input_grad(
    g: Tensor, w: Tensor, s: Tensor | None, x: Tensor | None, size: Sequence[int], *rest: Any
) -> tuple[Tensor, Tensor]:
    dx = _empty(g.shape[0], w.shape[1], size, g)
    return dx, g.new_empty(0 if x is None else dx.shape[:2], dtype=computed_dtype(g.dtype))


def _input_grad_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    g, w, s, x, ctx.size, *ctx.launch = inputs
    ctx.save_for_backward(g, w, s, x)


def _input_grad_backward(ctx: Any, v: Tensor | None, r: Tensor | None) -> tuple:
    g, w, s, x = ctx.saved_tensors
    g_grad, w_grad, s_grad, x_grad = wanted_of(ctx, g, w, s, x)
    terms = [] if v is None else [_dense(v), s]
    if x is not None and r is not None:
        terms += [x, r.contiguous()]
    if not terms:
        return (None,) * 10
    pair = (*terms, None, None)[:4]
    dg = dw = ds = dx = None
    if g_grad:
        *geometry, precision, backend = ctx.launch
        dg, _ = _modulated_conv2d(*pair, w, None, None, None, None, *geometry, *_PLAIN, precision, backend)
    if w_grad:
        dw = _weight_grad(*pair, g, list(w.shape[2:]), *ctx.launch).to(w.dtype)
    s_grad, x_grad = s_grad and v is not None, x_grad and r is not None
    if s_grad or x_grad:
        dx, ds = _input_grad(g, w, r if x_grad else None, pair[0] if s_grad else None, ctx.size, *ctx.launch)
    return dg, dw, ds if s_grad else None, dx if x_grad else None, *[None] * 6


def _weight_grad_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, s, x2, _, g, _, *ctx.launch = inputs
    ctx.is_tangent = x2 is not None
    ctx.save_for_backward(x, s, g)


def _weight_grad_backward(ctx: Any, u: Tensor) -> tuple:
    if ctx.is_tangent:
        raise RuntimeError("modulated_conv2d has no third gradient here: use backend='reference'")
    x, s, g = ctx.saved_tensors
    x_grad, s_grad, g_grad = wanted_of(ctx, x, s, g)
    dx = ds = dg = None
    if x_grad or s_grad:
        dx, ds = _input_grad(g, u, s, x if s_grad else None, list(x.shape[2:]), *ctx.launch)
    if g_grad:
        *geometry, precision, backend = ctx.launch
        dg, _ = _modulated_conv2d(x, s, None, None, u, *[None] * 4, *geometry, *_PLAIN, precision, backend)
    return dx, ds if s_grad else None, None, None, dg, *[None] * 6


_modulated_conv2d = Primitive(
    "modulated_conv2d",
    "modulated_conv2d(Tensor x, Tensor? s, Tensor? x2, Tensor? s2, Tensor w, Tensor? d, Tensor? noise, "
    f"Tensor? strength, Tensor? b, {_GEOMETRY}, str act, float alpha, float gain, float clamp, str precision)"
    " -> (Tensor, Tensor)",
    _allocate,
    _setup,
    _backward,
)
_input_grad = Primitive(
    "modulated_conv2d",
    f"modulated_conv2d_input_grad(Tensor g, Tensor w, Tensor? s, Tensor? x, int[] size, {_GEOMETRY}, str precision)"
    " -> (Tensor, Tensor)",
    _allocate_input_grad,
    _input_grad_setup,
    _input_grad_backward,
)
_weight_grad = Primitive(
    "modulated_conv2d",
    "modulated_conv2d_weight_grad(Tensor x, Tensor? s, Tensor? x2, Tensor? s2, Tensor g, int[] size, "
    f"{_GEOMETRY}, str precision) -> Tensor",
    lambda x, s, x2, s2, g, size, *rest: x.new_empty((g.shape[1], x.shape[1], *size), dtype=computed_dtype(x.dtype)),
    _weight_grad_setup,
    _weight_grad_backward,
)


def _precision() -> str:
    """Of float32 products on a GPU: that of PyTorch's convolutions, but with TF32 off three TF32 products in place of

    one IEEE product, which GPUs compute without matrix units.
    """
    return "tf32" if torch.backends.cudnn.allow_tf32 else "tf32x3"


def _fused(x: Tensor, w: Tensor, g: Geometry, s: Tensor | None, backend: str) -> Tensor:
    """`convolve` of s x by the fused kernels."""
    kh, kw = w.shape[2:]
    (py, px), (my, mx) = g.padding, g.output_padding
    up, down, padding = 1, g.stride, [px, px, py, py]
    if g.transposed:
        w, up, down = w.transpose(0, 1), g.stride, 1
        x0, y0 = kw - 1 - px, kh - 1 - py
        padding = [x0, x0 - up + 1 + mx, y0, y0 - up + 1 + my]
    geometry = (up, down, padding, g.transposed)
    y, _ = _modulated_conv2d(_dense(x), s, None, None, w, *[None] * 4, *geometry, *_PLAIN, _precision(), backend)
    return y.contiguous(memory_format=memory_format_of(x))


def _fused_layer(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    pad: tuple[int, int, int, int],
    flip: bool,
    settings: tuple,
    backend: str,
) -> Tensor:
    """The whole layer in one launch."""
    geometry = (1, 1, list(pad), flip)
    like = x.new_empty([]).expand(x.shape[0], w.shape[0], *_output_size(x, w, *geometry[:3]))
    operands = operands_of(like, d, noise, strength, b, backend)
    s = s.to(computed_dtype(x.dtype)).contiguous()
    tensors = (_dense(x), s, None, None, w, *operands)
    y, _ = _modulated_conv2d(*tensors, *geometry, *settings, _precision(), backend)
    return y.contiguous(memory_format=memory_format_of(x))


def _on(
    backend: str,
    x: Tensor,
    w: Tensor,
    s: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    f: Tensor | None,
    up: int,
    down: int,
    pad: tuple[int, int, int, int],
    flip_weight: bool,
    act: str,
    alpha: float | None,
    gain: float | None,
    clamp: float | None,
    settings: tuple[float, float, float],
) -> Tensor:
    """The layer on one backend: in one launch, or as a convolution, resampling and `modulate`."""
    fused = has_kernel("modulated_conv2d", backend)
    if fused and up == down == 1 and reads_output(act, *settings[:2]):
        return _fused_layer(x, w, s, d, noise, strength, b, pad, not flip_weight, (act, *settings), backend)
    if fused:
        conv = functools.partial(_fused, s=s.to(computed_dtype(x.dtype)), backend=backend)
    else:
        w, conv = w.to(x.dtype), functools.partial(convolve, s=s, backend=backend)
    z = convolve_resampled(x, w, f, up, down, pad, flip_weight, conv=conv, backend=backend)
    epilogue = {"noise": noise, "strength": strength, "b": b, "act": act, "alpha": alpha, "gain": gain, "clamp": clamp}
    return modulate(z, d, **epilogue, recover=True, backend=backend)  # d is not zero


def _fastest(names: Sequence[str], operands: tuple, arrangement: tuple) -> str:
    """The backend that takes a layer of this size in the least time, with its gradients if it has any."""
    x, w, *_ = operands
    train = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in operands)

    def call(backend: str) -> None:
        with torch.set_grad_enabled(train):
            again = [None if t is None else t.detach().requires_grad_(t.requires_grad) for t in operands]
            y = _on(backend, *again, *arrangement)
            if train:
                wanted = [t for t in again if t is not None and t.requires_grad]
                torch.autograd.grad(y, wanted, torch.ones_like(y))

    layout = "channels_last" if x.is_contiguous(memory_format=torch.channels_last) else "contiguous"
    key = (*autotune.bucket(x.shape), *w.shape, *arrangement[:2], str(x.dtype), layout, arrangement[4], train)
    key += (torch.backends.cudnn.allow_tf32,)
    calls = {name: functools.partial(call, name) for name in names}
    return autotune.fastest("modulated_conv2d", key, calls, x.device)


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
    input_gain: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Convolves each sample with weights scaled by its style, normalised, then adds noise and bias and activates.

        y[n, o] = clamp(act(d[n, o] * conv(s[n] * x[n], w)[o] + strength * noise[n] + b[o]) * gain)
        d[n, o] = input_gain / sqrt(sum over i, taps of (s[n, i] w[o, i, taps])^2 + eps)

    which equals convolving with the weights s[n, i] w[o, i] d[n, o], one set a sample, without ever forming them.
    Without demodulation d = input_gain.

    x: [N, I, H, W]. w: [O, I, kh, kw]. s: [N, I]. noise: anything that broadcasts to [N, 1, H', W'], or None. strength:
    of the noise, one number, 1 if None. up, down, padding, f, flip_weight: as in `conv2d_resample`. b, act, alpha,
    gain, clamp: as in `bias_act`. input_gain: one positive number, 1 if None, that scales x past demodulation, with no
    pass over it. w, s, noise, strength and b may have any floating dtype; d is computed in float32 or higher. In
    float16 with demodulation w and s are divided by their largest magnitudes first, which cancels in d and keeps the
    sums in range.

    Returns y: [N, O, H', W'], x's dtype, or that of torch.autocast where it is on. Differentiable twice in x, w, s,
    noise, strength and b on every backend. For the backward pass x and, of most activations, y are kept, and nothing
    else of their size: s x is computed again, and what the gradient of d needs is recovered from y, in half precision
    with fewer digits where a bias is many times the result of the convolution.

    Raises TypeError or ValueError that names the argument.

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), section 2.2, equations 1 to 3; float16 normalisation:
    StyleGAN2-ADA, Karras et al. 2020 (arXiv 2006.06676), appendix D; input_gain: StyleGAN3, Karras et al. 2021 (arXiv
    2106.12423), section 3.2.
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
    (x,) = autocast(x)
    if x.dtype == torch.float16 and demodulate:
        # constants to autograd: y does not depend on them
        largest_w = w.detach().abs().amax([1, 2, 3], keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
        largest_s = s.detach().abs().amax(1, keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)
        w = w / (largest_w * math.sqrt(w[0].numel()))
        s = s / largest_s
    pad, settings = parse_padding(padding), settings_of(act, alpha, gain, clamp, x.dtype)
    names = candidates("modulated_conv2d", x, backend)
    d = demodulation(w, s, eps) if demodulate else None
    if input_gain is not None:
        s, d = (s * input_gain, None) if d is None else (s, d * input_gain)
    operands = (x, w, s, d, noise, strength, b, f)
    arrangement = (up, down, pad, flip_weight, act, alpha, gain, clamp, settings)
    chosen = names[0] if len(names) == 1 else _fastest(names, operands, arrangement)
    return _on(chosen, *operands, *arrangement)
