"""Metrics of generated images of any kind, against the images that a run is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_fast.data import Images, seeded_generator
from gan_fast.metrics import filters
from gan_fast.metrics.compare import as_bytes, compare
from gan_fast.metrics.features import KEPT, Features
from gan_fast.metrics.inception import SPLITS, InceptionScore
from gan_fast.metrics.path_length import load_script

CHUNK = 64
SAMPLES = 1000

OfImages = Callable[[Tensor], Tensor]  # of uint8 [N, C, H, W]


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
        classify: uint8 [N, C, H, W] -> p(class | image), [N, classes], for the inception score; None: no such score.
        whole: measure `samples` generated images against all real ones, as published scores are.

    Raises:
        ValueError: a half has 5 images or fewer, too few for neighbours; or an image cannot be read.

    Attributes:
        labels: classes int64 [M], or vectors [M, L], of the second half, or drawn from all with `whole`: what to ask
            the generator for.
        protocol: how the values come about, to be stored with them.
        real_halves: what a perfect generator would get.
    """

    def __init__(
        self,
        data: Images,
        samples: int = SAMPLES,
        features: OfImages = filters.filter_features,
        space: str = "filters",
        resize: str = f"bilinear, antialiased, to {filters.SIDE}x{filters.SIDE}",
        classify: OfImages | None = None,
        whole: bool = False,
    ) -> None:
        even = data.class_rank() % 2 == 0
        first, second = (_pick(torch.nonzero(half)[:, 0], len(data) if whole else samples) for half in (even, ~even))
        if len(second) <= 5:
            raise ValueError(f"metrics: {len(data)} images are too few: two halves of more than 5 are compared")
        self._features, self._space, self._classify = features, space, classify
        self._channels = data.pixels(first[:1]).shape[1]
        (one, _), (other, score) = (
            self._read(data.pixels(part).cpu() for part in half.split(CHUNK)) for half in (first, second)
        )
        self._reference = one + other if whole else one
        asked = _draw(len(data), samples) if whole else second
        self.labels: Tensor = (data.labels if data.vectors is None else data.vectors)[asked]
        self.protocol: dict[str, Any] = {
            "features": space,
            "revision": filters.REVISION if features is filters.filter_features else None,
            "width": len(self._reference.mean),
            "resize": resize,
            "reference": f"{self._reference.count} of {len(data)} images"
            + ("" if whole else ": every second of its class"),
            "kd_and_neighbours": f"of the first {KEPT} of each side at most",
        }
        if classify is not None:
            self.protocol["is_splits"] = SPLITS
        self.real_halves = compare(space, one, other) | score

    @torch.no_grad()
    def __call__(self, x: Tensor | Iterable[Tensor], labels: Tensor | None = None) -> dict[str, float]:
        """Measure generated images: what `compare` returns, and with `classify` is_<space> and its spread.

        Args:
            x: images [N, C, H, W] or batches of them, nominally in [-1, 1]; rounded to 8 bits.
            labels: not looked at.

        Raises:
            ValueError: `x` has another number of channels, or holds NaN or infinity.
        """
        features, score = self._read(as_bytes(x, self._channels))
        return compare(self._space, self._reference, features) | score

    def _read(self, batches: Iterable[Tensor]) -> tuple[Features, dict[str, float]]:
        """Features, and the inception score if there is one, of uint8 images, each of which is held once only."""
        score = InceptionScore()

        def features() -> Iterator[Tensor]:
            for batch in batches:
                if self._classify is not None:
                    score.add(self._classify(batch))
                yield self._features(batch)

        found = Features(features())
        if self._classify is None:
            return found, {}
        return found, dict(zip((f"is_{self._space}", f"is_{self._space}_spread"), score.value(), strict=True))


def load_detector(path: str | Path, device: torch.device | str = "cpu") -> OfImages:
    """A feature network from a TorchScript file: uint8 [N, 3, H, W] in, features [N, K] out, resizing inside.

    The published StyleGAN metrics use such a file of Inception, called with `return_features=True`; with it fd and kd
    are FID and KID.

    Raises:
        ValueError: the file cannot be read as TorchScript.
    """
    return _load(path, device, {"return_features": True})


def load_classifier(path: str | Path, device: torch.device | str = "cpu") -> OfImages:
    """The class probabilities [N, classes] of such a network, as the published inception score takes them.

    They are what it returns without `return_features`, and with `no_output_bias=True` where it knows that.
    """
    return _load(path, device, {"no_output_bias": True})


def _load(path: str | Path, device: torch.device | str, wanted: dict[str, bool]) -> OfImages:
    network = load_script("detector", path, torch.device(device))
    known = str(network.forward.schema)
    options = {name: value for name, value in wanted.items() if name in known}
    return lambda images: network(images.to(device).expand(-1, 3, -1, -1), **options).float().flatten(1)


def _pick(indices: Tensor, samples: int) -> Tensor:
    """At most so many of them, drawn without regard to their order, the same ones each time."""
    order = torch.randperm(len(indices), generator=seeded_generator(0, 0, "metrics"))
    return indices[order[:samples]]


def _draw(count: int, samples: int) -> Tensor:
    """So many of `count` indices, with repeats, the same ones each time."""
    return torch.randint(count, (samples,), generator=seeded_generator(0, 0, "metrics"))
