"""Pictures of experiments: curves, points in the plane, and images, beside or below each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_fast.training import sample

SCALE = 2  # everything is drawn so much larger and then reduced, which smooths its edges
INK, SOFT, LINE = (30, 36, 46), (110, 118, 130), (226, 229, 234)
COLOURS = ((20, 92, 160), (206, 72, 10), (34, 128, 70), (140, 60, 150), (150, 110, 20), (90, 90, 90))
WIDTH, HEIGHT = 350, 220
LEFT, TOP, BOTTOM, RIGHT = 46, 44, 22, 10
DOT = 1.6

Curve = tuple[Sequence[float], Sequence[float]]


def curves(
    title: str, drawn: Mapping[str, Curve], *, log: bool = False, low: float | None = None, high: float | None = None
) -> Image.Image:
    """Curves (x, y) by their names; log: of y. What is not finite, or not positive where log, is left out."""
    usable = {
        name: [(x, y) for x, y in zip(*curve, strict=True) if math.isfinite(y) and (y > 0 or not log)]
        for name, curve in drawn.items()
    }
    height = math.log10 if log else float
    xs = [x for points in usable.values() for x, _ in points]
    ys = [height(y) for points in usable.values() for _, y in points]
    bottom = height(low) if low is not None else min(ys)
    top = height(high) if high is not None else max(ys)
    top = top if top > bottom else bottom + 1.0
    left, right = min(xs), max(xs)
    image, canvas = _sheet(WIDTH, HEIGHT, title)

    def place(x: float, y: float) -> tuple[float, float]:
        share = min(max((height(y) - bottom) / (top - bottom), -0.02), 1.02)
        across = (x - left) / (right - left or 1.0)
        return (
            (LEFT + (WIDTH - LEFT - RIGHT) * across) * SCALE,
            (HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share) * SCALE,
        )

    for share in (0.0, 0.5, 1.0):
        level = bottom + share * (top - bottom)
        value = 10.0**level if log else level
        (x0, y), (x1, _) = place(left, value), place(right, value)
        canvas.line([(x0, y), (x1, y)], LINE, SCALE)
        canvas.text((x0 - 5 * SCALE, y), f"{value:.2g}", SOFT, _font(10), anchor="rm")
    for x, anchor in ((left, "la"), (right, "ra")):
        canvas.text(
            (place(x, 10.0**bottom if log else bottom)[0], (HEIGHT - 16) * SCALE),
            f"{x:g}",
            SOFT,
            _font(10),
            anchor=anchor,
        )
    for points, colour in zip(usable.values(), COLOURS, strict=False):
        canvas.line([place(x, y) for x, y in points], colour, 2 * SCALE, joint="curve")
    _legend(canvas, list(usable))
    return image.reduce(SCALE)


def plane(title: str, points: Mapping[str, Tensor], reach: float) -> Image.Image:
    """Points [N, 2] by their names, over [-reach, reach]^2."""
    side = HEIGHT - TOP
    image, canvas = _sheet(side, HEIGHT, title)
    canvas.rectangle([0, TOP * SCALE, side * SCALE - 1, HEIGHT * SCALE - 1], None, LINE)
    dot = DOT * SCALE
    for each, colour in zip(points.values(), COLOURS, strict=False):
        for x, y in each.tolist():
            if max(abs(x), abs(y)) < reach:
                at = (1 + x / reach) * side / 2 * SCALE, TOP * SCALE + (1 - y / reach) * side / 2 * SCALE
                canvas.ellipse([at[0] - dot, at[1] - dot, at[0] + dot, at[1] + dot], colour)
    _legend(canvas, list(points))
    return image.reduce(SCALE)


def images(title: str, drawn: Tensor, columns: int, min_side: int = 32) -> Image.Image:
    """Images [N, C, H, W] in [-1, 1], so many in a row."""
    grid = sample.grid(drawn, columns, min_side).convert("RGB")
    width = max(grid.width, math.ceil(_font(13).getlength(title) / SCALE) + 4)
    image, _ = _sheet(width, 22, title)
    sheet = Image.new("RGB", (width, grid.height + 22), "white")
    sheet.paste(image.reduce(SCALE), (0, 0))
    sheet.paste(grid, (0, 22))
    return sheet


def beside(*pictures: Image.Image, gap: int = 12) -> Image.Image:
    """Pictures from left to right."""
    size = sum(p.width + gap for p in pictures) - gap, max(p.height for p in pictures)
    sheet, x = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width + gap
    return sheet


def below(*pictures: Image.Image, gap: int = 12) -> Image.Image:
    """Pictures from top to bottom."""
    size = max(p.width for p in pictures), sum(p.height + gap for p in pictures) - gap
    sheet, y = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height + gap
    return sheet


def _sheet(width: int, height: int, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width * SCALE, height * SCALE), "white")
    canvas = ImageDraw.Draw(image)
    canvas.text((2 * SCALE, 4 * SCALE), title, INK, _font(13))
    return image, canvas


def _legend(canvas: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    x = 4 * SCALE
    for name, colour in zip(names, COLOURS, strict=False):
        canvas.ellipse([x, 27 * SCALE, x + 6 * SCALE, 33 * SCALE], colour)
        canvas.text((x + 9 * SCALE, 30 * SCALE), name, SOFT, _font(11), anchor="lm")
        x += 17 * SCALE + canvas.textlength(name, _font(11))


@lru_cache
def _font(size: int) -> ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)
