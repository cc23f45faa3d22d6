"""Pad, upsample with zeros, filter, and keep every n-th sample: the resampling op of StyleGAN networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def setup_filter(f, device=None, normalize=True, flip_filter=False, gain=1.0, separable=None):
    f = torch.as_tensor(1 if f is None else f, dtype=torch.float32)
    if f.ndim == 0:
        f = f[None]
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= 8
    if f.ndim == 1 and not separable:
        f = torch.outer(f, f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip(list(range(f.ndim)))
    return (f * gain ** (f.ndim / 2)).to(device)


def pair(v):
    return (v, v) if isinstance(v, int) else tuple(v)


def quad(p):
    if isinstance(p, int):
        return (p,) * 4
    p = tuple(p)
    return (p[0], p[0], p[1], p[1]) if len(p) == 2 else p


def upfirdn2d(x: Tensor, f: Tensor | None, up=1, down=1, padding=0, flip_filter=False, gain=1.0, *, backend=None):
    ux, uy = pair(up)
    dx, dy = pair(down)
    if f is None:
        f = torch.ones(1, 1, device=x.device)
    f2 = torch.outer(f, f) if f.ndim == 1 else f
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, ux - 1, 0, 0, 0, uy - 1]).reshape(n, c, h * uy, w * ux)
    x = F.pad(x, list(quad(padding)))
    f2 = (f2 * gain).to(x.dtype)
    f2 = f2 if flip_filter else f2.flip([0, 1])
    return F.conv2d(x, f2[None, None].expand(c, 1, *f2.shape), groups=c)[:, :, ::dy, ::dx]


def size(f):
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def filter2d(x, f, padding=0, flip_filter=False, gain=1.0, *, backend=None):
    p = quad(padding)
    fw, fh = size(f)
    p = (p[0] + fw // 2, p[1] + (fw - 1) // 2, p[2] + fh // 2, p[3] + (fh - 1) // 2)
    return upfirdn2d(x, f, padding=p, flip_filter=flip_filter, gain=gain, backend=backend)


def upsample2d(x, f, up=2, padding=0, flip_filter=False, gain=1.0, *, backend=None):
    ux, uy = pair(up)
    p = quad(padding)
    fw, fh = size(f)
    p = (p[0] + (fw + ux - 1) // 2, p[1] + (fw - ux) // 2, p[2] + (fh + uy - 1) // 2, p[3] + (fh - uy) // 2)
    return upfirdn2d(x, f, up=up, padding=p, flip_filter=flip_filter, gain=gain * ux * uy, backend=backend)


def downsample2d(x, f, down=2, padding=0, flip_filter=False, gain=1.0, *, backend=None):
    dx, dy = pair(down)
    p = quad(padding)
    fw, fh = size(f)
    p = (p[0] + (fw - dx + 1) // 2, p[1] + (fw - dx) // 2, p[2] + (fh - dy + 1) // 2, p[3] + (fh - dy) // 2)
    return upfirdn2d(x, f, down=down, padding=p, flip_filter=flip_filter, gain=gain, backend=backend)
