"""What is timed. A case is a row of one of these tables: add a row to time one more."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

MODES = ("forward", "forward_backward", "second_order")


@dataclass(frozen=True)
class Case:
    """One call of an op on float32 tensors.

    shape: of x. settings: keyword arguments, of which "f", "fu" and "fd" are given as filter taps and "seed" as two
    numbers. quick: kept in a --quick run. compiled: torch.compile runs too (each of its runs compiles for some ten
    seconds).
    """

    op: str
    name: str
    shape: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    channels_last: bool = False
    quick: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"{self.op}-{self.name}-{size}{'-channels_last' if self.channels_last else ''}"


BINOMIAL = (1, 3, 3, 1)
SYM6 = (
    *(0.0154, 0.0035, -0.1180, -0.0483, 0.4911, 0.7876),
    *(0.3379, -0.0726, -0.0211, 0.0447, 0.0018, -0.0078),
)
SHAPES = ((8, 512, 16, 16), (8, 256, 32, 32), (4, 128, 64, 64), (2, 64, 128, 128))
RESAMPLING = ("upsample2d", "downsample2d", "filter2d")


def lowpass(r: float, up: int, n: int) -> float:
    """A windowed sinc for `up` times the samples, rounded so that filtering multiples of 1/128 in float32 is exact:

    all contenders then agree on the sign of each sample.
    """
    window = math.cos(math.pi * r / (n + 1)) ** 2 if abs(r) < n / 2 else 0
    sinc = math.sin(math.pi * r / up) / (math.pi * r / up) if r else 1
    return round(64 * window * sinc / up) / 64


def separable(up: int, n: int) -> tuple[float, ...]:
    return tuple(lowpass(i - (n - 1) / 2, up, n) for i in range(n))


def radial(up: int, n: int) -> tuple[tuple[float, ...], ...]:
    at = [i - (n - 1) / 2 for i in range(n)]
    return tuple(tuple(lowpass(math.hypot(a, b), up, n) / 4 for b in at) for a in at)


# up, down, filters and padding of StyleGAN3's layers
ALIAS_FREE: dict[str, dict[str, Any]] = {
    "up2down2": {"fu": separable(2, 12), "fd": separable(2, 12), "up": 2, "down": 2, "padding": (9, 8, 9, 8)},
    "up4down2": {"fu": separable(4, 24), "fd": separable(2, 12), "up": 4, "down": 2, "padding": (16, 15, 16, 15)},
    "up2down4": {"fu": separable(2, 12), "fd": separable(4, 24), "up": 2, "down": 4, "padding": (11, 10, 11, 10)},
    "up2down2radial": {"fu": separable(2, 12), "fd": radial(2, 12), "up": 2, "down": 2, "padding": (9, 8, 9, 8)},
    "up2down2radials": {"fu": radial(2, 12), "fd": radial(2, 12), "up": 2, "down": 2, "padding": (9, 8, 9, 8)},
}

# the layers of StyleGAN2 networks; op, name, shape, settings, quick, compiled
TABLE: list[tuple[str, str, tuple[int, ...], dict[str, Any], bool, bool]] = [
    *(
        (op, "4x4", s, {"f": BINOMIAL}, s[1] == 128, s[1] in (128, 512))
        for op, s in itertools.product(RESAMPLING, SHAPES)
    ),
    ("upsample2d", "rgb", (4, 3, 128, 128), {"f": BINOMIAL}, True, True),
    ("downsample2d", "rgb", (4, 3, 128, 128), {"f": BINOMIAL}, True, True),
    ("upsample2d", "12-taps", (4, 64, 32, 32), {"f": SYM6}, False, False),
    ("downsample2d", "12-taps", (4, 64, 64, 64), {"f": SYM6}, False, False),
    ("upsample2d", "digits", (16, 32, 16, 16), {"f": BINOMIAL}, False, False),
    ("minibatch_stddev", "end", (16, 512, 4, 4), {}, False, True),
    ("minibatch_stddev", "end", (8, 512, 4, 4), {}, True, True),
    *(
        ("modulate", "lrelu", s, {"act": "lrelu", "clamp": 256.0}, s[1] == 128, s[1] in (128, 512))
        for s in ((8, 512, 16, 16), (4, 128, 64, 64))
    ),
    *(
        ("modulated_conv2d", name, s, {"out": o} | settings, s[2] == 8, s[1] == 512)
        for name, s, o, settings in (
            ("plain", (8, 512, 16, 16), 512, {}),
            ("plain", (4, 128, 64, 64), 128, {}),
            ("up2", (8, 512, 8, 8), 512, {"up": 2, "f": BINOMIAL}),
            ("up2", (4, 256, 32, 32), 128, {"up": 2, "f": BINOMIAL}),
        )
    ),
    *(("square_sum", "images", (n, 3, s, s), {}, s == 64, s == 64) for n, s in ((16, 64), (8, 128))),
    ("interpolate", "images", (8, 3, 128, 128), {"seed": (1, 2)}, False, False),
    *(("grid_sample", "warp", (16, 3, s, s), {}, s == 64, s == 64) for s in (64, 128, 256)),
    ("bias_act", "lrelu", (8, 512, 16, 16), {"act": "lrelu", "clamp": 256.0}, False, True),
    ("bias_act", "lrelu", (8, 256, 64, 64), {"act": "lrelu", "clamp": 256.0}, True, True),
    ("bias_act", "lrelu", (4, 128, 128, 128), {"act": "lrelu", "clamp": 256.0}, False, False),
    *(
        ("bias_act", act, (4, 128, 64, 64), {"act": act}, False, False)
        for act in ("linear", "relu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")
    ),
    *(
        ("filtered_lrelu", name, shape, settings | {"clamp": 256.0}, name == "up2down2" and shape[2] == 36, False)
        for name, settings in ALIAS_FREE.items()
        for shape in ((4, 128, 36, 36), (1, 64, 148, 148))
        if shape[2] == 36 or "radial" not in name
    ),
]
CASES = [
    Case(op, name, shape, settings, channels_last, quick and not channels_last, compiled and not channels_last)
    for op, name, shape, settings, quick, compiled in TABLE
    for channels_last in (False, True)
]
