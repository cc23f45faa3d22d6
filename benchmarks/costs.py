"""What a call must move and multiply at least: the model behind every floor. The tests hold it against counts.

Bytes: each launch reads and writes each of its tensors once, in this package's cut into launches. FLOPs: two for each
product in a sum of products (convolution, filter, interpolation); element-wise arithmetic and reductions are not
counted, as they hide behind the memory. PyTorch's operations around a call, as the square sum of a second order, are in
neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gan_fast.benchmarks.cases import MODES, Case
from gan_fast.ops.bias_act import ACTIVATIONS, reads_output

RESAMPLING = {"upsample2d": (2, 1), "downsample2d": (1, 2), "filter2d": (1, 1)}  # up, down

# What forward, backward and double backward read and write, launch by launch. dy and ddy are as large as y, dx and ddx
# as x. v: one number a sample. q: a scalar that stands for a tensor in the graph. z: what an upsampling layer filters.
LAUNCHES = {
    "upfirdn2d": ("x f y", "dy f dx", "ddx f ddy"),
    "bias_act": ("x b y", "dy y dx b", "ddx y ddy"),
    "bias_act from x": ("x b y", "dy x b dx b", "ddx x b ddy"),
    "bias_act sum": ("x b y", "", ""),
    "conv2d": ("x w y", "dy w dx, x dy w", "ddx w ddy"),
    "filtered_lrelu": ("x b fu fd y signs", "dy signs fu fd dx", "ddx signs fu fd ddy"),
    "grid_sample": ("x grid y", "dy grid dx", "ddx grid ddy"),
    "interpolate": ("x x seed y", "dy seed dx dx", "ddx ddx seed ddy"),
    "minibatch_stddev": ("x y", "dy x dx", "ddx dy x ddy"),
    "modulate": ("x s noise strength b y", "dy y s noise x dx sums", "ddx dy y s noise x ddy"),
    "modulated_conv2d": (
        "x s w d noise strength b y q",
        "dy y d noise q y sums, y w s x dx s, x s y w",
        "ddx s w y, y dy y d noise q ddy",
    ),
    "modulated_conv2d up": (
        "x s w z, z f y, y d noise strength b y q",
        "dy y d noise q y sums, y f z, z z, z w s x dx s, x s z w",
        "ddx s w z, z z z, z f y, y dy y d noise q ddy",
    ),
    "square_sum": ("x v", "v x dx", "ddx x v"),
}


FULL = {"s", "d", "noise", "strength", "sums"}  # are float32 beside half precision


@dataclass(frozen=True)
class Cost:
    bytes: int
    flops: int


def pairs(size: int, taps: int, up: int, down: int, padding: tuple[int, int]) -> int:
    """Products in a polyphase filter along one axis of `size` samples: inserted zeros and borders cost nothing."""
    out = (size * up + sum(padding) - taps) // down + 1
    places = (o * down + t - padding[0] for o in range(out) for t in range(taps))
    return sum(place % up == 0 and 0 <= place < size * up for place in places)


def output_size(size: int, taps: int, up: int, down: int, padding: tuple[int, int]) -> int:
    return (size * up + sum(padding) - taps) // down + 1


def resampling_padding(op: str, taps: int) -> tuple[int, int]:
    """As upsample2d, downsample2d and filter2d pad a filter."""
    up, down = RESAMPLING[op]
    if up > 1:
        return (taps + up - 1) // 2, (taps - up) // 2
    return (taps - down + 1) // 2, (taps - down) // 2


def _filter(planes: int, size: tuple[int, int], f: tuple, up: int, down: int, padding: tuple[int, int]) -> int:
    """Products of one upfirdn2d: taps of a row and a column one after the other, or of a square at once."""
    height, width = size
    taps = len(f)
    rows, columns = (pairs(s, taps, up, down, padding) for s in (height, width))
    if isinstance(f[0], tuple) or taps < 8:  # setup_filter makes a square of few taps
        return planes * rows * columns
    return planes * (height * columns + output_size(width, taps, up, down, padding) * rows)


def _shapes(case: Case) -> tuple[str, dict[str, int], int, int]:
    """The key of LAUNCHES, elements of each tensor there, and the forward pass's products of weights and of filters."""
    n, c, *space = case.shape
    height, width = space
    given = case.settings
    elements = {"x": math.prod(case.shape), "y": math.prod(case.shape), "b": c, "s": n * c, "sums": 3 * n * c}
    elements |= {"noise": n * height * width, "v": n, "seed": 2, "strength": 1, "q": 1}
    kind, weighted, filtered = case.op, 0, 0
    if case.op in RESAMPLING:
        up, down = RESAMPLING[case.op]
        taps = len(given["f"])
        padding = resampling_padding(case.op, taps)
        kind, filtered = "upfirdn2d", _filter(n * c, (height, width), given["f"], up, down, padding)
        elements["y"] = n * c * math.prod(output_size(s, taps, up, down, padding) for s in space)
        elements["f"] = taps**2 if taps < 8 else taps
    elif case.op == "bias_act":
        alpha, gain = ACTIVATIONS[given["act"]].alpha or 0.0, given.get("gain", ACTIVATIONS[given["act"]].gain)
        if not reads_output(given["act"], alpha, gain):
            kind = "bias_act from x"
        elif given["act"] == "linear" and "clamp" not in given:
            kind = "bias_act sum"
    elif case.op == "conv2d":
        elements |= {"w": given["out"] * c * 9, "y": n * given["out"] * height * width}
        weighted = n * elements["w"] * height * width
    elif case.op == "filtered_lrelu":
        fu, fd, up, down = (given[name] for name in ("fu", "fd", "up", "down"))
        padding = given["padding"][:2]
        middle = tuple(output_size(s, len(fu), up, 1, padding) for s in space)
        out = [output_size(s, len(fd), 1, down, (0, 0)) for s in middle]
        square = {name: len(f) ** (2 if isinstance(f[0], tuple) else 1) for name, f in (("fu", fu), ("fd", fd))}
        elements |= square | {"y": n * c * math.prod(out)}
        covered = [(o - 1) * down + len(fd) for o in out]
        elements["signs"] = n * c * covered[0] * ((covered[1] + 3) // 4)
        filtered = _filter(n * c, (height, width), fu, up, 1, padding) + _filter(n * c, middle, fd, 1, down, (0, 0))
    elif case.op == "grid_sample":
        elements["grid"] = 2 * n * height * width
        filtered = 4 * elements["y"]
    elif case.op == "minibatch_stddev":
        elements["y"] = n * (c + 1) * height * width
    elif case.op == "modulated_conv2d":
        out, up = given["out"], given.get("up", 1)
        pixels = n * height * width
        elements |= {"w": out * c * 9, "d": n * out, "b": out, "y": out * pixels * up**2, "sums": 3 * n * out}
        elements["noise"] = pixels * up**2
        weighted = elements["w"] * pixels
        if up > 1:
            middle = [s * up + 1 for s in space]
            kind = "modulated_conv2d up"
            elements |= {"z": n * out * math.prod(middle), "f": len(given["f"]) ** 2}
            filtered = _filter(n * out, tuple(middle), given["f"], 1, 1, (1, 1))
    elements |= {"dx": elements["x"], "ddx": elements["x"], "dy": elements["y"], "ddy": elements["y"]}
    return kind, elements, weighted, filtered


def cost_of(case: Case, mode: str) -> Cost:
    """Bytes and FLOPs of a case's call, as `contenders.task` makes it."""
    kind, elements, weighted, filtered = _shapes(case)
    order = MODES.index(mode)
    size = getattr(torch, case.dtype).itemsize
    sizes = {name: count * max(size, 4 if name in FULL else 0) for name, count in elements.items()}
    sizes |= {"signs": elements.get("signs", 0), "seed": 8 * elements["seed"]}
    moved = sum(sizes[name] for launches in LAUNCHES[kind][: order + 1] for name in launches.replace(",", "").split())
    if case.op == "filtered_lrelu" and order == 0:
        moved -= sizes["signs"]  # which nobody is going to read
    passes = order + 1
    return Cost(moved, 2 * (weighted * (passes + (order > 0)) + filtered * passes))  # one more: the weight's gradient
