"""Samples of grid_sample."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan_fast.testing.sample import LAYOUTS, Sample, randn


def points_sample(
    name: str, shape: tuple[int, ...], size: tuple[int, int], layout: str = "contiguous", align_corners: bool = False
) -> Sample:
    """Points in and around the image, half a pixel to a quarter off pixels' centres, where derivatives jump."""
    n, c, h, w = shape
    generator = torch.Generator().manual_seed(5)
    points = []
    for side in (w, h):
        pixel = torch.randint(-2, side + 1, (n, *size), generator=generator)
        at = pixel + 0.25 + 0.5 * torch.rand((n, *size), generator=generator, dtype=torch.float64)
        points.append(2 * at / max(side - 1, 1) - 1 if align_corners else (2 * at + 1) / side - 1)
    tensors = {"x": LAYOUTS[layout](randn(6, *shape)), "grid": torch.stack(points, -1)}
    landing = 4 * max(size[0] * size[1] // (h * w), 1) + 8  # points near the pixel that most are near
    rounding = max(h, w) ** 2 // 16  # of a coordinate in pixels, as if it were a sum
    reductions = {"y": 4 + rounding, "x": landing + rounding, "grid": 4 * c + rounding, "dy": 12 + rounding}
    return Sample("grid_sample", name, tensors, {"align_corners": align_corners}, layout, ("x", "grid"), reductions)


def samples() -> Iterator[Sample]:
    for layout in LAYOUTS:
        yield points_sample(layout, (2, 3, 7, 5), (6, 9), layout)
        yield points_sample(f"aligned-{layout}", (2, 3, 7, 5), (6, 9), layout, True)
    for layout in ("contiguous", "channels_last"):
        yield points_sample(f"large-{layout}", (2, 11, 16, 12), (21, 30), layout)
    yield points_sample("one-pixel", (3, 2, 1, 1), (2, 3))
    yield points_sample("one-row", (2, 2, 1, 6), (3, 1))
    yield points_sample("one-channel", (2, 1, 6, 6), (8, 8), "channels_last", True)
    yield points_sample("one-point", (2, 3, 4, 4), (1, 1))
    yield points_sample("no-points", (2, 3, 4, 4), (0, 3))
    yield points_sample("no-samples", (0, 3, 4, 4), (2, 2))
