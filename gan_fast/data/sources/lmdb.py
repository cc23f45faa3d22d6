"""LMDB: the layout <resolution>-<number> of StyleGAN ports, or any keys whose values are image files."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from gan_fast.data import labels
from gan_fast.data.labels import Labels
from gan_fast.data.sources.source import Source

SIZED = re.compile(rb"(\d+)-(\d{5,})")


class LmdbSource(Source):
    """Every image in an LMDB environment.

    Keys such as 256-00012, beside one named "length", hold each image at several resolutions: the smallest of at least
    `resolution` is taken, or the largest there is. In any other environment each key is an image, in the order of the
    keys, and a key such as cat/12 gives its class.
    """

    kind = "lmdb"

    def __init__(self, path: Path, resolution: int | None = None):
        try:
            import lmdb
        except ImportError:
            raise ValueError(f"data: {path} is LMDB, which takes: pip install 'gan-fast[data]'") from None
        try:
            self._environment = _environment(path.resolve())
            with self._environment.begin(buffers=True) as transaction:
                sizes = {bytes(key): len(value) for key, value in transaction.cursor()}
                length = int(bytes(transaction.get(b"length"))) if b"length" in sizes else None
        except (lmdb.Error, ValueError) as error:
            raise ValueError(f"cannot read the LMDB {path}: {error}") from error
        self._keys = sorted(sizes)
        if length is not None:
            self._keys = _of_one_resolution(self._keys, length, resolution, path)
        names = [key.decode(errors="replace") for key in self._keys]
        super().__init__(path, names, [sizes[key] for key in self._keys])
        self.labels = labels.from_folders(names, str(path)) if length is None else Labels.none(len(names))

    def read(self, i: int) -> bytes:
        with self._environment.begin() as transaction:
            return transaction.get(self._keys[i])


@functools.cache
def _environment(path: Path) -> Any:
    """The environment at a path, which a process may open once only."""
    import lmdb

    return lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, max_spare_txns=64)


def _of_one_resolution(keys: list[bytes], length: int, resolution: int | None, path: Path) -> list[bytes]:
    found = sorted({int(match[1]) for key in keys if (match := SIZED.fullmatch(key))})
    if not found:
        raise ValueError(f"cannot read the LMDB {path}: it has a length but no keys such as 256-00000")
    chosen = next((size for size in found if size >= (resolution or 0)), found[-1])
    wanted = [f"{chosen}-{str(i).zfill(5)}".encode() for i in range(length)]
    if absent := sorted(set(wanted) - set(keys)):
        raise ValueError(
            f"cannot read the LMDB {path}: {len(absent)} of its {len(wanted)} keys are missing, the first is "
            f"{absent[0].decode()}"
        )
    return wanted
