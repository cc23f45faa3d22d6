"""Metrics of generated digits, in the features of a small digit classifier that ships with the package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_fast.data import digits, to_float
from gan_fast.metrics.compare import as_bytes, compare
from gan_fast.metrics.features import Features
from gan_fast.metrics.inception import SPLITS, InceptionScore

REVISION = 1  # of the classifier's weights: values of different revisions cannot be compared
WEIGHTS = "digit_classifier.safetensors"
NUM_CLASSES = 10


class DigitClassifier(nn.Module):
    """Two 3x3 convolutions, each followed by ReLU and 2x2 mean pooling, then 32 features and 10 logits.

    Takes images [N, 1, 16, 16], float32 in [-1, 1]. `scripts/train_digit_classifier.py` trains it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv1 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * 4 * 4, 32)
        self.out = nn.Linear(32, NUM_CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """[N, 1, 16, 16] -> features [N, 32], not negative."""
        x = F.avg_pool2d(F.relu(self.conv0(x)), 2)
        x = F.avg_pool2d(F.relu(self.conv1(x)), 2)
        return F.relu(self.fc(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, 16, 16] -> logits [N, 10]."""
        return self.out(self.features(x))


def load_digit_classifier() -> DigitClassifier:
    """The classifier with the weights that ship with the package, in eval mode, on the CPU."""
    from safetensors.torch import load

    classifier = DigitClassifier()
    classifier.load_state_dict(load(files("gan_fast.metrics").joinpath(WEIGHTS).read_bytes()))
    return classifier.eval().requires_grad_(False)


class DigitsMetrics:
    """Compares generated digits with real ones.

    The real digits are split into two halves, stratified by class. Generated images are measured against the first
    half; `real_halves` is the same measurement made on the second half: what a perfect generator would get.
    Ask the generator for the labels `self.labels`, so that sample counts and class shares agree too.
    """

    def __init__(self) -> None:
        images = digits(16)
        even = images.class_rank() % 2 == 0
        self._classifier = load_digit_classifier()
        self._reference = Features([self._classify(images.images[even])[0]])
        self.protocol: dict[str, Any] = {
            "features": "digits",
            "revision": REVISION,
            "width": len(self._reference.mean),
            "resize": "bilinear, antialiased, to 16x16",
            "is_splits": SPLITS,
            "reference": f"{self._reference.count} of {len(images)} images: every second of its class",
        }
        second = images.subset(~even)
        self.labels: Tensor = second.labels
        self.real_halves: dict[str, float] = self(to_float(second.images), second.labels)

    @torch.no_grad()
    def __call__(self, x: Tensor | Iterable[Tensor], labels: Tensor | None = None) -> dict[str, float]:
        """Measure generated images.

        Args:
            x: images [N, 1, H, W] or batches of them, nominally in [-1, 1]; rounded to 8 bits, and resized to 16x16
                where another size.
            labels: int64 [N], the classes that were asked for; None for an unconditional generator.

        Returns:
            what `compare` returns, in the classifier's features; is_digits: the inception score by its classes;
            classes: how many of the ten hold more than 3 % of the samples; class_accuracy: share of samples classified
            as the asked-for class (with labels only).

        Raises:
            ValueError: `x` has not one channel, or holds NaN or infinity.
        """
        features, logits = self._classify(torch.cat(list(as_bytes(x, 1))))
        predicted = logits.argmax(1)
        share = torch.bincount(predicted, minlength=NUM_CLASSES) / len(predicted)
        score = InceptionScore()
        score.add(logits.softmax(1))
        result = compare("digits", self._reference, Features([features]))
        result |= {"is_digits": score.value()[0], "classes": int((share > 0.03).sum())}
        if labels is not None:
            result["class_accuracy"] = float((predicted == labels.to(predicted.device)).double().mean())
        return result

    def _classify(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = to_float(images)
        if x.shape[2:] != (16, 16):
            x = F.interpolate(x, size=(16, 16), mode="bilinear", antialias=True, align_corners=False)
        features = self._classifier.features(x)
        return features, self._classifier.out(features)
