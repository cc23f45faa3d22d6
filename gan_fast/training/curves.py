"""A picture of how the metrics went over a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from gan_fast.training.stats import Record

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 240, 44, 14, 28, 30
INK, LINE, REFERENCE = (40, 40, 40), (31, 119, 180), (160, 160, 160)
PANELS = (
    ("fd_digits", "FD_digits, log scale"),
    ("fd_filters", "FD_filters, log scale"),
    ("recall", "recall"),
    ("coverage", "coverage"),
    ("class_accuracy", "class accuracy"),
)


def draw_curves(records: Sequence[Record], reference: dict[str, float]) -> Image.Image:
    """One panel a metric over kimg, with the value of the real halves as a grey line.

    Args:
        records: evaluations of a run, oldest first.
        reference: the metrics of real data.
    """
    panels = [(key, title) for key, title in PANELS if key in records[0]]
    image = Image.new("RGB", (WIDTH * len(panels), HEIGHT), "white")
    for i, (key, title) in enumerate(panels):
        _panel(ImageDraw.Draw(image), i * WIDTH, title, records, key, reference[key])
    return image


def _decades(values: Sequence[float]) -> list[float]:
    """The powers of ten from below the least value to above the greatest, five at most."""
    low, high = (math.log10(max(value, 1e-6)) for value in (min(values), max(values)))
    top = math.floor(high) + 1
    return [10.0**k for k in range(max(math.floor(low), top - 4), top + 1)]


def _panel(
    draw: ImageDraw.ImageDraw, left: int, title: str, records: Sequence[Record], key: str, reference: float
) -> None:
    log = key.startswith("fd_")
    values = [reference, *(r[key] for r in records)]
    ticks = _decades(values) if log else [0.0, 0.25, 0.5, 0.75, 1.0]
    low, high = ticks[0], ticks[-1]
    end = records[-1]["kimg"] or 1.0
    font = ImageFont.load_default(11)

    def place(kimg: float, value: float) -> tuple[float, float]:
        value = min(max(value, low), high)
        share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
        x = left + LEFT + (WIDTH - LEFT - RIGHT) * kimg / end
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    draw.text((left + LEFT, 8), title, INK, font)
    for value in ticks:
        x, y = place(0, value)
        draw.line([(x, y), place(end, value)], (230, 230, 230))
        draw.text((x - 6, y), f"{value:g}", INK, font, anchor="rm")
    for kimg, anchor in ((0, "la"), (end / 2, "ma"), (end, "ra")):
        draw.text((place(kimg, low)[0], HEIGHT - BOTTOM + 6), f"{kimg:.3g} kimg", INK, font, anchor=anchor)
    draw.line([place(0, reference), place(end, reference)], REFERENCE, 2)
    points = [place(r["kimg"], r[key]) for r in records]
    draw.line(points, LINE, 2, joint="curve")
    for x, y in points:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], LINE)
