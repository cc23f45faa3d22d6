"""A folder of image files."""

from __future__ import annotations

from pathlib import Path

from gan_fast.data import labels
from gan_fast.data.sources.source import Source, is_image


class FolderSource(Source):
    """Every image under a folder, in the order of the names; a first-level sub-folder without images is an error."""

    kind = "folder"

    def __init__(self, path: Path):
        files = sorted(p for p in path.rglob("*") if is_image(p.relative_to(path).as_posix()) and p.is_file())
        super().__init__(path, [p.relative_to(path).as_posix() for p in files], [p.stat().st_size for p in files])
        listing = path / labels.FILE
        if listing.exists():
            self.labels, self.unmatched = labels.from_json(listing.read_bytes(), self.names, str(listing))
            return
        self.labels = labels.from_folders(self.names, str(path))
        for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")):
            if self.labels.class_names and folder.name not in self.labels.class_names:
                raise ValueError(f"path: the class folder {folder} holds no images")

    def read(self, i: int) -> bytes:
        return (self.path / self.names[i]).read_bytes()
