"""DiffAugment: the augmentations of Zhao et al., each applied to every image."""

from __future__ import annotations

import torch
from torch import Tensor

SHIFT = 1 / 8  # largest translation, as a share of the side
HOLE = 1 / 2  # side of the square that is cut out, as a share of the image's


def diff_augment(
    x: Tensor, policy: str = "color,translation,cutout", generator: torch.Generator | None = None
) -> Tensor:
    """Augments each image at random, by the parts that `policy` names, in its order.

        color        brightness x + b, saturation m + (x - m) s with m each pixel's mean over channels, contrast
                     M + (x - M) c with M the image's mean; b, s, c uniform in [-1/2, 1/2], [0, 2], [1/2, 3/2]
        translation  shifts by whole pixels, uniform up to 1/8 of the side; zeros come in
        cutout       a square of half the side becomes 0; its centre is uniform over the image

    Args:
        x: images [N, C, H, W], floating point.
        policy: names of parts, separated by commas; "" returns x.
        generator: where the random numbers come from, on the CPU or on x's device; None: x's device's own.

    Returns:
        y, of x's shape and dtype, differentiable in x any number of times.

    Raises:
        ValueError: a part that there is not.

    Source: Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv 2006.10738, section 4.
    """
    parts = [name.strip() for name in policy.split(",") if name.strip()]
    for name in parts:
        if name not in PARTS:
            raise ValueError(f"policy: expected parts among {', '.join(PARTS)}, got {name!r}")
    for name in parts:
        x = PARTS[name](x, generator)
    return x


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    source = x.device if generator is None else generator.device
    return torch.rand(len(x), 1, 1, 1, generator=generator, device=source).to(x)


def _color(x: Tensor, generator: torch.Generator | None) -> Tensor:
    x = x + (_uniform(x, generator) - 0.5)
    mean = x.mean(1, keepdim=True)
    x = mean + (x - mean) * (_uniform(x, generator) * 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (_uniform(x, generator) + 0.5)


def _translation(x: Tensor, generator: torch.Generator | None) -> Tensor:
    for dim in (2, 3):
        size = x.shape[dim]
        limit = int(size * SHIFT + 0.5)
        source = _integers(x, 2 * limit + 1, generator) - limit + _positions(x, dim)
        inside = (source >= 0) & (source < size)
        x = torch.where(inside, x.gather(dim, source.clamp(0, size - 1).expand_as(x)), 0)
    return x


def _cutout(x: Tensor, generator: torch.Generator | None) -> Tensor:
    hole = torch.ones((), dtype=torch.bool, device=x.device)
    for dim in (2, 3):
        size = x.shape[dim]
        side = int(size * HOLE + 0.5)
        first = _integers(x, size + 1 - side % 2, generator) - side // 2
        at = _positions(x, dim) - first
        hole = hole & (at >= 0) & (at < side)
    return torch.where(hole, 0, x)


def _integers(x: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """int64 [N, 1, 1, 1], uniform in 0..count-1."""
    source = x.device if generator is None else generator.device
    return torch.randint(count, (len(x), 1, 1, 1), generator=generator, device=source).to(x.device)


def _positions(x: Tensor, dim: int) -> Tensor:
    return torch.arange(x.shape[dim], device=x.device).reshape([-1 if d == dim else 1 for d in range(4)])


PARTS = {"color": _color, "translation": _translation, "cutout": _cutout}
