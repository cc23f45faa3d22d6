"""Other ways to step than each network down its own gradient: clipped, optimistic, averaged, unrolled.

They damp the oscillation and the collapse of games that plain descent, of both players at once, runs into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call


@torch.no_grad()
def clip_weights(module: nn.Module, bound: float = 0.01) -> None:
    """Clamp every parameter to [-bound, bound], after each step of a Wasserstein critic.

    Source: Arjovsky et al., Wasserstein GAN, arXiv 1701.07875, algorithm 1, line 7.
    """
    for p in module.parameters():
        p.clamp_(-bound, bound)


class _Optimistic(torch.optim.Optimizer):
    """Before an optimiser with updates u_t in the order of classes: one with the updates 2 u_t - u_(t-1), u_0 = 0."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None, turn: str = "") -> float | None:
        """One step. Where several losses take turns, `turn` names one of them: u_(t-1) is its own last update."""
        loss = None
        if closure is not None:  # before the parameters are picked: it makes their gradients
            with torch.enable_grad():
                loss = closure()
        moving = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        before = [p.clone() for p in moving]
        super().step()
        for p, start in zip(moving, before, strict=True):
            update, last = p - start, self.state[p].setdefault(f"update {turn}", torch.zeros_like(p))
            p.add_(update).sub_(last)
            last.copy_(update)
        return loss


class OptimisticAdam(_Optimistic, torch.optim.Adam):
    """Adam that steps 2 u_t - u_(t-1), where u_t is Adam's own step: it foresees the other player's.

    Arguments are those of `torch.optim.Adam`.

    Source: Daskalakis et al., Training GANs with Optimism, arXiv 1711.00141, algorithm 1.
    """


class OptimisticSGD(_Optimistic, torch.optim.SGD):
    """Gradient descent that steps -lr (2 g_t - g_(t-1)). Arguments are those of `torch.optim.SGD`.

    Source: Daskalakis et al., arXiv 1711.00141, equation 5.
    """


def historical_averaging(module: nn.Module, past: Iterable[Tensor]) -> Tensor:
    """Squared distance of a network's parameters from the mean of their past: |theta - 1/t sum of theta_i|^2.

    Added to the network's own loss it draws the orbits of a game inwards.

    Args:
        module: the network.
        past: the means of its parameters, in their order, such as the parameters of
            `torch.optim.swa_utils.AveragedModel(module)`. (That mean may serve in the network's place, too: it
            converges where the iterates circle.)

    Returns:
        [], to be weighted.

    Source: Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498, section 3.3.
    """
    pairs = zip(module.parameters(), past, strict=True)
    return torch.stack([(p - mean.detach()).square().sum() for p, mean in pairs]).sum()


def unrolled(
    discriminator: nn.Module, loss: Callable[[Callable[..., Tensor]], Tensor], k: int, lr: float
) -> Callable[..., Tensor]:
    """The discriminator as k more steps of gradient descent would leave it, with the graph through those steps.

        theta_0 = theta,  theta_(i+1) = theta_i - lr d loss(D(.; theta_i)) / d theta_i,  returns D(.; theta_k)

    A generator that descends its loss of this D foresees how D is going to answer, so that it gains nothing from moving
    all its samples to where D is weak at present. Gradients flow to whatever `loss` and the call depend on, but for the
    parameters of `discriminator`, which are constants here, frozen or not, and are left as they are.

    Args:
        discriminator: D; its buffers move as in any call.
        loss: takes a function like D, and returns D's loss [] (with the graph to G's samples, not detached).
        k: steps; 0 is D as it is.
        lr: their length.

    Returns:
        a function of D's arguments.

    Raises:
        ValueError: k is negative.

    Source: Metz et al., Unrolled Generative Adversarial Networks, arXiv 1611.02163, equations 7 to 10.
    """
    if k < 0:
        raise ValueError(f"k: got {k}, takes integers from 0")

    def at(theta: dict[str, Tensor]) -> Callable[..., Tensor]:
        return lambda *args: functional_call(discriminator, theta, args)

    theta = {name: p.detach().requires_grad_() for name, p in discriminator.named_parameters()}
    for _ in range(k):
        gradients = torch.autograd.grad(
            loss(at(theta)), list(theta.values()), create_graph=True, allow_unused=True, materialize_grads=True
        )
        theta = {name: p - lr * g for (name, p), g in zip(theta.items(), gradients, strict=True)}
    return at(theta)
