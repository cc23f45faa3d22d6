"""Sets of images with their labels: what a run is trained on, whether it lies in memory or is read when needed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1]: x / 127.5 - 1."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(x: Tensor) -> Tensor:
    """Floats, nominally in [-1, 1] -> uint8 in 0..255: round((x + 1) * 127.5), clamped."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class Images(ABC):
    """N images of one shape, and for each its class, or the vector that conditions it.

    Attributes:
        labels: int64 [N] in 0..num_classes-1; zeros where there are no classes.
        class_names: one name a class; empty where there are no classes.
        vectors: float32 [N, L] where the condition is a vector; else None.
    """

    labels: Tensor
    class_names: tuple[str, ...]
    vectors: Tensor | None

    @abstractmethod
    def pixels(self, indices: Tensor) -> Tensor:
        """uint8 [n, C, H, W]: these images.

        Raises:
            ValueError: a file cannot be read; it is named.
        """

    @abstractmethod
    def subset(self, which: Tensor) -> Images:
        """The images that a mask or a list of indices picks."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a run stores about its data, fit for JSON: where from, how many, how they were resized, and a hash."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def c_dim(self) -> int:
        """Width of the condition: the number of classes, or L, or 0."""
        return self.num_classes if self.vectors is None else self.vectors.shape[1]

    def conditions(self, indices: Tensor) -> Tensor:
        """float32 [n, c_dim]: the vectors of these images, or their classes one-hot."""
        return one_hot(self.labels[indices], self.num_classes) if self.vectors is None else self.vectors[indices]

    def class_rank(self) -> Tensor:
        """int64 [N]: how many earlier images share the image's class. Splits made from it are stratified."""
        one_hot = F.one_hot(self.labels, max(self.num_classes, 1))
        return (one_hot.cumsum(0) * one_hot).sum(1) - 1

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Returns (x float32 [n, C, H, W] in [-1, 1], c float32 [n, c_dim]) on `device`."""
        return to_float(self.pixels(indices).to(device)), self.conditions(indices).to(device)


@dataclass(frozen=True)
class ImageSet(Images):
    """Images held in memory, the device's where `images` lies there.

    Attributes:
        images: uint8 [N, C, H, W].
        origin: what `describe` says besides counts and hash.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = ()
    vectors: Tensor | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def pixels(self, indices: Tensor) -> Tensor:
        return self.images[indices.to(self.images.device)]

    def to(self, device: torch.device | str) -> ImageSet:
        """The same with the images on `device`, which then cuts batches itself."""
        return replace(self, images=self.images.to(device))

    def subset(self, which: Tensor) -> ImageSet:
        vectors = None if self.vectors is None else self.vectors[which]
        images = self.images[which.to(self.images.device)]
        return replace(self, images=images, labels=self.labels[which], vectors=vectors)

    def describe(self) -> dict[str, Any]:
        return self.origin | summary(self, self.images.cpu().numpy().tobytes())


def summary(images: Images, content: bytes) -> dict[str, Any]:
    """Counts, and BLAKE2b of the content and the labels."""
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(images.labels.numpy().tobytes())
    if images.vectors is not None:
        digest.update(images.vectors.numpy().tobytes())
    counts = torch.bincount(images.labels, minlength=images.num_classes).tolist()
    return {
        "images": len(images),
        "classes": dict(zip(images.class_names, counts, strict=False)),
        "c_dim": images.c_dim,
        "hash": digest.hexdigest(),
    }


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """int64 [n] -> float32 [n, num_classes]; [n, 0] where there are no classes."""
    return F.one_hot(labels, num_classes).float() if num_classes else torch.zeros(len(labels), 0)
