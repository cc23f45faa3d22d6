"""Training objectives: functions of the discriminator's logits, one value a sample, by name in `OBJECTIVES`.

Logits may be [N, 1] or maps [N, 1, H, W]; a map counts as its mean. An energy, which EBGAN's and BEGAN's autoencoding
discriminators return in place of a logit, is low where a sample is real. Every function keeps the dtype of what it is
given and can be differentiated twice. Penalties on gradients are in `gan_fast.ops`, other ways to step in
`gan_fast.updates`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def minimax_generator(fake_logits: Tensor) -> Tensor:
    """Minimax loss of the generator: log(1 - sigmoid(D(G(z)))) = -softplus(D(G(z))).

    Its gradient is -sigmoid(D(G(z))): it vanishes where D is sure that the sample is fake. The discriminator's side of
    the game is `logistic_discriminator`.

    Args:
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

    Source: Goodfellow et al., arXiv 1406.2661, equation 1.
    """
    return _per_sample(-F.softplus(fake_logits))


def logistic_generator(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: -log sigmoid(D(G(z))) = softplus(-D(G(z))).

    Its gradient stays near -1 where D is sure that the sample is fake, where log(1 - sigmoid(D)) has none left.

    Args:
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

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
        [N].

    Source: Goodfellow et al., arXiv 1406.2661, equation 1.
    """
    return _per_sample(F.softplus(-real_logits)) + _per_sample(F.softplus(fake_logits))


def least_squares_generator(fake_logits: Tensor) -> Tensor:
    """Least squares loss of the generator: 1/2 (D(G(z)) - 1)^2.

    Args:
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

    Source: Mao et al., Least Squares Generative Adversarial Networks, arXiv 1611.04076, equation 9 (c = 1).
    """
    return _per_sample((fake_logits - 1).square() / 2)


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Least squares loss of the discriminator: 1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2.

    Args:
        real_logits: D(x), [N, ...].
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

    Source: Mao et al., arXiv 1611.04076, equation 9 (a = 0, b = 1).
    """
    return _per_sample((real_logits - 1).square() / 2) + _per_sample(fake_logits.square() / 2)


def absolute_generator(fake_logits: Tensor) -> Tensor:
    """Absolute loss of the generator: |D(G(z)) - 1|, the L1 counterpart of `least_squares_generator`.

    Args:
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].
    """
    return _per_sample((fake_logits - 1).abs())


def absolute_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Absolute loss of the discriminator: |D(x) - 1| + |D(G(z))|.

    Args:
        real_logits: D(x), [N, ...].
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].
    """
    return _per_sample((real_logits - 1).abs()) + _per_sample(fake_logits.abs())


def wasserstein_generator(fake_logits: Tensor) -> Tensor:
    """Wasserstein loss of the generator: -D(G(z)).

    Args:
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

    Source: Arjovsky et al., Wasserstein GAN, arXiv 1701.07875, algorithm 1.
    """
    return _per_sample(-fake_logits)


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Wasserstein loss of the critic: D(G(z)) - D(x), minus its estimate of the distance.

    The critic must be kept Lipschitz: by `gan_fast.updates.clip_weights`, or a penalty such as `gan_fast.ops.wgan_gp`.

    Args:
        real_logits: D(x), [N, ...].
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

    Source: Arjovsky et al., arXiv 1701.07875, equations 2 and 3.
    """
    return _per_sample(fake_logits) - _per_sample(real_logits)


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge loss of the discriminator: max(0, 1 - D(x)) + max(0, 1 + D(G(z))). The generator's is Wasserstein's.

    Args:
        real_logits: D(x), [N, ...].
        fake_logits: D(G(z)), [N, ...].

    Returns:
        [N].

    Source: Lim and Ye, Geometric GAN, arXiv 1705.02894, equations 16 and 17; as in Miyato et al., arXiv 1802.05957.
    """
    return _per_sample(F.relu(1 - real_logits)) + _per_sample(F.relu(1 + fake_logits))


def relativistic_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """Relativistic pairing loss (RpGAN) of the generator: softplus(D(x) - D(G(z))).

    D judges each fake beside a real sample, so that no real sample lies beyond its reach and collapse is no minimum.

    Args:
        fake_logits: D(G(z)), [N, ...].
        real_logits: D(x), of the same shape.

    Returns:
        [N].

    Source: Jolicoeur-Martineau, arXiv 1807.00734, section 4.1; Huang et al. 2024, arXiv 2501.05441, equation 2.
    """
    return _per_sample(F.softplus(real_logits - fake_logits))


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Relativistic pairing loss (RpGAN) of the discriminator: softplus(D(G(z)) - D(x)).

    Args:
        real_logits: D(x), [N, ...].
        fake_logits: D(G(z)), of the same shape.

    Returns:
        [N].

    Source: as `relativistic_generator`.
    """
    return _per_sample(F.softplus(fake_logits - real_logits))


def reconstruction_error(x: Tensor, y: Tensor, power: float = 2.0) -> Tensor:
    """Energy of an autoencoding discriminator: the mean of |x - y|^power over each sample.

    Args:
        x: what was to be coded, [N, ...].
        y: what was decoded, of the same shape.
        power: 2 for EBGAN, 1 (or 2) for BEGAN.

    Returns:
        [N, 1].

    Source: Zhao et al., arXiv 1609.03126, equation 7; Berthelot et al., arXiv 1703.10717, section 3.1.
    """
    return (x - y).abs().pow(power).flatten(1).mean(1, keepdim=True)


def ebgan_generator(fake_energy: Tensor) -> Tensor:
    """EBGAN's loss of the generator: the energy E(G(z)).

    Args:
        fake_energy: E(G(z)), [N, ...].

    Returns:
        [N].

    Source: Zhao et al., Energy-based Generative Adversarial Network, arXiv 1609.03126, equation 2.
    """
    return _per_sample(fake_energy)


def ebgan_discriminator(real_energy: Tensor, fake_energy: Tensor, margin: float = 1.0) -> Tensor:
    """EBGAN's loss of the discriminator: E(x) + max(0, margin - E(G(z))).

    Args:
        real_energy: E(x), [N, ...].
        fake_energy: E(G(z)), [N, ...].
        margin: the energy from which fakes need be pushed up no more.

    Returns:
        [N].

    Source: Zhao et al., arXiv 1609.03126, equation 1.
    """
    return _per_sample(real_energy) + _per_sample(F.relu(margin - fake_energy))


def pulling_away(codes: Tensor) -> Tensor:
    """Pulling-away term: for each code the mean squared cosine with the others, to be added to the generator's loss.

        p[i] = mean over j != i of (s_i . s_j / (|s_i| |s_j|))^2

    It is 1 where all codes are parallel and 0 where they are orthogonal.

    Args:
        codes: the encoder's output for generated samples, [N, ...], N at least 2.

    Returns:
        [N].

    Raises:
        ValueError: N is 1.

    Source: Zhao et al., arXiv 1609.03126, equation 10.
    """
    if len(codes) < 2:
        raise ValueError(f"codes: got {len(codes)}, takes two or more")
    s = F.normalize(codes.flatten(1), dim=1)
    squares = (s @ s.T).square()
    return (squares.sum(1) - squares.diagonal()) / (len(s) - 1)


def began_discriminator(real_energy: Tensor, fake_energy: Tensor, k: Tensor) -> Tensor:
    """BEGAN's loss of the discriminator: E(x) - k E(G(z)). The generator's is EBGAN's.

    Args:
        real_energy: E(x), [N, ...].
        fake_energy: E(G(z)), [N, ...].
        k: [], how much D cares for fakes; `began_control` moves it.

    Returns:
        [N].

    Source: Berthelot et al., Boundary Equilibrium Generative Adversarial Networks, arXiv 1703.10717, section 3.4.
    """
    return _per_sample(real_energy) - k * _per_sample(fake_energy)


@torch.no_grad()
def began_control(k: Tensor, real: Tensor, fake: Tensor, gamma: float, rate: float) -> Tensor:
    """Move BEGAN's k, in place, and return its measure of convergence.

        k <- clamp(k + rate (gamma E(x) - E(G(z))), 0, 1),  M = E(x) + |gamma E(x) - E(G(z))|

    Args:
        k: []; it starts at 0.
        real, fake: mean energies of a batch, [].
        gamma: diversity ratio, E(G(z)) / E(x) at the balance; lower: better images, fewer kinds.
        rate: lambda_k, how fast k moves.

    Returns:
        M, [], which falls as both networks learn.

    Source: Berthelot et al., arXiv 1703.10717, sections 3.4 and 3.4.1.
    """
    imbalance = gamma * real - fake
    k.add_(rate * imbalance).clamp_(0, 1)
    return real + imbalance.abs()


@dataclass(frozen=True)
class Objective:
    """A game: what the generator and what the discriminator minimise, each one value a sample, [N].

    Attributes:
        generator: (fake_logits, real_logits or None) -> [N].
        discriminator: (real_logits, fake_logits) -> [N], or with a third argument (..., k) -> [N].
        needs_real: the generator's loss needs D(x).
        energy: D returns energies: low where a sample is real, and of no telling sign.
        needs_k: the discriminator's loss takes BEGAN's k, which `began_control` moves after each step.
    """

    generator: Callable[[Tensor, Tensor | None], Tensor]
    discriminator: Callable[..., Tensor]
    needs_real: bool = False
    energy: bool = False
    needs_k: bool = False


def _of_fakes(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    return lambda fake_logits, real_logits=None: loss(fake_logits)


OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(_of_fakes(minimax_generator), logistic_discriminator),
    "logistic": Objective(_of_fakes(logistic_generator), logistic_discriminator),
    "least_squares": Objective(_of_fakes(least_squares_generator), least_squares_discriminator),
    "absolute": Objective(_of_fakes(absolute_generator), absolute_discriminator),
    "wasserstein": Objective(_of_fakes(wasserstein_generator), wasserstein_discriminator),
    "hinge": Objective(_of_fakes(wasserstein_generator), hinge_discriminator),
    "relativistic": Objective(relativistic_generator, relativistic_discriminator, needs_real=True),
    "ebgan": Objective(_of_fakes(ebgan_generator), ebgan_discriminator, energy=True),
    "began": Objective(_of_fakes(ebgan_generator), began_discriminator, energy=True, needs_k=True),
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
