"""What every format gives: names, labels, and the bytes of any one file."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from gan_fast.data import labels
from gan_fast.data.decode import EXTENSIONS
from gan_fast.data.labels import Labels


class Source(ABC):
    """Image files in a fixed order.

    Attributes:
        kind: the format's name.
        path: where they lie.
        names: a name for each, which errors give.
        stamp: a text that changes when the files do.
        labels: class or vector of each.
        unmatched: names that have a label but no image.
    """

    kind: str
    path: Path
    names: list[str]
    stamp: str
    labels: Labels
    unmatched: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, i: int) -> bytes:
        """The bytes of file i; any thread may call it. OSError if they cannot be read."""

    def _label(self, read_json: Callable[[], bytes] | None) -> None:
        """Labels from dataset.json if there is one, else from the folders in the names."""
        self.unmatched = []
        where = f"{self.path}: {labels.FILE}"
        if not self.names:
            raise ValueError(f"path: no images in {self.path} (looked for {', '.join(sorted(EXTENSIONS))})")
        if read_json is None:
            self.labels = labels.from_folders(self.names, str(self.path))
        else:
            self.labels, self.unmatched = labels.from_json(read_json(), self.names, where)


def stamp_of(names: list[str], sizes: list[int]) -> str:
    """BLAKE2b of the names and sizes of files."""
    return hashlib.blake2b(json.dumps([names, sizes]).encode(), digest_size=16).hexdigest()


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does, and neither it nor a folder above is hidden."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden
