"""Penalties on the gradient of the discriminator."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_fast.ops import arguments


def r1_penalty(x: Tensor, logits: Tensor) -> Tensor:
    """Squared norm of the gradient of D's logits with respect to its input, for each sample.

        p[n] = sum of (d logits[n] / d x[n])^2

    x: [N, ...], the real images that D was given, with requires_grad. logits: D(x), [N, ...]; where logits of one
    sample depend on others (minibatch stddev), the gradient of their sum is taken, as in the published
    implementations. The loss of Mescheder et al. is gamma / 2 * p.mean().

    Returns [N], in float32 or higher, differentiable in D's weights. No gradient of D's weights is computed on the way.

    Raises TypeError or ValueError that names the argument.

    Source: Mescheder et al. 2018, Which training methods for GANs do actually converge? (arXiv 1801.04406), equation 9.
    """
    arguments.check_tensor("x", x)
    arguments.check_tensor("logits", logits)
    if not x.requires_grad:
        raise ValueError("x: does not require a gradient; call x.requires_grad_() before D(x)")
    if logits.shape[:1] != x.shape[:1]:
        raise ValueError(f"logits: got {logits.shape[0]} samples, takes {x.shape[0]}, as many as x")
    (g,) = torch.autograd.grad(logits.sum(), [x], create_graph=True, allow_unused=True)
    if g is None:
        raise ValueError("logits: do not depend on x")
    g = g.to(torch.promote_types(g.dtype, torch.float32))
    return g.square().flatten(1).sum(1)
