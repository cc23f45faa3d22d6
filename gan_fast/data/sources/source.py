"""What every format gives: names, sizes, labels, and the bytes of any one file."""

from __future__ import annotations

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
        sizes: bytes of each.
        labels: class or vector of each.
        unmatched: names that have a label but no image.
    """

    kind: str
    path: Path
    names: list[str]
    sizes: list[int]
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


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does, and neither it nor a folder above is hidden."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden
