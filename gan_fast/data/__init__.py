"""Images for training: sources that read them, and the sampler that orders them."""

from __future__ import annotations

from pathlib import Path

from gan_fast.data.digits import digits
from gan_fast.data.folder import folder
from gan_fast.data.image_set import ImageSet, to_float, to_uint8
from gan_fast.data.sampler import BatchSampler, seeded_generator

__all__ = ["BatchSampler", "ImageSet", "digits", "folder", "open_data", "seeded_generator", "to_float", "to_uint8"]


def open_data(source: str | Path, resolution: int, channels: int) -> tuple[ImageSet, ImageSet | None]:
    """Open a source by name: "digits", or the path of an image folder.

    Returns:
        (training images, held-out images); a folder holds nothing out, and its second value is None.

    Raises:
        ValueError: `source` is neither "digits" nor a folder, or the source refuses `resolution` or `channels`.
    """
    if str(source) == "digits":
        if channels != 1:
            raise ValueError(f"channels: the digits are grey, so channels must be 1, got {channels}")
        images = digits(resolution)
        held_out = images.class_rank() % 5 == 4
        return images.subset(~held_out), images.subset(held_out)
    if not Path(source).is_dir():
        raise ValueError(f"data: expected 'digits' or the path of an image folder, got {str(source)!r}")
    return folder(source, resolution, channels), None
