"""Metrics of generated images of any kind, against the images that a run is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_fast.data import Images, seeded_generator, to_float
from gan_fast.metrics import filters
from gan_fast.metrics.compare import as_bytes, compare

CHUNK = 64
SAMPLES = 1000


class ImageMetrics:
    """Compares generated images with real ones.

    The real images are split into two halves, stratified by class, of each of which at most `samples` are drawn.
    Generated images are measured against the first half; `real_halves` is the same measurement made on the second.

    Args:
        data: the real images.
        samples: of each half, and of the generator.
        features: uint8 [N, C, H, W] -> [N, K].
        space: its name, which the distances carry.
        resize: what it does to an image first.

    Raises:
        ValueError: a half has 5 images or fewer, too few for neighbours; or an image cannot be read.

    Attributes:
        labels: classes int64 [M], or vectors [M, L], of the second half: what to ask the generator for.
        protocol: how the values come about, to be stored with them.
        real_halves: what a perfect generator would get.
    """

    def __init__(
        self,
        data: Images,
        samples: int = SAMPLES,
        features: Callable[[Tensor], Tensor] = filters.filter_features,
        space: str = "filters",
        resize: str = f"bilinear, antialiased, to {filters.SIDE}x{filters.SIDE}",
    ) -> None:
        even = data.class_rank() % 2 == 0
        first, second = (_pick(torch.nonzero(half)[:, 0], samples) for half in (even, ~even))
        if len(second) <= 5:
            raise ValueError(f"metrics: {len(data)} images are too few: two halves of more than 5 are compared")
        self._features, self._space = features, space
        self._channels = data.pixels(first[:1]).shape[1]
        self._reference = torch.cat([features(data.pixels(part).cpu()) for part in first.split(CHUNK)])
        self.labels: Tensor = (data.labels if data.vectors is None else data.vectors)[second]
        self.protocol: dict[str, Any] = {
            "features": space,
            "revision": filters.REVISION if features is filters.filter_features else None,
            "width": self._reference.shape[1],
            "resize": resize,
            "reference": f"{len(first)} of {len(data)} images: every second of its class",
        }
        self.real_halves = self(to_float(data.pixels(part)) for part in second.split(CHUNK))

    @torch.no_grad()
    def __call__(self, x: Tensor | Iterable[Tensor], labels: Tensor | None = None) -> dict[str, float]:
        """Measure generated images: what `compare` returns.

        Args:
            x: images [N, C, H, W] or batches of them, nominally in [-1, 1]; rounded to 8 bits.
            labels: not looked at.

        Raises:
            ValueError: `x` has another number of channels, or holds NaN or infinity.
        """
        features = torch.cat([self._features(batch) for batch in as_bytes(x, self._channels)])
        return compare(self._space, self._reference, features)


def load_detector(path: str | Path) -> Callable[[Tensor], Tensor]:
    """A feature network from a TorchScript file: uint8 [N, 3, H, W] in, features [N, K] out, resizing inside.

    The published StyleGAN metrics use such a file of Inception, called with `return_features=True`; with it fd and kd
    are FID and KID.

    Raises:
        ValueError: the file cannot be read as TorchScript.
    """
    try:
        network = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"detector: {path} is no TorchScript file: {str(error).splitlines()[0]}") from None
    options = {"return_features": True} if "return_features" in str(network.forward.schema) else {}
    return lambda images: network(images.expand(-1, 3, -1, -1), **options).float().flatten(1)


def _pick(indices: Tensor, samples: int) -> Tensor:
    """At most so many of them, drawn without regard to their order, the same ones each time."""
    order = torch.randperm(len(indices), generator=seeded_generator(0, 0, "metrics"))
    return indices[order[:samples]]
