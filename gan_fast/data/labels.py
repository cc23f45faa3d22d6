"""The classes of images, from folders' names or from the dataset.json that existing tools write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FILE = "dataset.json"


@dataclass(frozen=True)
class Labels:
    """For each of N images its class or vector; fields as in `Images`."""

    labels: Tensor
    class_names: tuple[str, ...] = ()
    vectors: Tensor | None = None

    @classmethod
    def none(cls, count: int) -> Labels:
        return cls(torch.zeros(count, dtype=torch.int64))

    @classmethod
    def of_classes(cls, classes: Sequence[int], class_names: Sequence[str]) -> Labels:
        """Raises ValueError where a class is negative, as of images without one."""
        if min(classes) < 0:
            raise ValueError(f"labels: {sum(k < 0 for k in classes)} images have no class from 0")
        return cls(torch.tensor(classes, dtype=torch.int64), tuple(class_names))

    def subset(self, which: Tensor) -> Labels:
        return Labels(self.labels[which], self.class_names, None if self.vectors is None else self.vectors[which])


def from_folders(names: Sequence[str], where: str) -> Labels:
    """The first folder in each name is its class, in the order of the names; with no folders there are no classes.

    Raises:
        ValueError: images both in folders and beside them.
    """
    folders = [name.split("/")[0] if "/" in name else None for name in names]
    loose = folders.count(None)
    if loose == len(names):
        return Labels.none(len(names))
    if loose:
        raise ValueError(f"path: {where} holds {loose} images of its own beside images in sub-folders: use one way")
    class_names = sorted(set(folders))
    place = {name: k for k, name in enumerate(class_names)}
    return Labels.of_classes([place[f] for f in folders], class_names)


def from_json(text: bytes, names: Sequence[str], where: str) -> tuple[Labels, list[str]]:
    """Reads {"labels": [[name, class or vector], ...]}, or {"labels": null} for none.

    With "class_names": [...] beside it, as `gan-fast data build` writes, classes have names; else their numbers.

    Returns:
        the labels, and the names that have a label but no image.

    Raises:
        ValueError: no JSON, another structure, an image without a label, classes mixed with vectors.
    """
    try:
        content = json.loads(text)
        listed, class_names = content["labels"], content.get("class_names")
        table = None if listed is None else {name.replace("\\", "/"): label for name, label in listed}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{where}: expected {{"labels": [[name, class], ...]}} or null, got {error!r}') from error
    if table is None:
        return Labels.none(len(names)), []
    if absent := [name for name in names if name not in table]:
        raise ValueError(f"{where}: {len(absent)} of {len(names)} images have no label, the first is {absent[0]}")
    values = [table[name] for name in names]
    return _labels(values, class_names, where), sorted(table.keys() - set(names))


def _labels(values: list[Any], class_names: list[str] | None, where: str) -> Labels:
    if all(type(v) is int and v >= 0 for v in values):
        count = max(values) + 1
        class_names = [str(k) for k in range(count)] if class_names is None else class_names
        if count > len(class_names):
            raise ValueError(f"{where}: class {count - 1} has no name among {len(class_names)} class_names")
        return Labels.of_classes(values, class_names)
    try:
        vectors = torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError):
        vectors = None
    if vectors is None or vectors.ndim != 2:
        raise ValueError(f"{where}: labels must be all integers from 0, or all vectors of one length")
    return Labels(torch.zeros(len(values), dtype=torch.int64), vectors=vectors)
