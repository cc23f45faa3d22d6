"""Patches of the two photographs that come with scikit-learn: nothing to download."""

from __future__ import annotations

from functools import lru_cache

import torch

from gan_fast.data.image_set import ImageSet

RESOLUTIONS = (16, 32, 64, 128)
CLASSES = ("china", "flower")
STRIDE = 8
HELD_OUT = 160  # columns at the right of each photograph, 427 x 640 pixels, from which the held-out patches come


@lru_cache(maxsize=2)
def photos(resolution: int = 64) -> tuple[ImageSet, ImageSet]:
    """Square RGB patches of a temple and of a flower, one every 8 pixels, not resized: (training, held-out).

    Held-out patches come from the right quarter of each photograph, training patches from the rest: no pixel is in
    both. At 64x64 there are 4876 and 1196. The classes are the photographs.

    Source: `sklearn.datasets.load_sample_images`.

    Raises:
        ValueError: `resolution` is not one of 16, 32, 64, 128.
    """
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution: the photos come at {RESOLUTIONS}, got {resolution!r}")
    from sklearn.datasets import load_sample_images

    pictures = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images]
    return _patches([p[..., :-HELD_OUT] for p in pictures], resolution), _patches(
        [p[..., -HELD_OUT:] for p in pictures], resolution
    )


def _patches(pictures: list[torch.Tensor], side: int) -> ImageSet:
    cut = [p.unfold(1, side, STRIDE).unfold(2, side, STRIDE).permute(1, 2, 0, 3, 4).flatten(0, 1) for p in pictures]
    labels = torch.repeat_interleave(torch.tensor([len(patches) for patches in cut]))
    origin = {"source": "photos", "kind": "built in", "resolution": side, "channels": 3, "stride": STRIDE}
    return ImageSet(torch.cat(cut), labels, CLASSES, origin=origin)
