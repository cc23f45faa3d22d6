"""Any number of images in a folder; a set that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gan_fast.data import to_uint8
from gan_fast.training import sample
from gan_fast.training.checkpoint import write_atomically

SHARD = 500
SETTINGS = "settings.json"


def write_samples(
    generator: nn.Module,
    jobs: Sequence[tuple[int, int]],
    folder: Path,
    form: str,
    *,
    class_names: Sequence[str] = (),
    psi: float = 1.0,
    source: str = "",
    report: Callable[[int], None] = lambda done: None,
) -> int:
    """Draw the image of each job, a seed and a class, into `folder`, and return how many were not there yet.

    png: seed<seed>.png or seed<seed>-<class>.png, unscaled. npz: <first job>.npz with up to 500 images, uint8
    [N, H, W, C], their seeds [N] and labels [N]. Every file is written whole or not at all, and files that are there
    are kept: hence the file settings.json, which tells what they were drawn with.

    Args:
        generator, psi: as `sample.draw` takes them.
        class_names: a name a class; empty where there are none.
        source: what names the generator.
        report: called with the number of jobs done after each 500.

    Raises:
        ValueError: the folder holds images of another source, psi or form, or, as npz, of other jobs.
    """
    settings: dict[str, Any] = {"source": source, "psi": psi, "form": form}
    if form == "npz":
        settings["jobs"] = [list(job) for job in jobs]
    _claim(folder, settings)
    drawn = 0
    for first in range(0, len(jobs), SHARD):
        part = jobs[first : first + SHARD]
        shard = folder / f"{first:08d}.npz"
        paths = [folder / _png_name(seed, label, class_names) for seed, label in part] if form == "png" else []
        todo = [i for i in range(len(part)) if not (paths[i] if paths else shard).exists()]
        if todo:
            seeds, labels = zip(*(part[i] for i in todo), strict=True)
            images = to_uint8(sample.draw(generator, seeds, torch.tensor(labels), psi))
            if paths:
                for i, image in zip(todo, images, strict=True):
                    sample.save_png(sample.grid(image[None], 1, min_side=1), paths[i])
            else:
                arrays = {"images": images.permute(0, 2, 3, 1).numpy(), "seeds": seeds, "labels": labels}
                write_atomically(shard, lambda file, arrays=arrays: np.savez_compressed(file, **arrays))
        drawn += len(todo)
        report(first + len(part))
    return drawn


def _png_name(seed: int, label: int, class_names: Sequence[str]) -> str:
    return f"seed{seed:06d}-{class_names[label]}.png" if class_names else f"seed{seed:06d}.png"


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS
    if file.exists():
        before = json.loads(file.read_text())
        other = [name for name in settings.keys() | before.keys() if settings.get(name) != before.get(name)]
        if other:
            raise ValueError(f"{folder} holds images drawn otherwise ({', '.join(sorted(other))}); give another folder")
    else:
        data = json.dumps(settings).encode()
        write_atomically(file, lambda stream: stream.write(data))
