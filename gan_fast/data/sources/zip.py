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
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"cannot read the zip {path}: {error}") from error
        members = sorted((m for m in self._zip.infolist() if is_image(m.filename)), key=lambda m: m.filename)
        super().__init__(path, [m.filename for m in members], [m.file_size for m in members])
        if labels.FILE in self._zip.namelist():
            where = f"{path}: {labels.FILE}"
            self.labels, self.unmatched = labels.from_json(self._zip.read(labels.FILE), self.names, where)
        else:
            self.labels = labels.from_folders(self.names, str(path))

    def read(self, i: int) -> bytes:
        try:
            return self._zip.read(self.names[i])
        except Exception as error:  # of many kinds: damaged, encrypted, compressed by an unknown method
            raise OSError(error) from error
