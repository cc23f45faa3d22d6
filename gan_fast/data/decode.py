"""From the bytes of an image file to pixels of one size and number of channels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MODES = {1: "L", 3: "RGB"}
COLOURS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})  # what Pillow makes MODES of
WIDE = 3 / 4  # height to width of a wide crop


class BrokenImage(ValueError):
    """A file that holds no readable image; the message names it."""


@dataclass(frozen=True)
class Protocol:
    """How images are brought to one shape: turned upright as EXIF says, cropped to whole pixels, resized (Lanczos).

    Attributes:
        resolution: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: "center": the largest centred square. "wide": the largest centred 4:3 rectangle, with black bars above
            and below.

    Raises:
        ValueError: names the bad value.
    """

    resolution: int
    channels: int = 3
    crop: Literal["center", "wide"] = "center"

    def __post_init__(self) -> None:
        if not isinstance(self.resolution, int) or self.resolution < 1:
            raise ValueError(f"resolution: expected a positive number of pixels, got {self.resolution!r}")
        if self.channels not in MODES:
            raise ValueError(f"channels: expected 1 or 3, got {self.channels!r}")
        if self.crop not in ("center", "wide"):
            raise ValueError(f"crop: expected center or wide, got {self.crop!r}")

    def describe(self) -> dict[str, Any]:
        return {"resolution": self.resolution, "channels": self.channels, "crop": self.crop, "filter": "lanczos"}

    def __call__(self, data: bytes, name: str) -> np.ndarray:
        """uint8 [C, H, W] from an image file's bytes.

        Colours become grey by ITU-R 601's weights; palettes and CMYK become RGB; transparency is dropped; 16 bits a
        channel are scaled to 8.

        Raises:
            BrokenImage: the bytes hold no image, a damaged one, one of too many pixels (Pillow's limit against
                decompression bombs), or one whose values have no defined range (32-bit integers, floats, CIELAB).
        """
        image = open_upright(data, name).convert(MODES[self.channels])
        ratio = 1 if self.crop == "center" else WIDE
        taken = min(image.width, round(image.height / ratio)), min(image.height, round(image.width * ratio))
        left, top = (image.width - taken[0]) // 2, (image.height - taken[1]) // 2
        image = image.crop((left, top, left + taken[0], top + taken[1]))
        height = round(self.resolution * ratio)
        pixels = np.array(image.resize((self.resolution, height), Image.Resampling.LANCZOS))
        above = (self.resolution - height) // 2
        pixels = np.pad(
            pixels.reshape(height, self.resolution, self.channels),
            [(above, self.resolution - height - above), (0, 0), (0, 0)],
        )
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def open_upright(data: bytes, name: str) -> Image.Image:
    """The image in the bytes of a file, decoded, with EXIF's rotation applied and at most 8 bits a channel."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            kind = image.format
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PNG"):
                return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
            if image.mode not in COLOURS:
                raise ValueError(f"values of mode {image.mode} have no defined range")
            return image.convert("RGBA") if image.mode == "P" else image
    except Exception as error:  # Pillow raises many kinds for damaged files
        reason = "cannot identify image file" if isinstance(error, Image.UnidentifiedImageError) else error
        raise BrokenImage(f"cannot read the image {name}: {reason}") from error
