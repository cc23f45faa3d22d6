"""3x3 convolution by Winograd's minimal filtering: matrix products with 2.25 or 4 times fewer multiplications.

The transforms are kernels (csrc/cpu/conv2d.cpp, which has the formulas); the products between are torch's. The result
is exact up to rounding, a few times that of a direct convolution, and a NaN or infinity spreads over its tile.

Source: Lavin and Gray 2016, Fast algorithms for convolutional neural networks (arXiv 1509.09308).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_fast.ops.backends import launcher
from gan_fast.ops.primitive import computed_dtype

_CHUNK_BYTES = 1 << 20  # of tiles transformed, multiplied and transformed back at a time: with the sums a core's cache


def _launch(name: str, backend: str, *args: object) -> None:
    fill = launcher("conv2d", name, backend)
    if isinstance(fill, str):
        raise RuntimeError(f"{name}: backend '{backend}' cannot run here: {fill}")
    fill(*args)


def takes(w: Tensor, stride: int, groups: int, area: int, backend: str) -> bool:
    """Whether it takes less time than a direct convolution of `area` pixels would, on a backend that has its kernels.

    With few channels the transforms outweigh the products, and with few pixels so do the transformed kernels.
    """
    return (
        w.shape[2:] == (3, 3)
        and stride == groups == 1
        and area >= 64
        and min(w.shape[:2]) >= 32
        and not isinstance(launcher("conv2d", "winograd_into", backend), str)
    )


@dataclass(frozen=True)
class _Tiles:
    """Tiles of m x m results over [n, ., height, width], in rows of `across`, `down` rows a sample."""

    m: int
    n: int
    height: int
    width: int

    @property
    def points(self) -> int:
        return (self.m + 2) ** 2

    @property
    def down(self) -> int:
        return -(-self.height // self.m)

    @property
    def across(self) -> int:
        return -(-self.width // self.m)

    def grid(self, first: int, pad: tuple[int, int] = (0, 0)) -> list[int]:
        return [self.m, *pad, self.down, self.across, first]

    def chunks(self, u: Tensor) -> Iterator[tuple[int, int]]:
        """(first row, rows) of pieces that stay in the cache, but of no less than the kernels, which each reads."""
        rows, element = self.n * self.down, u.element_size()
        chunk = max(_CHUNK_BYTES, u.numel() * element)
        most = max(chunk // (self.points * self.across * max(u.shape[1:]) * element), 1)
        step = -(-rows // -(-rows // most))
        for first in range(0, rows, step):
            yield first, min(step, rows - first)


def _buffer(points: int, tiles: int, channels: int, like: Tensor) -> Tensor:
    """[points, tiles + 1, channels]: one tile more than there are.

    Without it the points of a tile, which are written together, would fall into one set of the cache, and with gaps
    instead PyTorch would multiply matrix by matrix.
    """
    return like.new_empty(points, tiles + 1, channels)


def tile_size(height: int, width: int) -> int:
    """Small images have few tiles, and reading (m + 2)^2 transformed kernels is most of the work."""
    return 4 if height * width >= 256 else 2


def transform_weight(w: Tensor, m: int, flipped: bool, backend: str) -> Tensor:
    """U = G w G^T of w [O, I, 3, 3], as [(m + 2)^2, O, I]; flipped: of w rotated by 180 degrees."""
    u = w.new_empty((m + 2) ** 2, *w.shape[:2], dtype=computed_dtype(w.dtype))
    _launch("winograd_into", backend, w, "flipped" if flipped else "weight", [1, 0, 0, 1, 1, 0], u)
    return u


def convolve(x: Tensor, u: Tensor, pad: tuple[int, int], y: Tensor, backend: str) -> None:
    """y [N, O, H', W'] = the correlation of x with the kernels behind u [points, O, I]; pad: (y, x), zeros before x."""
    tiles = _Tiles(int(len(u) ** 0.5) - 2, len(y), *y.shape[2:])
    o, i = u.shape[1:]
    v = sums = u.new_empty(0)
    for first, rows in tiles.chunks(u):
        count = rows * tiles.across
        if v.shape[1:2] != (count + 1,):
            v, sums = (_buffer(tiles.points, count, channels, u) for channels in (i, o))
        _launch("winograd_into", backend, x, "input", tiles.grid(first, pad), v[:, :-1])
        torch.bmm(v, u.transpose(1, 2), out=sums)
        _launch("winograd_from", backend, sums[:, :-1], "output", tiles.grid(first), y)


def weight_grad(x: Tensor, dy: Tensor, pad: tuple[int, int], m: int, dw: Tensor, backend: str) -> None:
    """dw [O, I, 3, 3] = the sum over samples and pixels of dy [N, O, H', W'] times x as `convolve` pads it."""
    tiles = _Tiles(m, len(dy), *dy.shape[2:])
    o, i = dw.shape[:2]
    computed = computed_dtype(x.dtype)
    du = dy.new_empty(tiles.points, o, i, dtype=computed)
    v = e = du.new_empty(0)
    for first, rows in tiles.chunks(du):
        count = rows * tiles.across
        if v.shape[1:2] != (count,):
            v, e = (_buffer(tiles.points, count, channels, du)[:, :-1] for channels in (i, o))
        _launch("winograd_into", backend, x, "input", tiles.grid(first, pad), v)
        _launch("winograd_into", backend, dy, "grad", tiles.grid(first), e)
        torch.baddbmm(du, e.transpose(1, 2), v, beta=float(first > 0), out=du)
    _launch("winograd_from", backend, du, "weight", [1, 0, 0, 1, 1, 0], dw)
