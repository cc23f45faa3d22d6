"""What is timed of the ops. A case is a row of one table, CASES: add a row to time one more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

MODES = ("forward", "forward_backward", "second_order")


@dataclass(frozen=True)
class Case:
    """One call of an op.

    shape: of x. settings: keyword arguments, of which "f", "fu" and "fd" are given as filter taps, "seed" as two
    numbers, and "out", the output channels of a convolution, is the shape of its weight. network: whose layer it is.
    quick: kept in a --quick run on a CPU, quick_on_gpu on a GPU. compiled: whether torch.compile runs too, which
    compiles for some ten seconds each time: "never", in a "full" run or "always". gpu: too large for a CPU, left out
    there.
    """

    op: str
    name: str
    shape: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    network: str = ""
    quick: bool = False
    quick_on_gpu: bool = False
    compiled: Literal["never", "full", "always"] = "never"
    gpu: bool = False
    channels_last: bool = False
    dtype: str = "float32"

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        kind = ("-channels_last" if self.channels_last else "") + ("" if self.dtype == "float32" else f"-{self.dtype}")
        return f"{self.op}-{self.name}-{size}{kind}"


BINOMIAL = (1, 3, 3, 1)
SYM6 = (
    *(0.0154, 0.0035, -0.1180, -0.0483, 0.4911, 0.7876),
    *(0.3379, -0.0726, -0.0211, 0.0447, 0.0018, -0.0078),
)


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


LRELU = {"act": "lrelu", "clamp": 256.0}


def alias_free(
    size: int, out: int, up: int, down: int, radial_up: bool = False, radial_down: bool = False
) -> dict[str, Any]:
    """filtered_lrelu's settings in a StyleGAN3 layer, which makes `out` pixels of `size`, the convolution's output.

    6 taps for each of `up` and `down` (Karras et al. 2021, arXiv 2106.12423, appendices C and F).
    """
    up_taps, down_taps = 6 * up, 6 * down
    total = (out - 1) * down + 1 - size * up + up_taps + down_taps - 2
    low = (total + up) // 2
    fu = radial(up, up_taps) if radial_up else separable(up, up_taps)
    fd = radial(down, down_taps) if radial_down else separable(down, down_taps)
    return {
        "fu": fu,
        "fd": fd,
        "up": up,
        "down": down,
        "padding": (low, total - low, low, total - low),
        "clamp": 256.0,
    }


def stylegan2(network: str, base: int, batch: int, sides: tuple[int, ...], on_cpu: tuple[int, ...]) -> Iterator[Case]:
    """The layers of generator and discriminator at some resolutions; those not in on_cpu only on a GPU."""
    for side in sides:
        c, before = min(base // side, 512), min(2 * base // side, 512)
        where = {"network": f"{network} at {side}", "gpu": side not in on_cpu, "quick_on_gpu": side in (64, 256, 1024)}
        where["compiled"] = "always" if side == 256 else "never"
        up = {"out": c, "up": 2, "f": BINOMIAL}
        yield Case("modulated_conv2d", "up2", (batch, before, side // 2, side // 2), up, **where)
        yield Case("modulated_conv2d", "plain", (batch, c, side, side), {"out": c}, **where)
        yield Case("conv2d", "3x3", (batch, c, side, side), {"out": c, "padding": 1}, **where)
        yield Case("bias_act", "lrelu", (batch, c, side, side), LRELU, **where)
        yield Case("filter2d", "4x4", (batch, c, side, side), {"f": BINOMIAL}, **where)
        yield Case("downsample2d", "4x4", (batch, c, side, side), {"f": BINOMIAL}, **where)
        yield Case("upsample2d", "4x4", (batch, c, side // 2, side // 2), {"f": BINOMIAL}, **where)
        yield Case("upsample2d", "rgb", (batch, 3, side // 2, side // 2), {"f": BINOMIAL}, **where)


def stylegan3(network: str, batch: int, layers: tuple[tuple[int, int, int, int], ...], **kind: Any) -> Iterator[Case]:
    """layers: channels, the convolution's output, the layer's output and up."""
    for c, size, out, up in layers:
        name = f"up{up}down2" + ("radial" if kind.get("radial_down") else "")
        settings = alias_free(size, out, up, 2, **kind)
        where = {"network": f"{network} at {out}", "gpu": True, "quick_on_gpu": out in (148, 256)}
        yield Case("filtered_lrelu", name, (batch, c, size, size), settings, **where)


def r3gan(batch: int) -> Iterator[Case]:
    """R3GAN on FFHQ-256 (Huang et al. 2024, arXiv 2501.05441): bottlenecks of twice the width, 3-tap resampling."""
    for side, c in ((16, 768), (32, 768), (64, 384), (128, 192), (256, 96)):
        where = {"network": f"R3GAN at {side}", "gpu": side != 16}
        yield Case("bias_act", "r3gan", (batch, 2 * c, side, side), {"act": "lrelu", "gain": 1.0}, **where)
        yield Case("upsample2d", "3x3", (batch, c, side // 2, side // 2), {"f": (1, 2, 1)}, **where)
        yield Case("downsample2d", "3x3", (batch, c, side, side), {"f": (1, 2, 1)}, **where)


def _small() -> Iterator[Case]:
    """What a CPU times in about twenty minutes: layers of small StyleGAN2s, batches that fit a core's caches or not."""
    shapes = ((8, 512, 16, 16), (8, 256, 32, 32), (4, 128, 64, 64), (2, 64, 128, 128))
    for op, shape in itertools.product(("upsample2d", "downsample2d", "filter2d"), shapes):
        quick = shape[1] == 128
        compiled = "always" if quick and op == "upsample2d" else "full" if shape[1] in (128, 512) else "never"
        yield Case(op, "4x4", shape, {"f": BINOMIAL}, quick=quick, compiled=compiled)
    yield Case("upsample2d", "rgb", (4, 3, 128, 128), {"f": BINOMIAL}, quick=True, compiled="full")
    yield Case("downsample2d", "rgb", (4, 3, 128, 128), {"f": BINOMIAL}, compiled="full")
    yield Case("upsample2d", "12taps", (4, 64, 32, 32), {"f": SYM6})
    yield Case("downsample2d", "12taps", (4, 64, 64, 64), {"f": SYM6})
    yield Case("minibatch_stddev", "end", (16, 512, 4, 4), compiled="full")
    yield Case("minibatch_stddev", "end", (8, 512, 4, 4), quick=True, compiled="full")
    yield Case("modulate", "lrelu", (8, 512, 16, 16), LRELU, compiled="full")
    yield Case("modulate", "lrelu", (4, 128, 64, 64), LRELU, quick=True, compiled="full")
    yield Case("modulated_conv2d", "plain", (8, 512, 16, 16), {"out": 512}, compiled="full")
    yield Case("modulated_conv2d", "plain", (4, 128, 64, 64), {"out": 128})
    yield Case("modulated_conv2d", "up2", (8, 512, 8, 8), {"out": 512, "up": 2, "f": BINOMIAL}, compiled="full")
    yield Case("modulated_conv2d", "up2", (4, 256, 32, 32), {"out": 128, "up": 2, "f": BINOMIAL})
    yield Case("conv2d", "3x3", (4, 128, 32, 32), {"out": 128, "padding": 1}, quick=True)
    for n, side in ((16, 64), (8, 128)):
        yield Case(
            "square_sum", "images", (n, 3, side, side), quick=side == 64, compiled="full" if side == 64 else "never"
        )
    yield Case("interpolate", "images", (8, 3, 128, 128), {"seed": (1, 2)})
    for side in (64, 128, 256):
        yield Case(
            "grid_sample", "warp", (16, 3, side, side), quick=side == 64, compiled="full" if side == 64 else "never"
        )
    yield Case("bias_act", "lrelu", (8, 512, 16, 16), LRELU, quick=True, compiled="always")
    yield Case("bias_act", "lrelu", (8, 256, 64, 64), LRELU, compiled="full")
    yield Case("bias_act", "lrelu", (4, 128, 128, 128), LRELU)
    for act in ("linear", "relu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"):
        yield Case("bias_act", act, (4, 128, 64, 64), {"act": act})
    kinds = {
        "up2down2": (36, 36, 2, 2),
        "up4down2": (36, 64, 4, 2),
        "up2down4": (36, 16, 2, 4),
        "up2down2radial": (36, 36, 2, 2, False, True),
        "up2down2radials": (36, 36, 2, 2, True, True),
        "up4down2radials": (36, 64, 4, 2, True, True),
        "up2down4radials": (36, 16, 2, 4, True, True),
    }
    for name, settings in kinds.items():
        yield Case("filtered_lrelu", name, (4, 128, 36, 36), alias_free(*settings), quick=name == "up2down2")
    yield Case("filtered_lrelu", "up2down2", (1, 64, 148, 148), alias_free(148, 148, 2, 2))
    yield Case("filtered_lrelu", "up4down2", (1, 64, 148, 148), alias_free(148, 276, 4, 2))


def _networks() -> Iterator[Case]:
    """The layers of published networks, on a GPU all of them."""
    digits = {"network": "digits demo"}
    yield Case("modulated_conv2d", "plain", (32, 32, 16, 16), {"out": 32}, quick=True, **digits)
    yield Case("modulated_conv2d", "up2", (32, 32, 8, 8), {"out": 32, "up": 2, "f": BINOMIAL}, **digits)
    yield Case("upsample2d", "4x4", (32, 32, 8, 8), {"f": BINOMIAL}, **digits)
    yield Case("bias_act", "lrelu", (32, 32, 16, 16), {"act": "lrelu"}, **digits)
    yield Case("minibatch_stddev", "end", (32, 32, 4, 4), **digits)
    yield from stylegan2("StyleGAN2 256", 32768, 4, (16,), (16,))
    yield from stylegan2("StyleGAN2 256", 32768, 16, (32, 64, 128, 256), ())
    yield from stylegan2("StyleGAN2 512", 32768, 8, (512,), ())
    yield from stylegan2("StyleGAN2 1024", 32768, 4, (1024,), ())
    t256 = ((512, 38, 36, 2), (512, 38, 52, 4), (512, 54, 84, 4), (512, 86, 84, 2), (362, 86, 148, 4))
    t256 += ((181, 150, 148, 2), (128, 150, 276, 4), (91, 278, 276, 2), (64, 278, 256, 2))
    yield from stylegan3("StyleGAN3-T 256", 8, t256)
    yield from stylegan3("StyleGAN3-T 1024", 2, ((128, 278, 532, 4), (81, 534, 1044, 4), (32, 1046, 1044, 2)))
    r256 = ((1024, 36, 36, 2), (1024, 36, 52, 4), (724, 84, 148, 4), (362, 148, 148, 2), (181, 276, 276, 2))
    yield from stylegan3("StyleGAN3-R 256", 8, r256, radial_down=True)
    yield from r3gan(4)


def _layouts(case: Case) -> Iterator[Case]:
    """Both memory formats; channels_last in bfloat16 where networks are trained so, on a GPU."""
    planes = case.op == "filtered_lrelu" or "rgb" in case.name  # which run so in networks on a GPU as well
    yield replace(case, quick_on_gpu=case.quick_on_gpu and planes, compiled="never" if case.gpu else case.compiled)
    compiled = case.compiled if case.gpu else "never"
    dtype = "bfloat16" if case.gpu else "float32"
    yield replace(case, channels_last=True, quick=False, compiled=compiled, dtype=dtype)


CASES = [laid for case in (*_small(), *_networks()) for laid in _layouts(case)]
