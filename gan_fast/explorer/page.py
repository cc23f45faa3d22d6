"""The explorer as one HTML file that needs nothing else: all images are drawn beforehand and lie in it as sprites."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan_fast.data import to_uint8
from gan_fast.explorer.panels import Control, Panel, Slider

CHUNK = 256
LARGEST_TILE = 128  # a sheet of thousands must stay within WebP's 16383 pixels
PIXELS = 64  # up to this side images are kept without loss and enlarged pixel by pixel


def make_page(
    panels: Sequence[Panel],
    title: str,
    subtitle: str,
    report: Callable[[int], None] = lambda done: None,
    largest: int = LARGEST_TILE,
) -> str:
    """The HTML text of a page with these panels; every combination of their controls' page values is drawn.

    Args:
        panels: at least one; their images are grey or RGB, all of one size.
        title, subtitle: plain text.
        report: called with how many points, of `count_points`, are drawn.
        largest: images with a longer side are shrunk to it.
    """
    done, sheets = 0, []
    for panel in panels:
        sheets.append(_Sheet())
        points = [panel.from_page(point) for point in itertools.product(*(c.page for c in _controls(panel)))]
        for part in (points[i : i + CHUNK] for i in range(0, len(points), CHUNK)):
            sheets[-1].add(_tiles(panel.draw(part), largest))
            done += len(part)
            report(done)
    data = {
        "title": title,
        "subtitle": subtitle,
        "pixels": max(sheets[0].tile) <= PIXELS,
        "panels": [_describe(panel, sheet) for panel, sheet in zip(panels, sheets, strict=True)],
    }
    template = files("gan_fast.explorer").joinpath("page.html").read_text()
    return template.replace("{{DATA}}", json.dumps(data, separators=(",", ":")).replace("</", "<\\/"))


def count_points(panels: Sequence[Panel]) -> int:
    """How many combinations of their controls' page values the panels have."""
    return sum(math.prod(len(control.page) for control in _controls(panel)) for panel in panels)


class _Sheet:
    """Tiles without repeats, and for each image that was added the number of its tile."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.tiles: list[Tensor] = []
        self._known: dict[bytes, int] = {}

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height."""
        return self.tiles[0].shape[2], self.tiles[0].shape[1]

    @property
    def columns(self) -> int:
        return math.ceil(len(self.tiles) ** 0.5)

    def add(self, images: Tensor) -> None:
        """images: uint8 [n, C, h, w]."""
        for image in images:
            number = self._known.setdefault(image.numpy().tobytes(), len(self.tiles))
            if number == len(self.tiles):
                self.tiles.append(image)
            self.numbers.append(number)

    def data_uri(self) -> str:
        """All tiles as one WebP image, row by row."""
        tiles = torch.stack(self.tiles)
        tiles = F.pad(tiles, (0, 0, 0, 0, 0, 0, 0, -len(tiles) % self.columns))
        sheet = tiles.unflatten(0, (-1, self.columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
        picture = Image.fromarray((sheet[..., 0] if sheet.shape[2] == 1 else sheet).numpy())
        stream = io.BytesIO()
        options = {"lossless": True} if max(self.tile) <= PIXELS else {"quality": 75}
        picture.save(stream, "webp", method=4, **options)
        return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _tiles(images: Tensor, largest: int) -> Tensor:
    """[N, P, C, H, W] -> uint8 [N * P, C, h, w], no side above `largest`."""
    images = images.flatten(0, 1)
    factor = largest / max(images.shape[2:])
    if factor < 1:
        images = F.interpolate(images, scale_factor=factor, mode="bilinear", antialias=True)
    return to_uint8(images)


def _controls(panel: Panel) -> tuple[Control, ...]:
    return panel.controls if panel.page_controls is None else panel.page_controls


def _describe(panel: Panel, sheet: _Sheet) -> dict[str, Any]:
    return {
        "title": panel.title,
        "text": panel.text,
        "captions": panel.captions,
        "controls": [_describe_control(control) for control in _controls(panel)],
        "tile": sheet.tile,
        "columns": sheet.columns,
        "tiles": sheet.numbers,
        "sprite": sheet.data_uri(),
    }


def _describe_control(control: Control) -> dict[str, Any]:
    slides = isinstance(control, Slider)
    return {
        "kind": "slider" if slides else "list" if control.is_long else "buttons",
        "label": control.label,
        "values": [f"{round(value, 3):g}" if slides else control.options[value] for value in control.page],
        "start": min(range(len(control.page)), key=lambda i: abs(control.page[i] - control.start)),
        "loops": slides and control.loops,
    }
