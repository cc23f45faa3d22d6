"""Training objectives: functions of the discriminator's logits, one value a sample.

Logits may be [N, 1] or maps [N, 1, H, W]; a map counts as its mean. Penalties on gradients are in `gan_fast.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


def logistic_generator(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: -log sigmoid(D(G(z))) = softplus(-D(G(z))).

    Its gradient stays near -1 where D is sure that the sample is fake, where log(1 - sigmoid(D)) has none left.

    Args:
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N], in the dtype of the logits.

    Source: Goodfellow et al., arXiv 1406.2661, section 3.
    """
    return _per_sample(F.softplus(-fake_logits))


def logistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of the discriminator: -log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))).

    = softplus(-D(x)) + softplus(D(G(z))). Where D cannot tell real from fake it is 2 log 2.

    Args:
        real_logits: D(x), [N, ...].
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N], in the dtype of the logits.

    Source: Goodfellow et al., arXiv 1406.2661, equation 1.
    """
    return _per_sample(F.softplus(-real_logits)) + _per_sample(F.softplus(fake_logits))


@dataclass(frozen=True)
class Objective:
    """A game: what the generator and what the discriminator minimise, each one value a sample, [N].

    Attributes:
        generator: (fake_logits, real_logits or None) -> [N].
        discriminator: (real_logits, fake_logits) -> [N].
        needs_real: the generator's loss needs D(x).
    """

    generator: Callable[[Tensor, Tensor | None], Tensor]
    discriminator: Callable[[Tensor, Tensor], Tensor]
    needs_real: bool = False


OBJECTIVES: dict[str, Objective] = {
    "logistic": Objective(
        lambda fake_logits, real_logits=None: logistic_generator(fake_logits), logistic_discriminator
    ),
}


def mode_seeking(fake: Tensor, z: Tensor, eps: float = 1e-3) -> Tensor:
    """Mode-seeking regulariser: the inverse of how far images move apart as their latents do.

    Row i of the batch is paired with row i + N/2 (its class must be the same): 1 / (|x_i - x_j| / |z_i - z_j| + eps),
    with mean absolute differences. It is large where a conditional generator ignores z, and its gradient falls with the
    square of the distance, so that it acts against a collapse and hardly otherwise.

    Args:
        fake: generated images [N, ...], N even.
        z: their latents [N, z_dim].
        eps: bounds the value, at 1 / eps, and the gradient.

    Returns:
        [N/2].

    Raises:
        ValueError: N is odd, or `z` has another number of rows.

    Source: Mao et al., Mode Seeking Generative Adversarial Networks, arXiv 1903.05628.
    """
    if len(fake) % 2 or len(z) != len(fake):
        raise ValueError(f"fake, z: expected equal even numbers of rows, got {len(fake)} and {len(z)}")
    (x1, x2), (z1, z2) = fake.chunk(2), z.chunk(2)
    apart = (x1 - x2).abs().flatten(1).mean(1) / (z1 - z2).abs().mean(1)
    return 1 / (apart + eps)


def _per_sample(loss: Tensor) -> Tensor:
    return loss.flatten(1).mean(1)
