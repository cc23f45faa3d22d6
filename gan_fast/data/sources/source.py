"""What every format gives: names, labels, and the bytes of any one file."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from gan_fast.data.decode import EXTENSIONS
from gan_fast.data.labels import Labels


class Source(ABC):
    """Image files in a fixed order.

    Attributes:
        kind: the format's name.
        path: where they lie.
        names: a name for each, which errors give.
        stamp: a text that changes with the files: BLAKE2b of names and sizes.
        labels: class or vector of each.
        unmatched: names that have a label but no image.

    Raises:
        ValueError: there are no files.
    """

    kind: str
    labels: Labels

    def __init__(self, path: Path, names: list[str], sizes: list[int]):
        if not names:
            raise ValueError(f"path: no images in {path} (looked for {', '.join(sorted(EXTENSIONS))})")
        self.path, self.names = path, names
        self.stamp = hashlib.blake2b(json.dumps([names, sizes]).encode(), digest_size=16).hexdigest()
        self.unmatched: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, i: int) -> bytes:
        """The bytes of file i; any thread may call it. OSError if they cannot be read."""


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does, and neither it nor a folder above is hidden."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden
