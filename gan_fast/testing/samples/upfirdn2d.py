"""Samples of upfirdn2d."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from gan_fast import ops
from gan_fast.testing.sample import LAYOUTS, Draw, Sample, randn


def _filter(kind: str) -> Tensor | None:
    if kind == "none":
        return None
    rows, _, columns = kind.partition("x")
    if columns:  # asymmetric, not of rank 1
        return randn(5, int(rows), int(columns)) / math.sqrt(int(rows) * int(columns))
    if kind == "binomial":
        return ops.setup_filter([1, 3, 3, 1]).double()
    return randn(6, int(kind)) / math.sqrt(int(kind))  # separable


def _upfirdn2d_sample(
    name: str,
    shape: tuple[int, int, int, int],
    kind: str,
    op: str = "upfirdn2d",
    layout: str = "contiguous",
    **settings: Any,
) -> Sample:
    f = _filter(kind)
    taps = 1 if f is None else f.numel() if f.ndim == 2 else f.numel() ** 2
    x = LAYOUTS[layout](randn(7, *shape))
    tensors = {"x": x} if f is None else {"x": x, "f": f}
    if f is None:
        settings = settings | {"f": None}
    return Sample(op, name, tensors, settings, layout, reductions=dict.fromkeys(("y", "x", "dy"), taps))


def _with_holes(sample: Sample) -> Sample:
    """NaN and infinity must reach the outputs whose filter covers them, and no other."""
    x = sample.tensors["x"]
    x[0, 0, 2, 2], x[0, 1, -1, 0] = math.nan, math.inf
    return sample


def samples() -> Iterator[Sample]:
    make = _upfirdn2d_sample
    for layout in LAYOUTS:
        yield make(f"up2-{layout}", (2, 3, 5, 6), "binomial", "upsample2d", layout)
        yield make(f"down2-{layout}", (2, 3, 7, 8), "binomial", "downsample2d", layout)
        yield make(f"fir-{layout}", (2, 3, 6, 5), "binomial", "filter2d", layout)
    for layout in ("contiguous", "channels_last"):
        yield make(f"up2-wide-{layout}", (1, 20, 9, 37), "binomial", "upsample2d", layout)
        yield make(f"down2-wide-{layout}", (1, 20, 10, 70), "binomial", "downsample2d", layout)
        yield make(f"fir-wide-{layout}", (1, 20, 9, 67), "binomial", "filter2d", layout)
        yield make(f"up2-vectors-{layout}", (1, 8, 5, 8), "binomial", "upsample2d", layout)
        yield make(f"down2-vectors-{layout}", (1, 8, 10, 16), "binomial", "downsample2d", layout)
        yield make(f"fir-vectors-{layout}", (1, 24, 5, 8), "binomial", "filter2d", layout)
        yield make(f"12-taps-vectors-{layout}", (1, 8, 8, 8), "12", "upsample2d", layout)
        yield make(f"odd-padding-{layout}", (1, 8, 9, 7), "4x4", layout=layout, up=2, padding=[3, 1, 1, 4])
        yield _with_holes(make(f"nan-up2-{layout}", (1, 8, 6, 8), "4x4", "upsample2d", layout))
        yield _with_holes(make(f"nan-down2-{layout}", (1, 8, 8, 8), "4x4", "downsample2d", layout))
        yield make(f"skip-pad-{layout}", (2, 17, 16, 16), "binomial", layout=layout, padding=[2, 2, 2, 2])
        yield make(f"conv-up-pad-{layout}", (2, 17, 17, 17), "binomial", layout=layout, padding=[1, 1, 1, 1], gain=4)
        yield make(f"rgb-up2-{layout}", (2, 3, 16, 16), "binomial", "upsample2d", layout)
        yield make(f"12-taps-up2-{layout}", (2, 5, 9, 18), "12", "upsample2d", layout)
        yield make(f"12-taps-down2-{layout}", (2, 5, 18, 34), "12", "downsample2d", layout)
        both = {"up": (2, 1), "down": (1, 3), "padding": [3, 1, 2, 4]}
        yield make(f"asymmetric-{layout}", (2, 3, 6, 7), "3x5", layout=layout, **both)
        yield make(f"flip-{layout}", (2, 3, 6, 7), "4x3", layout=layout, up=2, padding=2, flip_filter=True, gain=1.7)
        yield make(f"flip-separable-{layout}", (2, 3, 6, 7), "5", layout=layout, down=2, padding=3, flip_filter=True)
        yield make(f"up3-down2-{layout}", (2, 3, 5, 7), "6x6", layout=layout, up=3, down=2, padding=[4, 3, 4, 3])
        yield make(f"up4-down4-{layout}", (1, 2, 6, 5), "7", layout=layout, up=4, down=4, padding=[5, 3, 2, 6])
        yield make(f"up2-down2-{layout}", (1, 2, 7, 9), "4x4", layout=layout, up=2, down=2, padding=[2, 1, 2, 1])
        yield make(f"crop-{layout}", (2, 3, 8, 9), "3x3", layout=layout, padding=[-1, -2, -1, 0])
        yield make(f"crop-up-{layout}", (2, 3, 8, 9), "binomial", layout=layout, up=2, padding=[-3, 2, 1, -2])
        yield make(f"identity-{layout}", (2, 3, 4, 5), "none", layout=layout, padding=[1, 0, 2, -1], gain=0.5)
    for width, height in ((16, 5), (8, 2), (32, 70), (48, 1)):  # the CPU kernel takes bands of rows, vector by vector
        for left, top in ((2, 1), (0, 3), (3, 0)):
            name = f"4-taps-{width}x{height}-{left}{top}"
            yield make(name, (1, 2, height, width), "4", padding=[left, 3 - left, top, 3 - top])
    for width, height in ((16, 6), (32, 4), (8, 8), (16, 4)):  # and halves planes of one or two vectors' width
        for left, top in ((2, 0), (-1, 3)):
            name = f"4-taps-down2-{width}x{height}-{left}{top}"
            yield _with_holes(make(name, (1, 2, height, width), "4", down=2, padding=[left, 2 - left, top, 2 - top]))
    yield _with_holes(make("nan-12-taps", (1, 2, 8, 8), "12", "filter2d"))
    yield _with_holes(make("nan-up3", (1, 2, 6, 6), "5x4", up=3, padding=[2, 1, 2, 2]))
    yield make("tall-up2", (1, 1, 75, 8), "binomial", "upsample2d")
    yield make("tall-down2", (1, 1, 150, 8), "12", "downsample2d")
    yield make("many-planes", (43, 1, 4, 4), "binomial", "filter2d")
    yield make("1xk", (2, 3, 5, 9), "1x4", up=(2, 1), padding=[2, 1, 0, 0])
    yield make("kx1", (2, 3, 9, 5), "4x1", down=(1, 2), padding=[0, 0, 1, 1])
    yield make("haar", (2, 3, 6, 6), "2x2", down=2, padding=[1, 0, 1, 0])
    yield make("one-tap", (2, 3, 4, 4), "1", gain=3)
    yield make("24-taps", (1, 2, 16, 30), "24", up=2, down=2, padding=[11, 12, 11, 12])
    yield make("61-taps", (1, 1, 40, 33), "61", padding=[30, 30, 30, 30])
    yield make("one-pixel", (2, 3, 1, 1), "binomial", "upsample2d")
    yield make("one-row", (2, 3, 1, 9), "binomial", "upsample2d")
    yield make("one-column", (2, 3, 9, 1), "binomial", up=2, padding=[2, 1, 2, 1])
    yield make("empty", (0, 3, 4, 4), "binomial", "upsample2d")
    yield make("negative-gain", (1, 2, 5, 5), "3", padding=1, gain=-2)


def drawn(draw: Draw) -> Sample:
    """up, down in 1..4 by axis, filters of 1 to 24 taps or 61 of any rank, any padding, every layout."""

    def taps() -> int:
        return draw.one_of([draw.integer(1, 8), draw.one_of([12, 16, 24])])

    size = draw.one_of([[draw.one_of([taps(), 61])], [taps(), taps()], [1, taps()], [taps(), 1]])
    fw, fh = size[-1], size[0]
    seed, n, c, h, w = draw.seed(), draw.batch(), draw.size(), draw.size(), draw.width()
    up, down = [[draw.integer(1, 4) for _ in "xy"] for _ in range(2)]
    padding = draw.padding(w, up[0], fw, fw + 2) + draw.padding(h, up[1], fh, fh + 2)
    settings = {"up": up, "down": down, "padding": padding, "flip_filter": draw.boolean()}
    settings["gain"] = draw.one_of([1.0, -0.7, 4.0])
    layout = draw.layout()
    f = randn(seed, *size) / math.sqrt(fw * fh if len(size) == 2 else fw)
    tensors = {"x": LAYOUTS[layout](randn(seed + 1, n, c, h, w)), "f": f}
    reductions = dict.fromkeys(("y", "x", "dy"), fw * fh)
    return Sample("upfirdn2d", "drawn", tensors, settings, layout, reductions=reductions)
