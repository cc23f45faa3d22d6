"""Real handwritten digits that come with scikit-learn: nothing to download."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F

from gan_fast.data.image_set import ImageSet

RESOLUTIONS = (8, 16, 32)


@lru_cache(maxsize=4)
def digits(resolution: int = 16) -> ImageSet:
    """1797 handwritten digits, 10 classes, scanned at 8x8 and enlarged (bicubic) to `resolution`.

    The values 0..16 of the scans become 0..255.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998), the test part, as
    `sklearn.datasets.load_digits` holds it.

    Raises:
        ValueError: `resolution` is not one of 8, 16, 32.
    """
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution: the digits come at {RESOLUTIONS}, got {resolution!r}")
    from sklearn.datasets import load_digits

    scans = load_digits()
    x = torch.from_numpy(scans.images).float()[:, None] / 16
    if resolution != 8:
        x = F.interpolate(x, size=(resolution, resolution), mode="bicubic", align_corners=False)
    images = (x * 255).round().clamp(0, 255).to(torch.uint8)
    origin = {"source": "digits", "kind": "built in", "resolution": resolution, "channels": 1, "filter": "bicubic"}
    return ImageSet(images, torch.from_numpy(scans.target).long(), tuple("0123456789"), origin=origin)
