"""Where image files lie: folder, zip, LMDB, WebDataset shards, or a data set of Hugging Face. One file a format."""

from __future__ import annotations

from pathlib import Path

from gan_fast.data.sources.folder import FolderSource
from gan_fast.data.sources.hugging_face import HuggingFaceSource
from gan_fast.data.sources.lmdb import LmdbSource
from gan_fast.data.sources.source import Source, is_image
from gan_fast.data.sources.tar import TarSource
from gan_fast.data.sources.zip import ZipSource

__all__ = ["Source", "open_source"]


def open_source(path: str | Path, resolution: int | None = None) -> Source:
    """The source that a path holds, by what the path is.

        folder with data.mdb, or *.mdb     LMDB; of several resolutions the one nearest above `resolution`
        folder of *.tar, *.tar, or a       WebDataset shards
        pattern such as x-{000..009}.tar
        folder with dataset_info.json      Hugging Face, as `Dataset.save_to_disk` writes it
        any other folder; *.zip            image files, with dataset.json or with class folders

    Raises:
        ValueError: no such path, no images in it, damaged index or labels; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "data.mdb").exists():
            return LmdbSource(path, resolution)
        if any((path / name).exists() for name in HuggingFaceSource.MARKS):
            return HuggingFaceSource(path)
        shards = sorted(path.glob("*.tar"))
        if shards and not any(p.is_dir() or is_image(p.name) for p in path.iterdir()):
            return TarSource(path, shards)
        return FolderSource(path)
    if path.suffix == ".tar":
        return TarSource(path, TarSource.expand(path))
    readers = {".zip": ZipSource, ".mdb": lambda p: LmdbSource(p, resolution)}
    if path.suffix not in readers or not path.is_file():
        raise ValueError(f"data: no such folder, zip, LMDB, tar or built-in name: {path}")
    return readers[path.suffix](path)
