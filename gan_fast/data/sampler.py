"""Which images make up a batch: a pure function of (seed, step), so that a resumed run needs no saved state."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def seeded_generator(seed: int, step: int, purpose: str) -> torch.Generator:
    """A CPU generator whose numbers depend on (seed, step, purpose) alone.

    The state is seeded by the first eight bytes of BLAKE2b("seed/step/purpose"), so nearby keys share nothing.
    """
    key = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)


def share(x: Tensor, index: int, count: int, group: int = 1) -> Tensor:
    """Part `index` of `count` equal parts of a batch: [N, ...] -> [N / count, ...].

    A batch is a function of the step alone, so that images and their order are the same for every number of ranks; each
    rank takes its share. With m = N / group / count, that is columns index m to (index + 1) m of the batch read as
    [group, N / group]: whole groups of minibatch stddev, and `gan_fast.ops.minibatch_stddev` finds them again there.

    Raises:
        ValueError: there are no equal parts of whole groups, or not as many.
    """
    if not 0 <= index < count or len(x) % (group * count):
        raise ValueError(f"batch: {len(x)} samples in groups of {group} have no equal share {index} of {count}")
    return x.unflatten(0, (group, count, -1))[:, index].flatten(0, 1)


class BatchSampler:
    """Indices of the batch at any step.

    Plain: step after step walks through a fresh permutation of all images in each epoch. With `group_size` > 1 the
    batch is made of `batch_size / group_size` groups of distinct images of one class (with repeats only where a class
    has fewer images than a group has places): member j of group i stands at j * (batch_size / group_size) + i, which
    is how `gan_fast.ops.minibatch_stddev` groups a batch, so its statistic is taken within one class.

    Args:
        labels: int64 [N].
        batch_size: images in a batch.
        seed: the run's seed.
        group_size: images in a group of one class; 1 for plain batches.

    Raises:
        ValueError: no images, or `group_size` does not divide `batch_size`.
    """

    def __init__(self, labels: Tensor, batch_size: int, seed: int, group_size: int = 1):
        if not len(labels):
            raise ValueError("labels: a sampler needs at least one image, got none")
        if batch_size < 1 or group_size < 1 or batch_size % group_size:
            raise ValueError(f"group_size: must divide batch_size {batch_size}, got {group_size}")
        self.count, self.batch_size, self.seed, self.group_size = len(labels), batch_size, seed, group_size
        self._members = [torch.nonzero(labels == k)[:, 0] for k in labels.unique()]
        self._epoch, self._order = -1, torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        """int64 [batch_size]: the indices of the batch at `step` >= 0."""
        if self.group_size > 1:
            return self._grouped(step)
        first = step * self.batch_size
        parts, have = [], 0
        while have < self.batch_size:
            epoch, offset = divmod(first + have, self.count)
            part = self._permutation(epoch)[offset : offset + self.batch_size - have]
            parts.append(part)
            have += len(part)
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._order = torch.randperm(self.count, generator=seeded_generator(self.seed, epoch, "epoch"))
            self._epoch = epoch
        return self._order

    def _grouped(self, step: int) -> Tensor:
        generator = seeded_generator(self.seed, step, "group")
        weights = torch.tensor([len(m) for m in self._members], dtype=torch.float64)
        classes = torch.multinomial(weights, self.batch_size // self.group_size, replacement=True, generator=generator)
        columns = []
        for k in classes.tolist():
            members = self._members[k]
            order = torch.cat(
                [torch.randperm(len(members), generator=generator) for _ in range(-(-self.group_size // len(members)))]
            )
            columns.append(members[order[: self.group_size]])
        return torch.stack(columns, 1).flatten()
