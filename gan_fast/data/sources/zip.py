"""A zip of image files, as existing tools and `gan-fast data build` write it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from gan_fast.data import labels
from gan_fast.data.sources.source import Source, is_image


class ZipSource(Source):
    """Every image in a zip, in the order of the names, read in place."""

    kind = "zip"

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"cannot read the zip {path}: {error}") from error
        members = sorted((m for m in self._zip.infolist() if is_image(m.filename)), key=lambda m: m.filename)
        self.names = [m.filename for m in members]
        self.sizes = [m.file_size for m in members]
        listed = labels.FILE in self._zip.namelist()
        self._label((lambda: self._zip.read(labels.FILE)) if listed else None)

    def read(self, i: int) -> bytes:
        try:
            return self._zip.read(self.names[i])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged, unknown method, encrypted
            raise OSError(error) from error
