"""Normal noise from a counter: drawn again wherever it is needed instead of being kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import resolve
from gan_fast.ops.primitive import Primitive, computed_dtype, needs


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, seed, ctx.shape, ctx.backend = inputs
    ctx.save_for_backward(seed)


def _backward(ctx: Any, dy: Tensor) -> tuple:
    """z is drawn again, so that nothing of y's size is kept."""
    dstrength = None
    if needs(ctx, 0):
        (seed,) = ctx.saved_tensors
        dstrength = (dy * _noise(dy.new_ones([]), seed, ctx.shape, ctx.backend)).sum()
    return dstrength, None, None


_noise = Primitive(
    "noise",
    "noise(Tensor strength, Tensor seed, int[] shape) -> Tensor",
    lambda strength, seed, shape: strength.new_empty(shape),
    _setup,
    _backward,
)

_LOW = 0xFFFFFFFF


def _product(a: int, b: Tensor) -> tuple[Tensor, Tensor]:
    """High and low half of a 32-bit product, in numbers that int64 holds."""
    low, high = a * (b & 0xFFFF), a * (b >> 16)
    high = high + (low >> 16)
    return high >> 16, (high << 16 | low & 0xFFFF) & _LOW


def philox(seed: Tensor, offset: Tensor, block: Tensor) -> list[Tensor]:
    """Philox4x32-10: four 32-bit numbers, in int64, of each block of the counter (block, offset) under the key seed."""
    k = [seed & _LOW, seed >> 32 & _LOW]
    c = [block & _LOW, block >> 32 & _LOW, (offset & _LOW).expand_as(block), (offset >> 32 & _LOW).expand_as(block)]
    for _ in range(10):
        (high_a, low_a), (high_b, low_b) = _product(0xD2511F53, c[0]), _product(0xCD9E8D57, c[2])
        c = [high_b ^ c[1] ^ k[0], low_b, high_a ^ c[3] ^ k[1], low_a]
        k = [(k[0] + 0x9E3779B9) & _LOW, (k[1] + 0xBB67AE85) & _LOW]
    return c


def _reference(strength: Tensor, seed: Tensor, shape: Sequence[int]) -> Tensor:
    n = math.prod(shape)
    c = philox(seed[0], seed[1], torch.arange((n + 3) // 4, device=seed.device))
    z = []
    for first, second in (c[:2], c[2:]):
        dtype = computed_dtype(strength.dtype)
        radius = (-2 * (((first >> 9).to(dtype) + 0.5) / 2**23).log()).sqrt()
        angle = (second >> 8).to(dtype) / 2**24 * (2 * math.pi)
        z += [radius * angle.cos(), radius * angle.sin()]
    return strength * torch.stack(z, 1).flatten()[:n].reshape(list(shape)).to(strength.dtype)


def noise(shape: Sequence[int], seed: Tensor, strength: Tensor | None = None, *, backend: str | None = None) -> Tensor:
    """Draws normal numbers that depend on their place, the seed and nothing else.

        y[i] = strength * z[i],  z[4 k], ..., z[4 k + 3] = four normal numbers of the counter (k, offset) under the seed

    shape: of y; i counts its elements in order. seed: (seed, offset), int64 [2], on the device where the noise is to
    be: another offset gives other noise, also inside a CUDA graph, which reads both when it is replayed. strength: one
    number, float32, float64, float16 or bfloat16; None is 1 in float32.

    Returns y: contiguous, of strength's dtype; z is computed in float32, or float64 for that. Every backend draws the
    same numbers, up to rounding. Differentiable in strength any number of times: backward draws z again. As the noise
    of a layer, `bias_act(x, b, noise=noise([n, 1, h, w], seed, strength))` keeps none of it for backward and reads
    1 / C of x's size: drawing inside `bias_act` would draw each number again for every channel.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: Philox4x32-10, Salmon et al. 2011 (Parallel random numbers: as easy as 1, 2, 3), section 4.3; Box and Muller
    1958. Noise of a layer: StyleGAN, Karras et al. 2019 (arXiv 1812.04948), section 2.
    """
    shape = arguments.integers("shape", list(shape) if isinstance(shape, torch.Size) else shape, range(9), minimum=0)
    arguments.check_seed("seed", seed)
    if strength is None:
        strength = torch.ones([], device=seed.device)
    else:
        arguments.check_scalar("strength", strength)
        arguments.check_same_device("strength", strength, seed)
        strength = strength.reshape([])
    backend = resolve("noise", strength, backend)
    if backend == "reference":
        return _reference(strength, seed, shape)
    return _noise(strength, seed.contiguous(), list(shape), backend)
