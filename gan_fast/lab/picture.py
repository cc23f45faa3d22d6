"""One picture of a snapshot: the plane at the left; losses, divergence and D's accuracy over time at the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_fast.lab.session import MIXTURES, REACH, Snapshot

WIDTH, HEIGHT = 880, 520
SCALE = 2  # everything is drawn so much larger and then reduced, which smooths its edges
PLANE = HEIGHT * SCALE
LEFT, RIGHT, TOP, GAP = PLANE + 48 * SCALE, (WIDTH - 16) * SCALE, 72 * SCALE, 48 * SCALE
PANEL = 104 * SCALE

INK, SOFT, LINE = (30, 36, 46), (110, 118, 130), (226, 229, 234)
REAL, FAKE, ARROW = (20, 92, 160), (206, 72, 10), (60, 52, 66)
PALE_REAL, NEUTRAL, PALE_FAKE = (158, 202, 236), (250, 250, 248), (252, 196, 150)
DOT = 2.6 * SCALE
ARROW_MEDIAN, ARROW_LONGEST = 11.0 * SCALE, 30.0 * SCALE
POINTS = 300  # of a curve; of more every so many-th is drawn


def draw(snapshot: Snapshot) -> Image.Image:
    """The picture, RGB, WIDTH x HEIGHT.

    Blue is real and orange generated, in the points and in what D takes the plane for: its values are shown from their
    middle on, in units of their standard deviation. Arrows show where G's loss draws a generated point; their median
    length is fixed, and its value stands below.
    """
    image = Image.new("RGB", (WIDTH * SCALE, PLANE), "white")
    image.paste(_heat(snapshot), (0, 0))
    canvas = ImageDraw.Draw(image)
    _points(canvas, _places(snapshot.real), REAL)
    _arrows(canvas, snapshot)
    _points(canvas, _places(snapshot.fake), FAKE)
    _legend(canvas, snapshot.arrows.norm(dim=1).median().item())
    _report(canvas, snapshot)
    return image.reduce(SCALE)


def _heat(snapshot: Snapshot) -> Image.Image:
    heat = snapshot.heat.flip(0) - snapshot.level  # rows of a picture go down
    heat = (heat / (1.5 * heat.std()).clamp(min=0.05)).tanh()[..., None]
    neutral, real, fake = (torch.tensor(colour, dtype=heat.dtype) for colour in (NEUTRAL, PALE_REAL, PALE_FAKE))
    colours = torch.where(heat > 0, neutral + heat * (real - neutral), neutral - heat * (fake - neutral))
    return Image.fromarray(colours.round().byte().numpy()).resize((PLANE, PLANE), Image.Resampling.BICUBIC)


def _places(points: Tensor) -> list[tuple[float, float]]:
    return [((1 + x / REACH) * PLANE / 2, (1 - y / REACH) * PLANE / 2) for x, y in points.tolist()]


def _points(canvas: ImageDraw.ImageDraw, places: Sequence[tuple[float, float]], colour: tuple[int, ...]) -> None:
    for x, y in places:
        if x < PLANE - DOT:
            canvas.ellipse([x - DOT, y - DOT, x + DOT, y + DOT], colour)


def _arrows(canvas: ImageDraw.ImageDraw, snapshot: Snapshot) -> None:
    lengths = snapshot.arrows.norm(dim=1, keepdim=True)
    unit = ARROW_MEDIAN / lengths.median().clamp(min=1e-12)
    moves = snapshot.arrows * (unit * lengths).clamp(max=ARROW_LONGEST) / lengths.clamp(min=1e-12)
    for (x, y), (dx, dy) in zip(_places(snapshot.fake), moves.tolist(), strict=True):
        if x + max(dx, 0) < PLANE - DOT:
            tip = x + dx, y - dy
            canvas.line([(x, y), tip], ARROW, SCALE)
            # A head of a third of the length, 25 degrees to each side.
            for turn in (math.radians(155), math.radians(-155)):
                c, s = math.cos(turn) / 3, math.sin(turn) / 3
                canvas.line([tip, (tip[0] + c * dx - s * dy, tip[1] - s * dx - c * dy)], ARROW, SCALE)


def _legend(canvas: ImageDraw.ImageDraw, pull: float) -> None:
    x, y, font = 18 * SCALE, PLANE - 20 * SCALE, _font(13)
    canvas.rounded_rectangle([6 * SCALE, y - 14 * SCALE, 372 * SCALE, y + 14 * SCALE], 6 * SCALE, "white")
    for text, colour in (("real", REAL), ("generated", FAKE)):
        canvas.ellipse([x - 4 * SCALE, y - 4 * SCALE, x + 4 * SCALE, y + 4 * SCALE], colour)
        canvas.text((x + 10 * SCALE, y), text, INK, font, anchor="lm")
        x += 34 * SCALE + canvas.textlength(text, font)
    canvas.line([(x - 6 * SCALE, y), (x + 8 * SCALE, y)], ARROW, SCALE)
    canvas.text((x + 14 * SCALE, y), f"pull of G's loss, median {pull:.2g}", INK, font, anchor="lm")


def _report(canvas: ImageDraw.ImageDraw, snapshot: Snapshot) -> None:
    settings, records = snapshot.settings, snapshot.records
    now = records[-1]
    names = settings.objective.replace("_", " "), settings.penalty.replace("_", " "), settings.mixture
    canvas.text((PLANE + 18 * SCALE, 12 * SCALE), f"Step {now.step}", INK, _font(18))
    canvas.text((RIGHT, 17 * SCALE), " · ".join(names), SOFT, _font(13), anchor="ra")
    modes = len(MIXTURES[settings.mixture].centres)
    records = records[:: math.ceil(len(records) / POINTS)]
    steps = [r.step for r in records]

    def values(name: str) -> list[float]:
        return [getattr(r, name) for r in records]

    losses = {"of G": (values("g_loss"), FAKE), "of D": (values("d_loss"), REAL)}
    shown = [value for curve, _ in losses.values() for value in curve if math.isfinite(value)] or [0.0]
    _panel(canvas, 0, "Losses", steps, losses, min(shown), max(shown))
    floor, divergence = [snapshot.floor] * len(steps), values("divergence")
    curves = {"grey: of real from real": (floor, SOFT), "": (divergence, INK)}
    _panel(canvas, 1, f"Divergence {now.divergence:.3f}", steps, curves, 0.0, max(floor + divergence))
    curves = {f"{now.modes} of {modes} modes": ([0.5] * len(steps), SOFT), "": (values("accuracy"), INK)}
    _panel(canvas, 2, f"D right about {100 * now.accuracy:.0f} % of pairs", steps, curves, 0.0, 1.0)


def _panel(
    canvas: ImageDraw.ImageDraw,
    number: int,
    title: str,
    steps: Sequence[int],
    curves: dict[str, tuple[Sequence[float], tuple[int, ...]]],
    low: float,
    high: float,
) -> None:
    """Curves over the steps, by what stands for them at the right of the title."""
    top = TOP + number * (PANEL + GAP)
    bottom, small, spread = top + PANEL, _font(11), high - low or 1.0
    for value in (low, (low + high) / 2, high):
        y = bottom - (value - low) / spread * PANEL
        canvas.line([(LEFT, y), (RIGHT, y)], LINE, SCALE)
        canvas.text((LEFT - 6 * SCALE, y), f"{value:.2g}", SOFT, small, anchor="rm")
    canvas.text((LEFT, top - 8 * SCALE), title, INK, _font(13), anchor="ls")
    right = RIGHT
    for name, (values, colour) in curves.items():
        canvas.text((right, top - 8 * SCALE), name, colour, small, anchor="rs")
        right -= canvas.textlength(name, small) + 10 * SCALE if name else 0
        places = [
            (LEFT + (RIGHT - LEFT) * step / (steps[-1] or 1), bottom - (value - low) / spread * PANEL)
            for step, value in zip(steps, values, strict=True)
            if math.isfinite(value)
        ]
        canvas.line(places, colour, 2 * SCALE, joint="curve")
        if places:
            x, y = places[-1]
            canvas.ellipse([x - DOT, y - DOT, x + DOT, y + DOT], colour)


@lru_cache
def _font(size: int) -> ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)
