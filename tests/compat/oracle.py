"""The documented meanings of the foreign ops in NumPy and SciPy, from the formulas and from nothing of gan_fast."""

import math

import numpy as np
import scipy.ndimage
import scipy.signal
import scipy.special

SLOPE, SCALE = 0.2, math.sqrt(2)


def zeros_between(x, up_x, up_y):
    y = np.zeros((*x.shape[:2], x.shape[2] * up_y, x.shape[3] * up_x))
    y[:, :, ::up_y, ::up_x] = x
    return y


def padded(x, x0, x1, y0, y1):
    """Zeros around images; negative numbers crop."""
    x = np.pad(x, [(0, 0), (0, 0), (max(y0, 0), max(y1, 0)), (max(x0, 0), max(x1, 0))])
    return x[:, :, max(-y0, 0) : x.shape[2] - max(-y1, 0), max(-x0, 0) : x.shape[3] - max(-x1, 0)]


def upfirdn2d(x, f, up=(1, 1), down=(1, 1), pad=(0, 0, 0, 0), correlate=False, gain=1):
    """f: None, taps that run along both axes, or [fh, fw]. up, down: (x, y). pad: (x0, x1, y0, y1)."""
    f = np.ones((1, 1)) if f is None else np.outer(f, f) if f.ndim == 1 else f
    x = padded(zeros_between(x, *up), *pad)
    apply = scipy.signal.correlate2d if correlate else scipy.signal.convolve2d
    y = np.stack([[apply(image, f, mode="valid") for image in sample] for sample in x])
    return gain * y[:, :, :: down[1], :: down[0]]


def upsample(x, f, up, extra=0, correlate=False, gain=1):
    n = len(f)
    pad = (extra + (n + up - 1) // 2, extra + (n - up) // 2) * 2
    return upfirdn2d(x, f, (up, up), (1, 1), pad, correlate, gain * up**2)


def downsample(x, f, down, extra=0, correlate=False, gain=1):
    n = len(f)
    pad = (extra + (n - down + 1) // 2, extra + (n - down) // 2) * 2
    return upfirdn2d(x, f, (1, 1), (down, down), pad, correlate, gain)


ACTIVATIONS = {
    "linear": lambda u, alpha: u,
    "relu": lambda u, alpha: np.maximum(u, 0),
    "lrelu": lambda u, alpha: np.where(u > 0, u, alpha * u),
    "tanh": lambda u, alpha: np.tanh(u),
    "sigmoid": lambda u, alpha: scipy.special.expit(u),
    "elu": lambda u, alpha: np.where(u > 0, u, np.expm1(u)),
    "selu": lambda u, alpha: 1.0507009873554805 * np.where(u > 0, u, 1.6732632423543772 * np.expm1(u)),
    "softplus": lambda u, alpha: np.logaddexp(u, 0),
    "swish": lambda u, alpha: u * scipy.special.expit(u),
}
GAINS = {"relu": SCALE, "lrelu": SCALE, "swish": SCALE}


def bias_act(x, b=None, dim=1, act="linear", alpha=SLOPE, gain=None, clamp=None):
    u = x if b is None else x + b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    y = ACTIVATIONS[act](u, alpha) * (GAINS.get(act, 1) if gain is None else gain)
    return y if clamp is None else np.clip(y, -clamp, clamp)


def conv2d(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1):
    """All pairs are (y, x), as PyTorch's."""
    w = padded(zeros_between(w, dilation[1], dilation[0]), 0, 1 - dilation[1], 0, 1 - dilation[0])
    x = padded(x, pad[1], pad[1], pad[0], pad[0])
    inputs, outputs = np.split(x, groups, 1), np.split(w, groups, 0)
    y = [
        [
            sum(scipy.signal.correlate2d(image, taps, mode="valid") for image, taps in zip(sample, o, strict=True))
            for group, ws in zip(range(groups), outputs, strict=True)
            for sample in [inputs[group][n]]
            for o in ws
        ]
        for n in range(len(x))
    ]
    y = np.array(y)[:, :, :: stride[0], :: stride[1]]
    return y if b is None else y + b[:, None, None]


def conv_transpose2d(x, w, b=None, stride=(1, 1), pad=(0, 0), more=(0, 0), groups=1, dilation=(1, 1)):
    """Every input pixel stamps its weights onto the output."""
    n, channels, h, width = x.shape
    per_group, (kh, kw) = w.shape[1], w.shape[2:]
    full_h = (h - 1) * stride[0] + dilation[0] * (kh - 1) + 1 + more[0]
    full_w = (width - 1) * stride[1] + dilation[1] * (kw - 1) + 1 + more[1]
    y = np.zeros((n, per_group * groups, full_h, full_w))
    for c in range(channels):
        first = c // (channels // groups) * per_group
        for i in range(h):
            for j in range(width):
                rows = slice(i * stride[0], i * stride[0] + dilation[0] * (kh - 1) + 1, dilation[0])
                columns = slice(j * stride[1], j * stride[1] + dilation[1] * (kw - 1) + 1, dilation[1])
                y[:, first : first + per_group, rows, columns] += x[:, c, i, j, None, None, None] * w[c]
    y = y[:, :, pad[0] : full_h - pad[0], pad[1] : full_w - pad[1]]
    return y if b is None else y + b[:, None, None]


def conv2d_resample(x, w, f=None, up=1, down=1, pad=(0, 0, 0, 0), groups=1, flip_weight=True, correlate=False):
    """Upsample, convolve, downsample; all padding at once, on the upsampled grid."""
    n = 1 if f is None else len(f)
    pad = np.array(pad)
    if up > 1:
        pad = pad + [(n + up - 1) // 2, (n - up) // 2] * 2
    if down > 1:
        pad = pad + [(n - down + 1) // 2, (n - down) // 2] * 2
    y = upfirdn2d(x, f if up > 1 else None, (up, up), (1, 1), pad, correlate, up**2)
    y = conv2d(y, w if flip_weight else w[:, :, ::-1, ::-1], groups=groups)
    return upfirdn2d(y, f if down > 1 else None, (1, 1), (down, down), (0, 0, 0, 0), correlate)


def modulated_conv2d(x, w, s, noise=0, demodulate=True, gain=1, **resample):
    """A set of weights for each sample; gain: [N, I] or anything that broadcasts to it, after demodulation."""
    ws = w[None] * s[:, None, :, None, None]
    if demodulate:
        ws = ws / np.sqrt(np.sum(ws**2, axis=(2, 3, 4), keepdims=True) + 1e-8)
    ws = ws * np.broadcast_to(gain, s.shape)[:, None, :, None, None]
    return np.concatenate([conv2d_resample(x[n : n + 1], ws[n], **resample) for n in range(len(x))]) + noise


def alias_free_modulated_conv2d(x, w, s, demodulate=True, pad=0, gain=1):
    if demodulate:
        w = w / np.sqrt(np.mean(w**2, axis=(1, 2, 3), keepdims=True))
        s = s / np.sqrt(np.mean(s**2))
    return modulated_conv2d(x, w, s, demodulate=demodulate, gain=gain, pad=(pad,) * 4)


def grid_sample(x, grid):
    """Bilinear, zeros outside, -1 and 1 at the borders of the image."""
    h, w = x.shape[2:]
    y = np.empty((*x.shape[:2], *grid.shape[1:3]))
    for n in range(len(x)):
        at = [(grid[n, ..., 1] * h + h - 1) / 2, (grid[n, ..., 0] * w + w - 1) / 2]
        for c in range(x.shape[1]):
            y[n, c] = scipy.ndimage.map_coordinates(x[n, c], at, order=1, mode="grid-constant")
    return y


def filtered_lrelu(x, fu, fd, b, up=1, down=1, pad=(0, 0, 0, 0), gain=SCALE, slope=SLOPE, clamp=None, correlate=False):
    u = upfirdn2d(bias_act(x, b), fu, (up, up), (1, 1), pad, correlate, up**2)
    v = bias_act(u, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d(v, fd, (1, 1), (down, down), (0, 0, 0, 0), correlate)
