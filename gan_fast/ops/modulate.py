"""Scale by a style, noise, bias, activation, gain and clamp in one pass: what surrounds a modulated convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import resolve
from gan_fast.ops.bias_act import (
    ACTIVATIONS,
    NO_CLAMP,
    bias_act,
    bias_of,
    clamped,
    noise_of,
    reads_output,
    settings_of,
    with_strides,
)
from gan_fast.ops.primitive import Primitive, computed_dtype, wanted_of
from gan_fast.ops.upfirdn2d import dense


def _of_channels(t: Tensor, x: Tensor) -> Tensor:
    """[N, C] or [C], such that it broadcasts to x."""
    return t.reshape(*t.shape, *[1] * (x.ndim - 2))


def _reference(
    x: Tensor,
    s: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
) -> Tensor:
    u = x if s is None else x * _of_channels(s, x)
    if noise is not None:
        u = u + (noise if strength is None else strength * noise)
    u = u if b is None else u + _of_channels(b, x)
    return clamped(ACTIVATIONS[act].function(u, alpha) * gain, clamp)


# Derivatives, of the activations that reads_output names. With u = s x + strength noise + b, the cotangent v of y, the
# mask m of the clamp and D = act'(u) gain m, which is read off y, let
#   h = v D
# and, of each sample and channel, let T0, T1 and T2 be the sums of h, h X and h noise over the pixels. Then
#   dx = s h                                                                   modulate_grad: dx and T in one pass
#   db = T0 summed over n,  dstrength = T2 summed,  dnoise = strength (h summed over channels)
#   ds = T1 with X = x; or, where x is not kept, (T1 - strength T2 - b T0) / s with X = u, as D u = m y
# With the cotangents w of dx and r of T,
#   dv = D (s w + r0 + r1 X + r2 noise)                                        modulate_tangent
#   ds = h w summed over the pixels,  dX = r1 h                                modulate_grad with s = r1 and X = w
# Where x is not kept, ds is a function of v and x all the same: its formula is differentiated in T alone, and T1 in v
# and x. For the latter `modulate` has a second output, which stands for x in the graph and takes no memory.
_SETTINGS = "str act, float alpha, float gain, float clamp, bool recover"


def _allocate(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_zeros([]).expand(x.shape) if rest[-1] else x.new_empty(0)


def _setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    x, s, noise, strength, b, *ctx.settings, ctx.recover, ctx.backend = inputs
    y, stand_in = output
    act, _, _, clamp = ctx.settings
    ctx.strides = y.stride()
    style_grad = s is not None and ctx.needs_input_grad[1]
    ctx.noise_grad = noise is not None and ctx.needs_input_grad[2]
    kept_x = None if not style_grad else stand_in if ctx.recover else x
    kept_y = y if act != "linear" or clamp >= 0 or (ctx.recover and style_grad) else None
    ctx.save_for_backward(kept_x, kept_y, s, noise, strength, b)


def _backward(ctx: Any, dy: Tensor | None, dx: Tensor | None) -> tuple:
    """dx: what second derivatives of ds bring."""
    dx = dx if ctx.recover else None
    grads: tuple = (None,) * 5
    if dy is not None:
        x, y, *operands = ctx.saved_tensors
        wanted = wanted_of(ctx, dy, *operands)  # dy for x, which is given but not always kept
        grads = gradients(with_strides(dy, ctx.strides), x, y, operands, wanted, ctx.noise_grad, *_settings_of(ctx))
    along, *rest = grads
    return along if dx is None else dx if along is None else dx + along, *rest, None, None, None, None, None


def _settings_of(ctx: Any) -> tuple:
    return ctx.settings, ctx.recover, ctx.backend


def gradients(
    dy: Tensor,
    x: Tensor | None,
    y: Tensor | None,
    operands: Sequence[Tensor | None],
    wanted: Sequence[bool],
    noise_grad: bool,
    settings: Sequence[Any],
    recover: bool,
    backend: str,
) -> tuple[Tensor | None, ...]:
    """The gradients of x, s, noise, strength and b that are wanted, differentiable again.

    operands: s, noise, strength and b. x: what is kept of it, None unless that of s is wanted. noise_grad: whether the
    noise may want one.
    """
    s, noise, strength, b = operands
    x_grad, s_grad, noise_wanted, strength_grad, b_grad = wanted
    sums = s_grad or strength_grad or b_grad
    dx = ds = dnoise = dstrength = db = None
    y = None if y is None else y.detach()  # the derivative of D is zero: leave no edge for a second backward to follow
    if x_grad or sums:
        z = noise.detach() if sums and noise is not None else None
        given = (z, x if s_grad else None, *settings, recover and s_grad, sums)
        dx, totals = _modulate_grad(dy, y, s, *given, backend)
    if b_grad:
        db = totals[0].sum(0)
    if s_grad:
        ds = totals[1]
        if recover:
            if noise is not None:
                ds = ds - (totals[2] if strength is None else strength.detach() * totals[2])
            if b is not None:
                ds = ds - b.detach() * totals[0]
            ds = ds / s.detach()
    if strength_grad and not noise_grad:
        dstrength = totals[2].sum()
    elif noise_wanted or strength_grad:  # rarely, so that no kernel sums over channels
        h, _ = _modulate_grad(dy, y, None, None, None, *settings, False, False, backend)
        h = h.sum(1, keepdim=True, dtype=noise.dtype)
        dnoise = h if strength is None else strength * h
        dstrength = (h * noise).sum() if strength_grad else None
    return dx, ds, dnoise, dstrength, db


def scale_gradients(
    dy: Tensor, x: Tensor, s: Tensor, s_grad: bool, backend: str
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and, if wanted, s of y = s x, differentiable again."""
    settings = ("linear", 0.0, 1.0, NO_CLAMP)
    x, s = dense(x), s.to(computed_dtype(x.dtype)).contiguous()
    given, wanted = (s, None, None, None), (True, s_grad, False, False, False)
    dx, ds, *_ = gradients(
        with_strides(dy, x.stride()), x if s_grad else None, None, given, wanted, False, settings, False, backend
    )
    return dx, ds


def _allocate_grad(dy: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(dy), dy.new_empty((3, *dy.shape[:2]) if rest[-1] else 0, dtype=computed_dtype(dy.dtype))


def _grad_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, act, alpha, gain, clamp, ctx.recover, _, ctx.backend = inputs
    ctx.settings = (act, alpha, gain, clamp)
    ctx.strides = tensors[0].stride()
    ctx.save_for_backward(*tensors)


def _grad_backward(ctx: Any, w: Tensor | None, r: Tensor | None) -> tuple:
    dy, y, s, noise, x = ctx.saved_tensors
    dy_grad, _, s_grad, _, x_grad = wanted_of(ctx, dy, y, s, noise, x)
    w = None if w is None else with_strides(w, ctx.strides)
    r = None if r is None or r.numel() == 0 else r.contiguous()
    ddy = ds = dx = None
    if dy_grad and not (w is None and r is None):
        ddy = _modulate_tangent(dy, w, y, s, r, noise, x, *ctx.settings, ctx.recover, ctx.backend)
    s_grad, x_grad = s_grad and w is not None, x_grad and r is not None
    if s_grad or x_grad:
        scale = None if r is None else s * r[1] if ctx.recover else r[1]
        along = w if s_grad else None
        dx, totals = _modulate_grad(dy, y, scale, None, along, *ctx.settings, False, s_grad, ctx.backend)
        ds = totals[1] if s_grad else None
    return ddy, None, ds, None, dx if x_grad else None, None, None, None, None, None, None


_modulate = Primitive(
    "modulate",
    f"modulate(Tensor x, Tensor? s, Tensor? noise, Tensor? strength, Tensor? b, {_SETTINGS}) -> (Tensor, Tensor)",
    _allocate,
    _setup,
    _backward,
)
_modulate_grad = Primitive(
    "modulate",
    f"modulate_grad(Tensor dy, Tensor? y, Tensor? s, Tensor? noise, Tensor? x, {_SETTINGS}, bool sums)"
    " -> (Tensor, Tensor)",
    _allocate_grad,
    _grad_setup,
    _grad_backward,
)
_modulate_tangent = Primitive(
    "modulate",
    "modulate_tangent(Tensor dy, Tensor? w, Tensor? y, Tensor? s, Tensor? r, Tensor? noise, Tensor? x, "
    f"{_SETTINGS}) -> Tensor",
    lambda dy, *rest: torch.empty_like(dy),
)


def operands_of(
    x: Tensor,
    s: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    b: Tensor | None,
    backend: str,
) -> tuple[Tensor | None, ...]:
    """s, noise, strength and b as a backend reads them beside x, of which shape, dtype and device count.

    Raises TypeError or ValueError that names the argument.
    """
    dtype = x.dtype if backend == "reference" else computed_dtype(x.dtype)
    if s is not None:
        arguments.check_tensor("s", s)
        arguments.check_same_device("s", s, x)
        if s.shape != x.shape[:2]:
            raise ValueError(f"s: got {tuple(s.shape)}, takes {tuple(x.shape[:2])} for x of shape {tuple(x.shape)}")
        s = s.to(dtype).contiguous()
    if noise is not None:
        noise = noise_of(noise, x, dtype)
    if strength is not None:
        arguments.check_scalar("strength", strength)
        arguments.check_same_device("strength", strength, x)
        if noise is None:
            raise ValueError("strength: of a noise that was not given")
        strength = strength.to(dtype).reshape([])
    if b is not None:
        b = bias_of(b, x, 1, dtype)
    return s, noise, strength, b


def modulate(
    x: Tensor,
    s: Tensor | None = None,
    *,
    noise: Tensor | None = None,
    strength: Tensor | None = None,
    b: Tensor | None = None,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    recover: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Scales the channels of each sample, adds noise and a bias, applies an activation, scales and clamps.

        y[n, c] = clamp(act(s[n, c] x[n, c] + strength noise[n] + b[c]) * gain, -clamp, clamp)

    x: [N, C, ...], float32, float64, float16 or bfloat16, of two dimensions or more. s: [N, C], a style or demodulation
    coefficients. noise: for x [N, C, H, W], anything that broadcasts to [N, 1, H, W]. strength: of the noise, one
    number, 1 if None. b: [C]. These four may have any of the dtypes and are used in float32, in float64 if x is
    float64, by the reference in x's. act, alpha, gain, clamp: as in `bias_act`. recover: whether the gradient of s
    reads y, which the backward pass of most activations reads anyway, instead of x, which then need not be kept; it
    takes an s without zeros, and in half precision loses digits where a bias is many times s x.

    Returns y with x's shape, dtype and memory format (contiguous if x is neither contiguous nor channels_last).
    Differentiable twice in x, s, noise, strength and b on every backend, any number of times with backend="reference".
    The gradients of s, strength and b come out of the pass that computes that of x, summed in a fixed order. One pass
    for linear, relu and lrelu with a positive gain and an alpha from 0; anything else is a second one, `bias_act`.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), section 2.2: modulation and demodulation as scales of the
    input and the output of one convolution.
    """
    arguments.check_tensor("x", x)
    if x.ndim < 2:
        raise ValueError(f"x: got {x.ndim} dimensions {tuple(x.shape)}, takes 2 or more")
    backend = resolve("modulate", x, backend)
    s, noise, strength, b = operands_of(x, s, noise, strength, b, backend)
    settings = settings_of(act, alpha, gain, clamp, x.dtype)
    if backend == "reference":
        return _reference(x, s, noise, strength, b, act, *settings)
    x = dense(x)
    if reads_output(act, *settings[:2]):
        return _modulate(x, s, noise, strength, b, act, *settings, recover, backend)[0]
    if s is not None:
        x, _ = _modulate(x, s, None, None, None, "linear", 0.0, 1.0, NO_CLAMP, recover, backend)
    if noise is not None and strength is not None:
        noise = strength * noise
    return bias_act(x, b, 1, act, alpha, gain, clamp, noise=noise, backend=backend)
