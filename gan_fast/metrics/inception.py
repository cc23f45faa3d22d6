"""The inception score: how sure a classifier is of each image, and how many classes it sees in all of them."""

from __future__ import annotations

import torch
from torch import Tensor

SPLITS = 10


class InceptionScore:
    """exp(mean over x of KL(p(y | x) || p(y))), p(y) = mean over x of p(y | x); with Inception's classes, IS.

    Image i counts for split i mod 10, so that images need not be kept and their number need not be known; the score is
    the mean over the splits, and its spread their standard deviation. It is at least 1 and at most the number of
    classes, rises with the number of images, and knows no real ones.

    Source: Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498, section 4.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sums: Tensor | None = None
        self._negentropy = torch.zeros(SPLITS, dtype=torch.float64)
        self._counts = torch.zeros(SPLITS, dtype=torch.int64)

    def add(self, probabilities: Tensor) -> None:
        """Take up p(y | x) of further images: [N, classes], rows that add up to 1.

        Raises:
            ValueError: they do not.
        """
        p = probabilities.double().cpu()
        if p.ndim != 2 or not torch.allclose(p.sum(1), p.new_ones(()), atol=1e-3):
            raise ValueError(f"probabilities: expected rows [N, classes] that add up to 1, got shape {tuple(p.shape)}")
        if self._sums is None:
            self._sums = p.new_zeros(SPLITS, p.shape[1])
        split = torch.arange(self._count, self._count + len(p)) % SPLITS
        self._sums.index_add_(0, split, p)
        self._negentropy.index_add_(0, split, torch.xlogy(p, p).sum(1))
        self._counts += torch.bincount(split, minlength=SPLITS)
        self._count += len(p)

    def value(self) -> tuple[float, float]:
        """The score and its spread.

        Raises:
            ValueError: fewer images than splits.
        """
        if self._count < SPLITS:
            raise ValueError(f"inception score: takes at least {SPLITS} images, got {self._count}")
        marginal = self._sums / self._counts[:, None]
        scores = (self._negentropy / self._counts - torch.xlogy(marginal, marginal).sum(1)).exp()
        return float(scores.mean()), float(scores.std(correction=0))
