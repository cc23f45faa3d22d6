"""Training objectives: functions of the discriminator's logits, one value a sample.

Logits may be [N, 1] or maps [N, 1, H, W]; a map counts as its mean. Penalties on gradients are in `gan_fast.ops`.
"""

from __future__ import annotations

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


def _per_sample(loss: Tensor) -> Tensor:
    return loss.flatten(1).mean(1)
