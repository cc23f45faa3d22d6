"""A set of images held in memory as bytes, with a label for each where there are classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1]: x / 127.5 - 1."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(x: Tensor) -> Tensor:
    """Floats, nominally in [-1, 1] -> uint8 in 0..255: round((x + 1) * 127.5), clamped."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class ImageSet:
    """Images [N, C, H, W] uint8, and for each its class.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N] in 0..len(class_names)-1; zeros where there are no classes.
        class_names: one name a class; empty where there are no classes.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def subset(self, which: Tensor) -> ImageSet:
        """The images that a mask or a list of indices picks."""
        return ImageSet(self.images[which], self.labels[which], self.class_names)

    def class_rank(self) -> Tensor:
        """int64 [N]: how many earlier images share the image's class. Splits made from it are stratified."""
        one_hot = F.one_hot(self.labels, max(self.num_classes, 1))
        return (one_hot.cumsum(0) * one_hot).sum(1) - 1

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Returns (x float32 [n, C, H, W] in [-1, 1], c float32 [n, num_classes] one-hot) on `device`."""
        x = to_float(self.images[indices].to(device))
        return x, one_hot(self.labels[indices], self.num_classes).to(device)


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """int64 [n] -> float32 [n, num_classes]; [n, 0] where there are no classes."""
    return F.one_hot(labels, num_classes).float() if num_classes else torch.zeros(len(labels), 0)
