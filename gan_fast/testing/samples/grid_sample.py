"""Samples of grid_sample."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan_fast.testing.sample import LAYOUTS, Draw, Sample, randn


def _points_sample(
    name: str,
    shape: tuple[int, ...],
    size: tuple[int, int],
    layout: str = "contiguous",
    align_corners: bool = False,
    seed: int = 5,
) -> Sample:
    """Points in and around the image, half a pixel to a quarter off pixels' centres, where derivatives jump."""
    n, c, h, w = shape
    generator = torch.Generator().manual_seed(seed)
    points = []
    for side in (w, h):
        pixel = torch.randint(-2, side + 1, (n, *size), generator=generator)
        at = pixel + 0.25 + 0.5 * torch.rand((n, *size), generator=generator, dtype=torch.float64)
        points.append(2 * at / max(side - 1, 1) - 1 if align_corners else (2 * at + 1) / side - 1)
    tensors = {"x": LAYOUTS[layout](randn(seed + 1, *shape)), "grid": torch.stack(points, -1)}
    landing = 4 * max(size[0] * size[1] // (h * w), 1) + 8  # points near the pixel that most are near
    rounding = max(h, w) ** 2 // 16  # of a coordinate in pixels, as if it were a sum
    reductions = {"y": 4 + rounding, "x": landing + rounding, "grid": 4 * c + rounding, "dy": 12 + rounding}
    return Sample("grid_sample", name, tensors, {"align_corners": align_corners}, layout, ("x", "grid"), reductions)


def samples() -> Iterator[Sample]:
    for layout in LAYOUTS:
        yield _points_sample(layout, (2, 3, 7, 5), (6, 9), layout)
        yield _points_sample(f"aligned-{layout}", (2, 3, 7, 5), (6, 9), layout, True)
    for layout in ("contiguous", "channels_last"):
        yield _points_sample(f"large-{layout}", (2, 11, 16, 12), (21, 30), layout)
    yield _points_sample("one-pixel", (3, 2, 1, 1), (2, 3))
    yield _points_sample("one-row", (2, 2, 1, 6), (3, 1))
    yield _points_sample("one-channel", (2, 1, 6, 6), (8, 8), "channels_last", True)
    yield _points_sample("one-point", (2, 3, 4, 4), (1, 1))
    yield _points_sample("no-points", (2, 3, 4, 4), (0, 3))
    yield _points_sample("no-samples", (0, 3, 4, 4), (2, 2))


def drawn(draw: Draw) -> Sample:
    """Images and grids of any size, points in and around the image."""
    shape, size = (draw.batch(), draw.size(), draw.size(), draw.width()), (draw.integer(0, 9), draw.size())
    return _points_sample("drawn", shape, size, draw.layout(), draw.boolean(), draw.seed())
