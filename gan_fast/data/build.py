"""Data sets written as a zip of equal PNG files with their labels, as this package and existing tools read it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import IO

import torch
from PIL import Image

from gan_fast.data import labels
from gan_fast.data.files import CHUNK, ImageFiles


def write_zip(images: ImageFiles, file: IO[bytes], progress: Callable[[int], None] = lambda count: None) -> int:
    """Write images as 00000/img00000000.png, ..., and dataset.json with labels, names of classes and `describe()`.

    Equal images give equal bytes: no time enters. Pixels are not compressed: they are read faster so. `progress` is
    called with the number of images that are done since the last call. Returns how many were written: those that cannot
    be read are left out where the set skips them.
    """
    listed: list[list[object]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for part in torch.arange(len(images)).split(CHUNK):
            pixels, shown = images.read(part)
            for index, found, image in zip(part.tolist(), shown.tolist(), pixels, strict=True):
                if found != index:
                    continue
                name = f"{len(listed) // 1000:05d}/img{len(listed):08d}.png"
                archive.writestr(zipfile.ZipInfo(name), _png(image))
                vector = None if images.vectors is None else images.vectors[index].tolist()
                listed.append([name, int(images.labels[index]) if vector is None else vector])
            progress(len(part))
        labelled = images.c_dim > 0
        content = {
            "labels": listed if labelled else None,
            "class_names": list(images.class_names) or None,
            "built": images.describe() | {"source": images.source.path.name},
        }
        archive.writestr(zipfile.ZipInfo(labels.FILE), json.dumps(content, indent=1))
    return len(listed)


def _png(image: torch.Tensor) -> bytes:
    file = io.BytesIO()
    pixels = image.permute(1, 2, 0).squeeze(2) if len(image) == 1 else image.permute(1, 2, 0)
    Image.fromarray(pixels.contiguous().numpy()).save(file, "PNG", compress_level=0)
    return file.getvalue()
