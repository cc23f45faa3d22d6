"""Hypothesis strategies for whole argument spaces: each draws samples that the contract's checks run on."""

import math

import torch
from hypothesis import assume
from hypothesis import strategies as st

from gan_fast.ops.bias_act import ACTIVATIONS
from gan_fast.testing import LAYOUTS, Sample
from gan_fast.testing.samples.bias_act import away_from_kinks
from gan_fast.testing.samples.grid_sample import points_sample
from gan_fast.testing.samples.interpolate import interpolate_sample
from gan_fast.testing.samples.minibatch_stddev import stddev_sample
from gan_fast.testing.samples.modulate import OPTIONS, modulate_sample
from gan_fast.testing.samples.square_sum import square_sum_sample

SIZES = st.integers(1, 20)
# the vector paths of kernels begin at widths and channel counts like these
WIDTHS = st.one_of(SIZES, st.sampled_from([16, 17, 32, 33, 48, 64]))
BATCHES = st.sampled_from([1, 2, 2, 3, 0])


def _randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def upfirdn2d(draw: st.DrawFn, largest: int = 64) -> Sample:
    """up, down in 1..4 by axis, filters of 1 to 24 taps or 61, any padding, every layout, at most `largest` wide."""
    separable = draw(st.booleans())
    taps = st.one_of(st.integers(1, 8), st.sampled_from([12, 16, 24]))
    if separable:
        size = [draw(st.one_of(taps, st.just(61)))]
    else:
        size = [draw(taps), draw(taps)] if draw(st.booleans()) else draw(st.permutations([1, draw(taps)]))
    fw, fh = size[-1], size[0]
    n, c = draw(BATCHES), draw(SIZES)
    h, w = draw(SIZES), min(draw(WIDTHS), largest)
    up, down = [[draw(st.integers(1, 4)) for _ in "xy"] for _ in range(2)]
    padding = []
    for length, factor, filter_length in ((w, up[0], fw), (h, up[1], fh)):
        before = draw(st.integers(-3, filter_length + 2))
        # at least one output, and not many more than x has
        least = filter_length - length * factor - before
        padding += [before, draw(st.integers(max(least, -3), max(least, -3) + 8))]
    seed = draw(st.integers(0, 2**16))
    f = _randn(seed, *size) / math.sqrt(fw * fh if len(size) == 2 else fw)
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    settings = {"up": up, "down": down, "padding": padding, "flip_filter": draw(st.booleans())}
    settings["gain"] = draw(st.sampled_from([1.0, -0.7, 4.0]))
    x = LAYOUTS[layout](_randn(seed + 1, n, c, h, w))
    return Sample(
        "upfirdn2d", "drawn", {"x": x, "f": f}, settings, layout, reductions=dict.fromkeys(("y", "x", "dy"), fw * fh)
    )


@st.composite
def bias_act(draw: st.DrawFn) -> Sample:
    """Every activation, any rank and bias dimension, alpha, gain and clamp, every layout of four dimensions."""
    act = draw(st.sampled_from(sorted(ACTIVATIONS)))
    rank = draw(st.sampled_from([4, 4, 4, 1, 2, 3, 5]))
    shape = [draw(BATCHES), *(draw(WIDTHS if rank < 5 else st.integers(1, 5)) for _ in range(rank - 1))]
    dim = draw(st.integers(0, rank - 1))
    assume(rank > 1 or shape[0] > 0)
    settings = {"act": act, "dim": dim, "gain": draw(st.sampled_from([None, 1.0, 0.3, -1.7]))}
    settings["clamp"] = draw(st.sampled_from([None, 0.9, 256.0]))
    if act == "lrelu":
        settings["alpha"] = draw(st.sampled_from([None, 0.0, 0.01, 1.5, -0.3]))
    layout = draw(st.sampled_from(sorted(LAYOUTS))) if rank == 4 else "contiguous"
    seed = draw(st.integers(0, 2**16))
    b = _randn(seed, shape[dim]) if draw(st.booleans()) else None
    x = LAYOUTS[layout](2 * _randn(seed + 1, *shape))
    noise = None
    if rank == 4 and dim == 1 and draw(st.booleans()):
        noise = _randn(
            seed + 2, draw(st.sampled_from([1, shape[0]])), 1, shape[2], draw(st.sampled_from([1, shape[3]]))
        )
    try:
        x = away_from_kinks(x, b, noise, **settings)
    except AssertionError:
        assume(False)
    tensors = {name: t for name, t in (("x", x), ("b", b), ("noise", noise)) if t is not None}
    summed = {"b": max(x.numel() // max(shape[dim], 1), 1), "noise": max(x.numel(), 1), "dy": 3}
    return Sample("bias_act", "drawn", tensors, settings, layout, tuple(tensors), summed)


@st.composite
def filtered_lrelu(draw: st.DrawFn) -> Sample:
    """Factors 1 to 4, filters of 1 to 24 taps a side of either rank or none, crops, any slope, gain and clamp."""
    seed = draw(st.integers(0, 2**16))
    up, down = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    filters = {}
    for i, name in enumerate(("fu", "fd")):
        taps = st.one_of(st.integers(1, 8), st.sampled_from([12, 24]))
        size = [draw(taps) for _ in range(draw(st.integers(1, 2)))]
        filters[name] = _randn(seed + i, *size) / math.sqrt(math.prod(size))
    (uw, uh), (dw, dh) = [(f.shape[-1], f.shape[0]) for f in filters.values()]
    n, c, h, w = draw(BATCHES), draw(st.integers(1, 17)), draw(st.integers(1, 9)), draw(st.integers(1, 18))
    padding = []
    for length, up_taps, down_taps in ((w, uw, dw), (h, uh, dh)):
        before = draw(st.integers(-3, up_taps + down_taps))
        least = up_taps + down_taps - 1 - length * up - before
        padding += [before, draw(st.integers(max(least, -3), max(least, -3) + 8))]
    settings = {"up": up, "down": down, "padding": padding, "flip_filter": draw(st.booleans())}
    settings |= {"slope": draw(st.sampled_from([0.2, 0.0, 1.0, -0.5])), "gain": draw(st.sampled_from([1.4, -0.7]))}
    settings["clamp"] = draw(st.sampled_from([None, 0.9, 256.0]))
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    x = LAYOUTS[layout](_randn(seed + 2, n, c, h, w))
    tensors = {"x": x, **filters} | ({"b": _randn(seed + 3, c)} if draw(st.booleans()) else {})
    taps = uw * uh * dw * dh
    summed = {"y": taps, "x": taps, "dy": taps, "b": max(n * h * w, 1) * taps}
    wanted = tuple(name for name in ("x", "b") if name in tensors)
    return Sample("filtered_lrelu", "drawn", tensors, settings, layout, wanted, summed)


@st.composite
def minibatch_stddev(draw: st.DrawFn) -> Sample:
    """Any batch, group size, number of channels, and classes or none."""
    n, share, channels = draw(st.integers(1, 9)), draw(SIZES), draw(st.integers(1, 3))
    shape = (n, share * channels, draw(st.integers(1, 9)), draw(WIDTHS))
    labels = [draw(st.integers(-1, 2)) for _ in range(n)] if draw(st.booleans()) else None
    group_size = draw(st.sampled_from([None, 1, 2, 3, 4, 7]))
    layout = draw(st.sampled_from(sorted(set(LAYOUTS) - {"expanded"})))  # equal samples: sigma is 0, and not smooth
    return stddev_sample("drawn", shape, layout, labels, group_size=group_size, num_channels=channels)


@st.composite
def modulate(draw: st.DrawFn) -> Sample:
    """Any set of options, every activation that the kernels have, recovered styles or not."""
    shape = (draw(BATCHES), draw(WIDTHS), draw(SIZES), draw(WIDTHS))
    options = tuple(o for o in OPTIONS if draw(st.booleans()))
    if "strength" in options and "noise" not in options:
        options += ("noise",)
    settings = {"act": draw(st.sampled_from(["linear", "relu", "lrelu"])), "recover": draw(st.booleans())}
    settings |= {"gain": draw(st.sampled_from([None, 0.3])), "clamp": draw(st.sampled_from([None, 0.9, 256.0]))}
    if settings["act"] == "lrelu":
        settings["alpha"] = draw(st.sampled_from([None, 0.0, 1.5]))
    noise = (draw(st.sampled_from([1, shape[0]])), 1, shape[2], draw(st.sampled_from([1, shape[3]])))
    seed, layout = draw(st.integers(0, 2**16)), draw(st.sampled_from(sorted(LAYOUTS)))
    try:
        return modulate_sample("drawn", shape, layout, noise, options, seed, **settings)
    except AssertionError:
        assume(False)


@st.composite
def grid_sample(draw: st.DrawFn) -> Sample:
    """Images and grids of any size, points in and around the image."""
    shape = (draw(BATCHES), draw(SIZES), draw(SIZES), draw(WIDTHS))
    size = (draw(st.integers(0, 9)), draw(SIZES))
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    return points_sample("drawn", shape, size, layout, draw(st.booleans()))


@st.composite
def square_sum(draw: st.DrawFn) -> Sample:
    """Samples of any rank and size, of four dimensions in every layout, also longer than a span or a tile."""
    rank = draw(st.sampled_from([4, 4, 4, 1, 2, 3, 5]))
    sides = [draw(WIDTHS if rank < 5 else st.integers(1, 5)) for _ in range(rank - 1)]
    layout = draw(st.sampled_from(sorted(LAYOUTS))) if rank == 4 else "contiguous"
    return square_sum_sample("drawn", (draw(BATCHES), *sides), layout)


@st.composite
def interpolate(draw: st.DrawFn) -> Sample:
    """Batches of any size, in every layout, under any offset."""
    shape = (draw(st.integers(0, 9)), draw(SIZES), draw(SIZES), draw(WIDTHS))
    offset = draw(st.integers(-(2**63), 2**63 - 1))
    return interpolate_sample("drawn", shape, draw(st.sampled_from(sorted(LAYOUTS))), offset)


STRATEGIES = {
    "upfirdn2d": upfirdn2d,
    "bias_act": bias_act,
    "filtered_lrelu": filtered_lrelu,
    "minibatch_stddev": minibatch_stddev,
    "modulate": modulate,
    "grid_sample": grid_sample,
    "square_sum": square_sum,
    "interpolate": interpolate,
}


@st.composite
def not_finite(draw: st.DrawFn, op: str) -> Sample:
    """A sample with a NaN or an infinity somewhere in its first tensor."""
    sample = draw(STRATEGIES[op]())
    name = sample.differentiable[0]
    x = sample.tensors[name]
    assume(x.numel() > 0)
    value = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    at = draw(st.integers(0, x.numel() - 1))
    x = x.contiguous().clone()
    x.view(-1)[at] = value
    x = LAYOUTS[sample.layout](x)
    return Sample(op, "not finite", sample.tensors | {name: x}, sample.settings, sample.layout, sample.differentiable)
