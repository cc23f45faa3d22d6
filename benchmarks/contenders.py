"""Who is timed: our backends, the reference, the reference under torch.compile, and plain PyTorch calls chosen well."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast import ops
from gan_fast.benchmarks.cases import Case
from gan_fast.benchmarks.costs import RESAMPLING, resampling_padding
from gan_fast.ops import backends
from gan_fast.ops.bias_act import ACTIVATIONS

Function = Callable[..., Tensor]
OTHER_FORMAT = " channels_last"  # ends the name of a contender that is given its tensors in that format


def inputs(case: Case, device: torch.device) -> list[Tensor]:
    """x, and b where the op has one: multiples of 1/64 such that x + b is never 0, where derivatives jump.

    For modulate x, s, noise, strength and b, where s and the strength are powers of 2; the noise requires no gradient.
    For conv2d x and w, for interpolate a and b, of any value. For modulated_conv2d x, w, s, noise, strength and b,
    which keeps all sums of a channel on one side of 0.
    For grid_sample x and the points of an affine map, of which only x requires a gradient: multiples of 1/4096, so that
    their pixel coordinates are exact.
    """
    generator, dtype = torch.Generator().manual_seed(0), getattr(torch, case.dtype)

    def draw(*shape: int) -> Tensor:
        return torch.round(64 * torch.randn(shape, generator=generator)) / 64

    x = draw(*case.shape).to(device, dtype)
    if case.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    tensors = [x]
    if case.op in ("bias_act", "filtered_lrelu"):
        tensors.append((draw(case.shape[1]) + 1 / 128).to(device, dtype))
    if case.op == "modulate":
        n, c, h, w = case.shape
        s = torch.exp2(torch.randint(-1, 2, (n, c), generator=generator)).to(device, dtype)
        noise, strength = draw(n, 1, h, w).to(device, dtype), torch.tensor(0.5, device=device, dtype=dtype)
        b = (draw(c) + 1 / 512).to(device, dtype)
        return [x.requires_grad_(), s.requires_grad_(), noise, strength.requires_grad_(), b.requires_grad_()]
    if case.op == "conv2d":
        tensors.append(draw(case.settings["out"], case.shape[1], 3, 3).to(device, dtype))
    if case.op == "modulated_conv2d":
        (n, c, h, w_), out, up = case.shape, case.settings["out"], case.settings.get("up", 1)
        w, s = draw(out, c, 3, 3).to(device, dtype), (draw(n, c) / 4 + 1).to(device, dtype)
        if case.channels_last:
            w = w.contiguous(memory_format=torch.channels_last)
        noise = draw(n, 1, h * up, w_ * up).to(device, dtype)
        strength = torch.tensor(0.125, device=device, dtype=dtype)
        b = torch.where(torch.arange(out) % 2 == 0, 8.0, -8.0).to(device, dtype)
        return [x.requires_grad_(), w.requires_grad_(), s.requires_grad_(), noise, strength.requires_grad_(), b]
    if case.op == "grid_sample":
        theta = torch.tensor([[0.9, 0.2, 0.1], [-0.2, 0.9, 0.05]], device=device, dtype=dtype)
        grid = F.affine_grid(theta.expand(case.shape[0], 2, 3), list(case.shape), align_corners=False)
        return [x.requires_grad_(), torch.round(4096 * grid) / 4096]
    if case.op == "interpolate":
        tensors.append(torch.empty_like(x).copy_(draw(*case.shape)))
    return [t.requires_grad_() for t in tensors]


def settings_of(case: Case, device: torch.device) -> dict:
    settings = {name: value for name, value in case.settings.items() if name != "out"}
    if "f" in settings:
        settings["f"] = ops.setup_filter(settings["f"], device=device)
    for name in settings.keys() & {"fu", "fd"}:
        settings[name] = torch.tensor(settings[name], device=device)
    if "seed" in settings:
        settings["seed"] = torch.tensor(settings["seed"], device=device)
    return settings


def contenders(case: Case, mode: str, device: torch.device) -> dict[str, Function]:
    """Functions of the tensors of `inputs`, ours first."""
    settings = settings_of(case, device)
    function = getattr(ops, case.op)
    if case.op == "filtered_lrelu":

        def function(x: Tensor, b: Tensor, **settings: object) -> Tensor:
            return ops.filtered_lrelu(x, b=b, **settings)

    if case.op == "modulate":

        def function(x: Tensor, s: Tensor, noise: Tensor, strength: Tensor, b: Tensor, **settings: object) -> Tensor:
            return ops.modulate(x, s, noise=noise, strength=strength, b=b, **settings)

    if case.op == "modulated_conv2d":

        def function(x: Tensor, w: Tensor, s: Tensor, noise: Tensor, strength: Tensor, b: Tensor, **settings: object):
            layer = {"noise": noise, "strength": strength, "b": b, "padding": 1, "act": "lrelu", "clamp": 256}
            return ops.modulated_conv2d(x, w, s, flip_weight=settings.get("up", 1) == 1, **layer, **settings)

    call = functools.partial(function, **settings)
    primitive = "upfirdn2d" if case.op in RESAMPLING else case.op
    found: dict[str, Function] = {
        backend: functools.partial(call, backend=backend)
        for backend in backends.AUTO_ORDER[device.type]  # not Triton's interpreter
        if backends.refusal(primitive, backend, device.type, getattr(torch, case.dtype)) is None
    }
    if case.op == "modulated_conv2d" and len(found) > 1:  # of which autotuning chooses
        found = {"auto": call} | found
    found["reference"] = functools.partial(call, backend="reference")
    if case.compiled != "never" and mode != "second_order":  # which torch.compile does not have
        torch._dynamo.reset()
        found["compile"] = torch.compile(found["reference"], dynamic=False)
    if case.op == "bias_act":
        return found | plain_bias_act(**settings)
    if case.op == "modulate":
        return found | plain_modulate(**settings)
    if case.op == "modulated_conv2d":
        return found | plain_modulated_conv2d(**settings)
    if case.op == "filtered_lrelu":
        return found | plain_filtered_lrelu(case, **settings)
    if case.op == "grid_sample":
        plain = {"plain": functools.partial(F.grid_sample, align_corners=False)}
        return found | (plain if mode != "second_order" else {})  # which F.grid_sample does not have
    if case.op == "square_sum":
        return found | {"plain": lambda x: x.square().sum([1, 2, 3])}
    if case.op == "conv2d":
        return found | {"plain": functools.partial(F.conv2d, **settings)}
    return found if case.op in ("interpolate", "minibatch_stddev") else found | plain_resampling(case, settings["f"])


def plain_bias_act(act: str, gain: float | None = None, clamp: float | None = None) -> dict[str, Function]:
    gain = ACTIVATIONS[act].gain if gain is None else gain
    function = {
        "linear": lambda u: u,
        "relu": F.relu,
        "lrelu": lambda u: F.leaky_relu(u, 0.2),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "elu": F.elu,
        "selu": F.selu,
        "softplus": F.softplus,
        "swish": F.silu,
    }[act]

    def plain(x: Tensor, b: Tensor) -> Tensor:
        y = function(x + b[:, None, None])
        if gain != 1:
            y = y * gain
        return y if clamp is None else y.clamp(-clamp, clamp)

    return {"plain": plain}


def plain_modulate(act: str, clamp: float) -> dict[str, Function]:
    """PyTorch's own ops, and the product before our bias_act."""
    activate = plain_bias_act(act, clamp=clamp)["plain"]

    def plain(x: Tensor, s: Tensor, noise: Tensor, strength: Tensor, b: Tensor) -> Tensor:
        return activate(x * s[:, :, None, None] + strength * noise, b)

    def unfused(x: Tensor, s: Tensor, noise: Tensor, strength: Tensor, b: Tensor) -> Tensor:
        return ops.bias_act(x * s[:, :, None, None], b, act=act, clamp=clamp, noise=strength * noise)

    return {"plain": plain, "unfused": unfused}


def plain_modulated_conv2d(up: int = 1, f: Tensor | None = None) -> dict[str, Function]:
    """As it is usually written: one weight for all samples, and weights of each for its demodulation only."""
    activate = plain_bias_act("lrelu", clamp=256.0)["plain"]

    def plain(x: Tensor, w: Tensor, s: Tensor, noise: Tensor, strength: Tensor, b: Tensor) -> Tensor:
        d = ((w * s[:, None, :, None, None]).square().sum([2, 3, 4]) + 1e-8).rsqrt()
        y = x * s[:, :, None, None]
        if up == 1:
            y = F.conv2d(y, w, padding=1)
        else:
            y = F.conv_transpose2d(y, w.transpose(0, 1), stride=up)
            y = F.conv2d(y, (up**2 * f).expand(len(w), 1, *f.shape), padding=1, groups=len(w))
        return activate(torch.addcmul(strength * noise, y, d[:, :, None, None]), b)

    return {"plain": plain}


def plain_filtered_lrelu(
    case: Case, fu: Tensor, fd: Tensor, up: int, down: int, padding: tuple[int, int, int, int], clamp: float
) -> dict[str, Function]:
    """Depthwise convolutions, transposed to upsample, around PyTorch's activation; and our ops one after the other."""
    c = case.shape[1]
    before, after = padding[0], padding[1]
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    n, gain = fu.shape[0], ACTIVATIONS["lrelu"].gain

    def depthwise(f: Tensor) -> list[Tensor]:
        kernels = [f] if f.ndim == 2 else [f[:, None], f[None, :]]
        return [k.expand(c, 1, *k.shape).contiguous(memory_format=layout) for k in kernels]

    ups = depthwise(fu * (up if fu.ndim == 1 else up * up))
    downs = depthwise(fd.flip(list(range(fd.ndim))))

    def plain(x: Tensor, b: Tensor) -> Tensor:
        x = x + b[:, None, None]
        for w in ups:
            along = [k > 1 for k in w.shape[2:]]
            crop = [(n - 1 - before) * a for a in along]
            less = [(up + after - before - 1) * a for a in along]  # is cropped at the end
            x = F.conv_transpose2d(
                x, w, stride=[up if a else 1 for a in along], padding=crop, output_padding=less, groups=c
            )
        x = (F.leaky_relu(x, 0.2) * gain).clamp(-clamp, clamp)
        for w in downs:
            x = F.conv2d(x, w, stride=[down if k > 1 else 1 for k in w.shape[2:]], groups=c)
        return x

    def unfused(x: Tensor, b: Tensor) -> Tensor:
        u = ops.upfirdn2d(ops.bias_act(x, b), fu, up=up, padding=padding, gain=up**2)
        return ops.upfirdn2d(ops.bias_act(u, act="lrelu", clamp=clamp), fd, down=down)

    found = {"plain": plain, "unfused": unfused}
    if not case.channels_last:
        found["plain" + OTHER_FORMAT] = plain
    return found


def plain_resampling(case: Case, f: Tensor) -> dict[str, Function]:
    """Depthwise convolutions without inserted zeros: 2-D or two separable passes, in either memory format."""
    up, down = RESAMPLING[case.op]
    c = case.shape[1]
    if f.ndim == 1:
        row = f
    else:
        row = f.sum(0)
        torch.testing.assert_close(torch.outer(f.sum(1), row), f)
    n = len(row)
    flipped = row.flip(0)
    before, after = resampling_padding(case.op, n)

    def along(x: Tensor, w: Tensor, vertical: bool, horizontal: bool) -> Tensor:
        """w: the filter as a correlation, [c, 1, kh, kw]."""
        axes = (vertical, horizontal)
        if up == 2:
            # output i of the transposed convolution is output i - (n - 1 - before) of ours
            margin = tuple(n - 1 - before if a else 0 for a in axes)
            y = F.conv_transpose2d(
                x, w.flip([2, 3]), stride=tuple(2 if a else 1 for a in axes), padding=margin, groups=c
            )
            h, wd = (s * (2 if a else 1) for s, a in zip(x.shape[2:], axes, strict=True))
            return y[:, :, :h, :wd]
        if before == after:
            return F.conv2d(
                x, w, stride=tuple(down if a else 1 for a in axes), padding=tuple(before * a for a in axes), groups=c
            )
        pad = [before * horizontal, after * horizontal, before * vertical, after * vertical]
        return F.conv2d(F.pad(x, pad), w, stride=tuple(down if a else 1 for a in axes), groups=c)

    def weights(kernels: Sequence[Tensor]) -> list[Tensor]:
        layout = torch.channels_last if case.channels_last else torch.contiguous_format
        return [k.expand(c, 1, *k.shape).contiguous(memory_format=layout) for k in kernels]

    (square,) = weights([torch.outer(flipped, flipped) * up * up])
    column, line = weights([flipped[:, None] * up, flipped[None, :] * up])
    found: dict[str, Function] = {
        "plain 2-D": lambda x: along(x, square, True, True),
        "plain separable": lambda x: along(along(x, column, True, False), line, False, True),
    }
    if not case.channels_last:
        found |= {name + OTHER_FORMAT: function for name, function in found.items()}
    return found


def _channels_last(t: Tensor) -> Tensor:
    if t.ndim != 4:
        return t
    return t.detach().contiguous(memory_format=torch.channels_last).requires_grad_(t.requires_grad)


def task(mode: str, name: str, function: Function, tensors: list[Tensor], dy: Tensor) -> Callable[[], list[Tensor]]:
    """What is timed: the output, the gradients along dy, or the gradient of their square sum, as in a penalty."""

    if name.endswith(OTHER_FORMAT):
        tensors, dy = [_channels_last(t) for t in tensors], _channels_last(dy)
    wanted = [t for t in tensors if t.requires_grad]

    def forward() -> list[Tensor]:
        with torch.no_grad():
            return [function(*tensors)]

    def forward_backward() -> list[Tensor]:
        return list(torch.autograd.grad(function(*tensors), wanted, dy))

    def second_order() -> list[Tensor]:
        grads = torch.autograd.grad(function(*tensors), wanted, dy, create_graph=True)
        penalty = grads[0].square().sum()
        return list(torch.autograd.grad(penalty, [dy]))

    return {"forward": forward, "forward_backward": forward_backward, "second_order": second_order}[mode]


def wrong(got: list[Tensor], true: list[Tensor], own: list[Tensor], case: Case) -> str | None:
    """Why a contender is not timed: its error on this very case; None if it is right.

    got: its outputs. true: those of the reference in float64. own: the reference's in the case's dtype, by whose error
    half precision is judged, and convolutions in TF32.
    """
    rounded = "out" in case.settings and own[0].is_cuda and torch.backends.cudnn.allow_tf32
    for g, t, o in zip(got, true, own, strict=True):
        if g.shape != t.shape:
            return f"shape {tuple(g.shape)}, not {tuple(t.shape)}"
        largest = max(t.abs().max().item(), 1.0)
        eps = torch.finfo(o.dtype).eps
        if o.dtype == torch.float32 and not rounded:
            pixels = case.shape[0] * case.shape[2] * case.shape[3]
            summed = pixels if t.ndim == 1 else 144
            if "out" in case.settings:
                summed = pixels * case.settings["out"] if t.ndim == 0 else max(9 * case.shape[1], pixels)
            limit = 16 * eps * summed**0.5 * largest
        else:
            limit = 2 * (o.double() - t).abs().max().item() + eps * largest
        error = (g.double() - t).abs().max().item()
        if not error <= limit:
            return f"error {error:.3g} > {limit:.3g}"
    return None
