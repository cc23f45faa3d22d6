"""What a data set holds, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gan_fast.data.decode import BrokenImage, open_upright
from gan_fast.data.files import decoders
from gan_fast.data.sources import Source


@dataclass
class Report:
    """What `check` found.

    Attributes:
        images: how many files are images.
        sizes: how many are of each width and height, turned upright.
        modes: how many are of each kind of pixel, as Pillow names it.
        broken: why each broken file cannot be read.
        duplicates: names of files that are byte for byte alike, in groups.
        unmatched: names that have a label but no image.
    """

    images: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether a run can read every image and every label has one."""
        return not self.broken and not self.unmatched


def check(source: Source, progress: Callable[[], None] = lambda: None) -> Report:
    """Read and decode every image of a source; `progress` is called after each."""
    report = Report(unmatched=source.unmatched)
    alike: dict[bytes, list[str]] = {}

    def look(i: int) -> tuple[bytes, tuple[int, int], str] | Exception:
        try:
            data = source.read(i)
            image = open_upright(data, source.names[i])
        except (OSError, BrokenImage) as error:
            return error
        return hashlib.blake2b(data, digest_size=16).digest(), image.size, image.mode

    for name, found in zip(source.names, decoders().map(look, range(len(source))), strict=True):
        if isinstance(found, Exception):
            report.broken[name] = str(found)
        else:
            digest, size, mode = found
            alike.setdefault(digest, []).append(name)
            report.sizes[size] += 1
            report.modes[mode] += 1
        progress()
    report.images = len(source) - len(report.broken)
    report.duplicates = [names for names in alike.values() if len(names) > 1]
    return report
