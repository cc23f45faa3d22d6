"""Images for training: sources that read them, and the sampler that orders them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gan_fast.data.decode import BrokenImage, Protocol
from gan_fast.data.digits import digits
from gan_fast.data.files import ImageFiles, OnError
from gan_fast.data.image_set import Images, ImageSet, to_float, to_uint8
from gan_fast.data.photos import photos
from gan_fast.data.sampler import BatchSampler, seeded_generator, share
from gan_fast.data.sources import open_source

__all__ = [
    "BatchSampler",
    "BrokenImage",
    "ImageFiles",
    "ImageSet",
    "Images",
    "Protocol",
    "digits",
    "open_data",
    "open_source",
    "photos",
    "seeded_generator",
    "share",
    "to_float",
    "to_uint8",
]

IN_MEMORY = 2**30  # bytes of pixels; larger sets are read when needed


def open_data(
    source: str | Path,
    resolution: int,
    channels: int,
    *,
    crop: Literal["center", "wide"] = "center",
    on_error: OnError = "raise",
    in_memory: bool | None = None,
) -> tuple[Images, Images | None]:
    """Open a source by name, "digits" or "photos", or by path, of any format that `open_source` lists.

    Args:
        source: the name or the path.
        resolution, channels, crop: see `Protocol`; the built-in sources have shapes of their own.
        on_error: "raise" or "skip", see `ImageFiles`.
        in_memory: decode all images now, or each when it is needed; None: now where they take up to 1 GiB.

    Returns:
        (training images, held-out images); a path holds nothing out, and its second value is None.

    Raises:
        ValueError: no such source, one that refuses `resolution` or `channels`, or a file that cannot be read; named.
    """
    if str(source) in ("digits", "photos"):
        only = 1 if source == "digits" else 3
        if channels != only:
            raise ValueError(f"channels: the {source} have {only}, so channels must be {only}, got {channels}")
    if str(source) == "photos":
        return photos(resolution)
    if str(source) == "digits":
        images = digits(resolution)
        held_out = images.class_rank() % 5 == 4
        return images.subset(~held_out), images.subset(held_out)
    protocol = Protocol(resolution, channels, crop)
    files = ImageFiles(open_source(source, resolution), protocol, on_error)
    if in_memory is None:
        in_memory = files.nbytes <= IN_MEMORY
    return (files.load() if in_memory else files), None
