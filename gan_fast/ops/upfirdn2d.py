"""Insert zeros, pad, filter and keep every n-th sample: the resampling op of StyleGAN-family networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import outside_autocast, resolve
from gan_fast.ops.primitive import Primitive, computed_dtype, needs

Ints = int | Sequence[int]


def scaling(name: str, value: Ints) -> tuple[int, int]:
    x, y = (arguments.integers(name, value, (1, 2), minimum=1) * 2)[:2]
    return x, y


def parse_padding(value: Ints) -> tuple[int, int, int, int]:
    """(x0, x1, y0, y1) from an integer, (x, y) or all four."""
    p = arguments.integers("padding", value, (1, 2, 4))
    x0, x1, y0, y1 = p * 4 if len(p) == 1 else (p[0], p[0], p[1], p[1]) if len(p) == 2 else p
    return x0, x1, y0, y1


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """Width and height of a filter: a 1-D filter is applied along both axes, None is the identity."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def _output_size(x: Tensor, f: Tensor, up: Ints, down: Ints, padding: Ints) -> tuple[int, int]:
    fw, fh = filter_size(f)
    height = (x.shape[2] * up[1] + padding[2] + padding[3] - fh) // down[1] + 1
    width = (x.shape[3] * up[0] + padding[0] + padding[1] - fw) // down[0] + 1
    return height, width


def memory_format_of(x: Tensor) -> torch.memory_format:
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format


def _allocate(x: Tensor, f: Tensor, up: Ints, down: Ints, padding: Ints, flip_filter: bool, gain: float) -> Tensor:
    shape = (x.shape[0], x.shape[1], *_output_size(x, f, up, down, padding))
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, f, *ctx.settings, ctx.backend = inputs
    ctx.in_size, ctx.out_size = x.shape[2:], output.shape[2:]
    ctx.save_for_backward(f)


def _backward(ctx: Any, dy: Tensor) -> tuple:
    """The adjoint is upfirdn2d again: up and down swapped, the filter flipped, padding that restores x's size."""
    dx = None
    if needs(ctx, 0):
        (f,) = ctx.saved_tensors
        up, down, (x0, _, y0, _), flip_filter, gain = ctx.settings
        fw, fh = filter_size(f)
        (in_h, in_w), (out_h, out_w) = ctx.in_size, ctx.out_size
        padding = [
            fw - x0 - 1,
            in_w * up[0] - out_w * down[0] + x0 - up[0] + 1,
            fh - y0 - 1,
            in_h * up[1] - out_h * down[1] + y0 - up[1] + 1,
        ]
        dx = _upfirdn2d(dense(dy), f, down, up, padding, not flip_filter, gain, ctx.backend)
    return dx, None, None, None, None, None, None


def dense(x: Tensor) -> Tensor:
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


_upfirdn2d = Primitive(
    "upfirdn2d",
    "upfirdn2d(Tensor x, Tensor f, int[] up, int[] down, int[] padding, bool flip_filter, float gain) -> Tensor",
    _allocate,
    _setup,
    _backward,
)


@outside_autocast
def _reference(
    x: Tensor, f: Tensor, up: Sequence[int], down: Sequence[int], padding: Sequence[int], flip: bool, gain: float
) -> Tensor:
    n, c, h, w = x.shape
    dtype, memory_format = x.dtype, memory_format_of(x)
    # also keeps oneDNN from generating half-precision kernels of many taps, which can take it forever
    x = x.to(computed_dtype(dtype))
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up[0] - 1, 0, 0, 0, up[1] - 1]).reshape(n, c, h * up[1], w * up[0])
    x = F.pad(x, [max(p, 0) for p in padding])  # crops come after: F.pad refuses to crop more than there was
    x0, x1, y0, y1 = (max(-p, 0) for p in padding)
    x = x[:, :, y0 : x.shape[2] - y1, x0 : x.shape[3] - x1]
    f = (f if flip else f.flip(list(range(f.ndim)))).to(x.dtype)
    for taps in [f * gain] if f.ndim == 2 else [f[None, :] * gain, f[:, None]]:
        x = F.conv2d(x, taps.expand(c, 1, *taps.shape), groups=c)
    return x[:, :, :: down[1], :: down[0]].to(dtype).contiguous(memory_format=memory_format)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Ints = 1,
    down: Ints = 1,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    *,
    backend: str | None = None,
) -> Tensor:
    """Upsamples by zeros, pads, filters and downsamples 2-D images, each channel by itself.

        u[n, c, i, j] = x[n, c, i / up_y, j / up_x] where both divide, else 0
        v             = u padded by (x0, x1, y0, y1) zeros; negative padding crops
        y[n, c, i, j] = gain * sum over a, b of f[a, b] v[n, c, i down_y + fh-1-a, j down_x + fw-1-b]

    x: [N, C, H, W], float32, float64, float16 or bfloat16, contiguous or channels_last (anything else is copied).
    f: FIR filter [fh, fw]; [n], separable, applied along both axes; None, the identity; any float dtype, see
    `setup_filter`. up, down: integers from 1, one or (x, y). padding: samples on the upsampled grid, one integer,
    (x, y) or (x0, x1, y0, y1). flip_filter: correlation instead of convolution: f[a, b] meets v[i down_y + a, ...].

    Returns y: [N, C, (H up_y + y0 + y1 - fh) // down_y + 1, (W up_x + x0 + x1 - fw) // down_x + 1], of x's dtype and
    memory format. Half precision is summed in float32. Linear in x, and its adjoint is the same op: differentiable in x
    any number of times on every backend. Only backend="reference" gives gradients of f.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: multirate FIR filtering, as used by StyleGAN2 (Karras et al. 2020, arXiv 1912.04958, appendix B).
    """
    arguments.check_tensor("x", x, ndim=4)
    up, down, padding = scaling("up", up), scaling("down", down), parse_padding(padding)
    gain = arguments.real("gain", gain)
    if f is None:
        f = torch.ones([1, 1], dtype=torch.float32, device=x.device)
    else:
        arguments.check_tensor("f", f)
        arguments.check_same_device("f", f, x)
        if f.ndim not in (1, 2) or f.numel() == 0:
            raise ValueError(f"f: got shape {tuple(f.shape)}, takes [fh, fw] or [n] with at least one element")
    height, width = _output_size(x, f, up, down, padding)
    if height < 1 or width < 1:
        raise ValueError(
            f"padding: x of shape {tuple(x.shape)} with up={up}, padding={padding} is smaller than f of shape "
            f"{tuple(f.shape)}; the output would be {height} by {width}"
        )
    if f.requires_grad and torch.is_grad_enabled():
        if backend not in (None, "auto", "reference"):
            raise RuntimeError(f"upfirdn2d: backend '{backend}' gives no gradient of f; use backend='reference'")
        backend = "reference"
    backend = resolve("upfirdn2d", x, backend)
    if backend == "reference":
        return _reference(x, f, up, down, padding, flip_filter, gain)
    return _upfirdn2d(dense(x), f.contiguous(), list(up), list(down), list(padding), bool(flip_filter), gain, backend)


def setup_filter(
    f: Tensor | Sequence[float] | Sequence[Sequence[float]] | float | None,
    device: torch.device | str | None = None,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
) -> Tensor:
    """Makes a filter for `upfirdn2d` from numbers: [fh, fw], [n], one number, or None for the identity.

    normalize: scale to unit sum, so that a constant image keeps its value. flip_filter: reverse it. gain: for the
    whole filter, also where it is kept separable. separable: keep a 1-D filter 1-D; by default from 8 taps on.
    Returns float32, [n] or [fh, fw].
    """
    f = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32)
    if f.ndim > 2 or f.numel() == 0:
        raise ValueError(f"f: got shape {tuple(f.shape)}, takes a number, [n] or [fh, fw] with at least one element")
    if f.ndim == 0:
        f = f[None]
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= 8
    if separable and f.ndim == 2:
        raise ValueError(f"separable: got True with a filter of shape {tuple(f.shape)}, which must be 1-D then")
    if f.ndim == 1 and not separable:
        f = torch.outer(f, f)
    if normalize:
        if not f.is_meta and f.sum() == 0:
            raise ValueError("f: its elements sum to 0 and cannot be normalised; use normalize=False")
        f = f / f.sum()
    if flip_filter:
        f = f.flip(list(range(f.ndim)))
    return (f * arguments.real("gain", gain) ** (f.ndim / 2)).to(device)


def filter2d(
    x: Tensor,
    f: Tensor | None,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    *,
    backend: str | None = None,
) -> Tensor:
    """Filters, and pads so that with padding 0 the output has x's size; arguments as in `upfirdn2d`."""
    x0, x1, y0, y1 = parse_padding(padding)
    fw, fh = filter_size(f)
    p = (x0 + fw // 2, x1 + (fw - 1) // 2, y0 + fh // 2, y1 + (fh - 1) // 2)
    return upfirdn2d(x, f, padding=p, flip_filter=flip_filter, gain=gain, backend=backend)


def upsample_padding(f: Tensor | None, up: Ints, padding: Ints = 0) -> tuple[int, int, int, int]:
    """Padding for which upsampling multiplies the size by `up`, plus `padding` on the upsampled grid."""
    (ux, uy), (x0, x1, y0, y1), (fw, fh) = scaling("up", up), parse_padding(padding), filter_size(f)
    return x0 + (fw + ux - 1) // 2, x1 + (fw - ux) // 2, y0 + (fh + uy - 1) // 2, y1 + (fh - uy) // 2


def downsample_padding(f: Tensor | None, down: Ints, padding: Ints = 0) -> tuple[int, int, int, int]:
    """Padding for which downsampling divides the size by `down`, plus `padding` on the grid of x."""
    (dx, dy), (x0, x1, y0, y1), (fw, fh) = scaling("down", down), parse_padding(padding), filter_size(f)
    return x0 + (fw - dx + 1) // 2, x1 + (fw - dx) // 2, y0 + (fh - dy + 1) // 2, y1 + (fh - dy) // 2


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    *,
    backend: str | None = None,
) -> Tensor:
    """Upsamples by `up`, keeping the level of the image (gain up_x up_y); arguments as in `upfirdn2d`."""
    ux, uy = scaling("up", up)
    p = upsample_padding(f, up, padding)
    return upfirdn2d(x, f, up=up, padding=p, flip_filter=flip_filter, gain=gain * ux * uy, backend=backend)


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    *,
    backend: str | None = None,
) -> Tensor:
    """Filters and downsamples by `down`; arguments as in `upfirdn2d`."""
    p = downsample_padding(f, down, padding)
    return upfirdn2d(x, f, down=down, padding=p, flip_filter=flip_filter, gain=gain, backend=backend)
