"""A folder of image files as a set of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from gan_fast.data.image_set import ImageSet

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MODES = {1: "L", 3: "RGB"}


def folder(path: str | Path, resolution: int, channels: int = 3) -> ImageSet:
    """Read every image under `path`, centre-cropped to a square and resized (Lanczos) to `resolution`.

    Where the images lie in sub-folders, each first-level sub-folder is a class, in the order of the names; where
    they lie in `path` itself there are no classes. Transparency is dropped; rotation in EXIF is applied.

    Args:
        path: the folder.
        resolution: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).

    Raises:
        ValueError: no folder, no images, images both beside and inside sub-folders, a class with no image, a file
            that cannot be read or holds more than 8 bits a channel; each names what it is about.
    """
    path = Path(path)
    if channels not in MODES:
        raise ValueError(f"channels: expected 1 or 3, got {channels!r}")
    if not isinstance(resolution, int) or resolution < 1:
        raise ValueError(f"resolution: expected a positive number of pixels, got {resolution!r}")
    if not path.is_dir():
        raise ValueError(f"path: no such folder: {path}")
    loose = _images_in(path.iterdir())
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    members = [_images_in(p.rglob("*")) for p in classes]
    if loose and any(members):
        raise ValueError(f"path: {path} holds {len(loose)} images of its own beside images in sub-folders: use one way")
    if not loose and not any(members):
        raise ValueError(f"path: no images in {path} (looked for {', '.join(sorted(EXTENSIONS))})")
    if loose:
        classes, members = [], [loose]
    for cls, files in zip(classes, members, strict=False):
        if not files:
            raise ValueError(f"path: the class folder {cls} holds no images")
    images = torch.stack([_read(f, resolution, channels) for files in members for f in files])
    labels = torch.repeat_interleave(torch.tensor([len(files) for files in members]))
    return ImageSet(images, labels, tuple(p.name for p in classes))


def _images_in(paths) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in EXTENSIONS and p.is_file())


def _read(file: Path, resolution: int, channels: int) -> torch.Tensor:
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode} has more than 8 bits a channel")
            image = ImageOps.exif_transpose(image).convert(MODES[channels])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read the image {file}: {error}") from error
    image = ImageOps.fit(image, (resolution, resolution), Image.Resampling.LANCZOS)
    pixels = np.array(image).reshape(resolution, resolution, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
