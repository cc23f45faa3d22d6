"""Bias, activation, gain and clamp in one pass: the pointwise op of every StyleGAN-family layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import constant_when_compiled, resolve
from gan_fast.ops.primitive import Primitive, needs


class Activation(NamedTuple):
    """function: u, alpha -> act(u). smooth: whether act'' is anything but zero."""

    function: Callable[[Tensor, float], Tensor]
    gain: float
    smooth: bool
    alpha: float | None = None


# default gains keep the second moment of a unit-variance input near 1 (He et al. 2015), as in StyleGAN2
ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda u, alpha: u, 1.0, False),
    "relu": Activation(lambda u, alpha: F.relu(u), math.sqrt(2), False),
    "lrelu": Activation(F.leaky_relu, math.sqrt(2), False, alpha=0.2),
    "tanh": Activation(lambda u, alpha: torch.tanh(u), 1.0, True),
    "sigmoid": Activation(lambda u, alpha: torch.sigmoid(u), 1.0, True),
    "elu": Activation(lambda u, alpha: F.elu(u), 1.0, True),
    "selu": Activation(lambda u, alpha: F.selu(u), 1.0, True),
    "softplus": Activation(lambda u, alpha: -F.logsigmoid(-u), 1.0, True),
    "swish": Activation(lambda u, alpha: u * torch.sigmoid(u), math.sqrt(2), True),
}
NO_CLAMP = -1.0


def _along(b: Tensor, x: Tensor, dim: int) -> Tensor:
    return b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])


def clamped(y: Tensor, clamp: float) -> Tensor:
    """No gradient flows where |y| reaches the clamp, so that the mask can be read off the result; NaN passes."""
    return y if clamp < 0 else torch.where(y.abs() >= clamp, torch.copysign(torch.full_like(y, clamp), y).detach(), y)


def reads_output(act: str, alpha: float, gain: float) -> bool:
    """Whether act' can be read off y = act(u) * gain."""
    return not ACTIVATIONS[act].smooth and gain > 0 and alpha >= 0


def _reference(
    x: Tensor,
    b: Tensor | None,
    noise: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
) -> Tensor:
    u = x if noise is None else x + noise
    u = u if b is None else u + _along(b, x, dim)
    return clamped(ACTIVATIONS[act].function(u, alpha) * gain, clamp)


# Derivatives. Let v be the cotangent of y, u = x + b (x with its noise), and m the mask of the clamp. Then
#   dx = v act'(u) gain m,  db = dx summed over all dimensions but dim         bias_act_grad
#   dnoise = dx summed over channels
# and with the cotangent w of dx, to which that of db is added along dim:
#   dv = w act'(u) gain m                                                      bias_act_grad again
#   d2x = w v act''(u) gain m,  d2b = d2x summed                               bias_act_grad2
# `saved` is y where act' and m can be read off y (from_output), else x; nothing at all where both are 1.
_SETTINGS = "int dim, str act, float alpha, float gain, float clamp"


def with_strides(t: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Launchers walk the memory of their tensors in step, so all must lie alike."""
    return t if t.stride() == strides else t.new_empty_strided(t.shape, strides).copy_(t)


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, b, noise, *settings, ctx.backend = inputs
    _, act, alpha, gain, clamp = ctx.settings = settings
    ctx.from_output = reads_output(act, alpha, gain)
    ctx.has_bias, ctx.has_noise = b is not None, noise is not None
    ctx.strides = output.stride()
    if act == "linear" and clamp < 0:
        ctx.save_for_backward(None, None, None)
    elif ctx.from_output:
        ctx.save_for_backward(output, None, None)
    else:
        ctx.save_for_backward(x, b, noise)


def _is_sum(dim: int, act: str, alpha: float, gain: float, clamp: float) -> bool:
    """Whether y = x + b, whose gradient needs no kernel."""
    return act == "linear" and gain == 1 and clamp < 0


def _backward(ctx: Any, dy: Tensor) -> tuple:
    saved, b, noise = ctx.saved_tensors
    bias_grad = ctx.has_bias and needs(ctx, 1)
    noise_grad = ctx.has_noise and needs(ctx, 1 + ctx.has_bias)
    dx = db = None
    if _is_sum(*ctx.settings):
        dx = dy
        if bias_grad:
            db = dy.sum_to_size([n if i == ctx.settings[0] else 1 for i, n in enumerate(dy.shape)]).reshape(-1)
    elif bias_grad or noise_grad or needs(ctx, 0):
        if noise is not None:
            saved = saved + noise
        if ctx.from_output and saved is not None:
            saved = saved.detach()  # its derivative is zero: leave no edge for a second backward to follow
        dy = with_strides(dy, ctx.strides)
        dx, db = _bias_act_grad(dy, saved, b, *ctx.settings, ctx.from_output, bias_grad, ctx.backend)
    dnoise = dx.sum(1, keepdim=True) if noise_grad else None
    return dx, db if bias_grad else None, dnoise, None, None, None, None, None


def _allocate_grad(dy: Tensor, saved: Tensor | None, b: Tensor | None, dim: int, *settings: Any) -> tuple:
    return torch.empty_like(dy), dy.new_empty(dy.shape[dim] if settings[-1] else 0)


def _grad_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    dy, saved, b, *settings, ctx.from_output, _, ctx.backend = inputs
    ctx.settings = settings
    ctx.smooth = ACTIVATIONS[settings[1]].smooth
    ctx.has_bias = b is not None
    ctx.shape, ctx.strides = dy.shape, dy.stride()
    ctx.save_for_backward(dy if ctx.smooth else None, saved, b)


def _grad_backward(ctx: Any, ddx: Tensor | None, ddb: Tensor | None) -> tuple:
    dy, saved, b = ctx.saved_tensors
    w = ddx
    if ddb is not None and ddb.numel():
        along = ddb.reshape([-1 if i == ctx.settings[0] else 1 for i in range(len(ctx.shape))]).expand(ctx.shape)
        w = along if w is None else w + along
    grads: list[Tensor | None] = [None] * 10
    if w is None:
        return tuple(grads)
    w = with_strides(w, ctx.strides)
    if needs(ctx, 0):
        grads[0], _ = _bias_act_grad(w, saved, b, *ctx.settings, ctx.from_output, False, ctx.backend)
    bias_grad = ctx.has_bias and needs(ctx, 2)
    if ctx.smooth and (bias_grad or needs(ctx, 1)):
        grads[1], d2b = _bias_act_grad2(w, dy, saved, b, *ctx.settings, bias_grad, ctx.backend)
        grads[2] = d2b if bias_grad else None
    return tuple(grads)


_bias_act = Primitive(
    "bias_act",
    f"bias_act(Tensor x, Tensor? b, Tensor? noise, {_SETTINGS}) -> Tensor",
    lambda x, *rest: torch.empty_like(x),
    _setup,
    _backward,
)
_bias_act_grad = Primitive(
    "bias_act",
    f"bias_act_grad(Tensor dy, Tensor? saved, Tensor? b, {_SETTINGS}, bool from_output, bool bias_grad)"
    " -> (Tensor, Tensor)",
    _allocate_grad,
    _grad_setup,
    _grad_backward,
)
_bias_act_grad2 = Primitive(
    "bias_act",
    f"bias_act_grad2(Tensor ddx, Tensor dy, Tensor x, Tensor? b, {_SETTINGS}, bool bias_grad) -> (Tensor, Tensor)",
    lambda ddx, dy, x, b, dim, *settings: _allocate_grad(ddx, x, b, dim, *settings),
)


@functools.cache
def _cast(value: float, dtype: torch.dtype) -> float:
    return torch.tensor(value, dtype=dtype).item()


@constant_when_compiled
def _rounded(value: float, dtype: torch.dtype) -> float:
    """The clamp as x's dtype has it: clamped elements of y must compare equal to it."""
    return _cast(value, dtype)


def noise_of(noise: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, 1, H, W]: kernels find the noise of a pixel by its place in memory."""
    arguments.check_tensor("noise", noise)
    arguments.check_same_device("noise", noise, x)
    if x.ndim != 4:
        raise ValueError(f"noise: takes x [N, C, H, W], got x of shape {tuple(x.shape)}")
    full = (x.shape[0], 1, *x.shape[2:])
    if noise.ndim > 4 or any(a not in (1, b) for a, b in zip(noise.shape[::-1], full[::-1], strict=False)):
        raise ValueError(f"noise: got {tuple(noise.shape)}, takes a shape that broadcasts to {full}")
    return noise.to(dtype).expand(full).contiguous()


def bias_of(b: Tensor, x: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """[C]."""
    arguments.check_tensor("b", b, ndim=1)
    arguments.check_same_device("b", b, x)
    if b.shape[0] != x.shape[dim]:
        raise ValueError(f"b: got {b.shape[0]} elements, takes {x.shape[dim]}, the size of x in dimension {dim}")
    return b.to(dtype).contiguous()


def settings_of(
    act: str, alpha: float | None, gain: float | None, clamp: float | None, dtype: torch.dtype
) -> tuple[float, float, float]:
    """alpha, gain and clamp as primitives take them; dtype: of the output."""
    if act not in ACTIVATIONS:
        raise ValueError(f"act: got {act!r}, takes {', '.join(ACTIVATIONS)}")
    activation = ACTIVATIONS[act]
    if alpha is not None and activation.alpha is None:
        raise ValueError(f"alpha: got {alpha!r}, but act={act!r} takes none")
    alpha = arguments.real("alpha", alpha) if alpha is not None else activation.alpha or 0.0
    gain = arguments.real("gain", gain) if gain is not None else activation.gain
    if clamp is None:
        clamp = NO_CLAMP
    elif (clamp := arguments.real("clamp", clamp)) < 0:
        raise ValueError(f"clamp: got {clamp}, takes None or a number from 0")
    elif dtype in (torch.float16, torch.bfloat16):
        clamp = _rounded(clamp, dtype)
    return alpha, gain, clamp


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    *,
    noise: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Adds noise and a bias, applies an activation, scales and clamps, in one pass over memory.

        y = clamp(act(x + noise + b) * gain, -clamp, clamp)

    x: [..., C, ...], float32, float64, float16 or bfloat16, of any rank. b: [C], any of these dtypes, is cast to x's;
    dim is the dimension of C in x. act: linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or swish. alpha: the
    negative slope of lrelu (0.2). gain: by default sqrt(2) for relu, lrelu and swish, 1 for the others. clamp: None
    or a number from 0; no gradient flows where |y| reaches it. NaN stays NaN. noise: for x [N, C, H, W] and dim 1,
    anything that broadcasts to [N, 1, H, W], already scaled by its strength, of any of these dtypes; see `noise`.

    Returns y with x's shape, dtype and memory format (contiguous if x is neither contiguous nor channels_last).
    Half-precision inputs are computed in float32. Differentiable twice in x, b and noise on every backend (the bias
    gradient comes out of the same pass, summed in a fixed order), any number of times with backend="reference". For
    linear, relu and lrelu the backward pass reads y instead of x, so that neither x nor the noise need be kept.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), section 2 and appendix B; clamping: StyleGAN2-ADA, Karras
    et al. 2020 (arXiv 2006.06676), appendix D.
    """
    arguments.check_tensor("x", x)
    if isinstance(dim, bool) or not isinstance(dim, int) or not -x.ndim <= dim < x.ndim:
        raise ValueError(f"dim: got {dim!r}, takes {-x.ndim} to {x.ndim - 1} for x of shape {tuple(x.shape)}")
    dim %= x.ndim
    if b is not None:
        b = bias_of(b, x, dim, x.dtype)
    if noise is not None:
        if dim != 1:
            raise ValueError(f"noise: takes dim 1, got {dim}")
        noise = noise_of(noise, x, x.dtype)
    alpha, gain, clamp = settings_of(act, alpha, gain, clamp, x.dtype)
    backend = resolve("bias_act", x, backend)
    if backend == "reference":
        return _reference(x, b, noise, dim, act, alpha, gain, clamp)
    if not (x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))):
        x = x.contiguous()
    return _bias_act(x, b, noise, dim, act, alpha, gain, clamp, backend)
