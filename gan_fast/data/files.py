"""Images that lie in files and are decoded, by threads, when they are asked for."""

from __future__ import annotations

import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gan_fast.data.decode import BrokenImage, Protocol
from gan_fast.data.image_set import Images, ImageSet, summary, to_float
from gan_fast.data.sources import Source

log = logging.getLogger(__name__)
OnError = Literal["raise", "skip"]
CHUNK = 1024


@functools.cache
def decoders() -> ThreadPoolExecutor:
    """The threads that read and decode; Pillow and the file system leave Python's lock while they work."""
    return ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode")


class ImageFiles(Images):
    """The images of a source, read, decoded and resized whenever they are asked for.

    Args:
        source: where the files are.
        protocol: the shape they are brought to.
        on_error: what happens where a file cannot be read. "raise": ValueError names it. "skip": the log names it once,
            and the next image that can be read stands in its place, with its own label, so that all others keep theirs.
        which: the images of the source that belong to this set; None: all.

    Attributes:
        skipped: names of the files that could not be read so far, and why.

    Raises:
        ValueError: `on_error` is neither, or it is "raise" and labels name images that are not there.
    """

    def __init__(self, source: Source, protocol: Protocol, on_error: OnError = "raise", which: Tensor | None = None):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error: expected raise or skip, got {on_error!r}")
        if source.unmatched and on_error == "raise":
            raise ValueError(
                f"{source.path}: {len(source.unmatched)} labels name images that are not there, the first is "
                f"{source.unmatched[0]}"
            )
        self.source, self.protocol, self.on_error = source, protocol, on_error
        self.skipped: dict[str, str] = {}
        self._which = torch.arange(len(source)) if which is None else which
        chosen = source.labels.subset(self._which)
        self.labels, self.class_names, self.vectors = chosen.labels, chosen.class_names, chosen.vectors

    @property
    def nbytes(self) -> int:
        """Size of all the pixels."""
        return len(self) * self.protocol.channels * self.protocol.resolution**2

    def pixels(self, indices: Tensor) -> Tensor:
        return self.read(indices)[0]

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        pixels, shown = self.read(indices)
        return to_float(pixels.to(device)), self.conditions(shown).to(device)

    def subset(self, which: Tensor) -> ImageFiles:
        return ImageFiles(self.source, self.protocol, self.on_error, self._which[which])

    def load(self) -> ImageSet:
        """All of them in memory; those that cannot be read are left out where `on_error` is "skip"."""
        images = torch.empty(len(self), self.protocol.channels, *[self.protocol.resolution] * 2, dtype=torch.uint8)
        shown = torch.empty(len(self), dtype=torch.int64)
        for part in torch.arange(len(self)).split(CHUNK):
            images[part], shown[part] = self.read(part)
        kept = shown == torch.arange(len(self))
        loaded = ImageSet(images, self.labels, self.class_names, self.vectors, self._origin())
        return loaded if kept.all() else loaded.subset(kept)

    def describe(self) -> dict[str, Any]:
        return self._origin() | summary(self, self.source.stamp.encode() + self._which.numpy().tobytes())

    def _origin(self) -> dict[str, Any]:
        where = {"source": str(self.source.path), "kind": self.source.kind}
        return where | self.protocol.describe() | {"skipped": sorted(self.skipped)}

    def read(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [n, C, H, W], and int64 [n], which images these are: others than asked for where some are skipped."""
        pixels, shown = zip(*decoders().map(self._read_one, indices.tolist()), strict=True)
        return torch.from_numpy(np.stack(pixels)), torch.tensor(shown)

    def _read_one(self, index: int) -> tuple[np.ndarray, int]:
        for step in range(len(self)):
            candidate = (index + step) % len(self)
            try:
                return self._decode(candidate), candidate
            except BrokenImage as error:
                if self.on_error == "raise":
                    raise
                name = self.source.names[self._which[candidate]]
                reason = str(error)
                if self.skipped.setdefault(name, reason) is reason:  # of several threads one
                    log.warning("skipped: %s", reason)
        raise ValueError(f"path: none of the {len(self)} images in {self.source.path} can be read")

    def _decode(self, index: int) -> np.ndarray:
        i = int(self._which[index])
        name = f"{self.source.path}: {self.source.names[i]}"
        try:
            data = self.source.read(i)
        except OSError as error:
            raise BrokenImage(f"cannot read the image {name}: {error}") from error
        return self.protocol(data, name)
