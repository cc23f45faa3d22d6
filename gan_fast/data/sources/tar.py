"""WebDataset shards: tar files in which the files of one sample share their name up to the first dot."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from gan_fast.data.labels import Labels
from gan_fast.data.sources.source import Source, is_image


class TarSource(Source):
    """Every image in plain tar files, read in place, so that any order costs the same; `<sample>.cls` is its class.

    The shards' headers are read once; the webdataset package, which streams shards in their own order, is not needed.
    """

    kind = "webdataset"

    def __init__(self, path: Path, shards: list[Path]):
        self._shards = shards
        self._places: list[tuple[int, int, int]] = []  # shard, offset and size of each image
        names: list[str] = []
        samples: list[str] = []
        classes: dict[str, int] = {}
        for k, shard in enumerate(shards):
            try:
                with tarfile.open(shard, "r:") as tar:
                    for member in tar:
                        folder, _, base = f"/{member.name}".rpartition("/")
                        sample = f"{shard.name}{folder}/{base.partition('.')[0]}"
                        if is_image(member.name) and member.isfile():
                            names.append(f"{shard.name}/{member.name}")
                            self._places.append((k, member.offset_data, member.size))
                            samples.append(sample)
                        elif member.name.endswith(".cls"):
                            classes[sample] = int(tar.extractfile(member).read())
            except (OSError, ValueError, tarfile.TarError) as error:
                raise ValueError(f"cannot read the shard {shard}: {error}") from error
        super().__init__(path, names, [size for _, _, size in self._places])
        self.unmatched = sorted(classes.keys() - set(samples))
        self.labels = Labels.none(len(samples))
        if classes:
            if absent := [name for name, sample in zip(names, samples, strict=True) if sample not in classes]:
                raise ValueError(f"{path}: {len(absent)} images have no .cls, the first is {absent[0]}")
            found = [classes[sample] for sample in samples]
            self.labels = Labels.of_classes(found, [str(c) for c in range(max(found) + 1)])

    def read(self, i: int) -> bytes:
        shard, offset, size = self._places[i]
        with self._shards[shard].open("rb") as file:
            file.seek(offset)
            return file.read(size)

    @staticmethod
    def expand(path: Path) -> list[Path]:
        """The shards of a pattern such as x-{000..009}.tar; a path without one is its only shard."""
        found = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", path.name)
        if not found:
            return [path]
        before, first, last, after = found.groups()
        return [path.with_name(f"{before}{k:0{len(first)}}{after}") for k in range(int(first), int(last) + 1)]
