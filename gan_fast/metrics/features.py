"""Features of any number of images, in memory that does not grow with the number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

KEPT = 5000


class Features:
    """The moments of all rows, and the first `KEPT` rows themselves.

    Rows are taken up in blocks of `KEPT`, so that results do not depend on how they were batched, and blocks of n_a and
    n_b rows are merged by S = S_a + S_b + d d^T n_a n_b / (n_a + n_b), d being the difference of their means and S the
    sum of (x - mean) (x - mean)^T.

    Args:
        batches: [n, K], n may vary.

    Raises:
        ValueError: not matrices of equal width, or values that are not finite.

    Attributes:
        count: rows.
        mean: float64 [K].
        first: [min(count, KEPT), K].

    Source: Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (1979).
    """

    count: int
    mean: Tensor
    first: Tensor

    def __init__(self, batches: Iterable[Tensor]):
        self.count = 0
        for block in _blocks(batches):
            if not torch.isfinite(block).all():
                raise ValueError("features: they hold NaN or infinity")
            x = block.double()
            mean = x.mean(0)
            centred = x - mean
            if self.count == 0:
                self.first, self.mean, self._scatter = block, torch.zeros_like(mean), 0
            self._merge(len(x), mean, centred.T @ centred)

    @property
    def covariance(self) -> Tensor:
        """Unbiased, float64 [K, K]."""
        return self._scatter / (self.count - 1)

    def __add__(self, other: Features) -> Features:
        """Of the rows of both, these first."""
        total = Features([])
        total.count, total.mean, total._scatter = self.count, self.mean, self._scatter
        total.first = torch.cat([self.first, other.first])[:KEPT]
        total._merge(other.count, other.mean, other._scatter)
        return total

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        apart, total = mean - self.mean, self.count + count
        self._scatter = self._scatter + scatter + torch.outer(apart, apart) * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total


def _blocks(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    held: list[Tensor] = []
    for batch in batches:
        if batch.ndim != 2 or (held and batch.shape[1] != held[0].shape[1]):
            raise ValueError(f"features: expected [N, K] of one width, got shape {tuple(batch.shape)}")
        held.append(batch)
        if sum(map(len, held)) >= KEPT:
            *whole, rest = torch.cat(held).split(KEPT)
            yield from whole
            held = [rest]
    if held:
        last = torch.cat(held)
        if len(last):
            yield last
