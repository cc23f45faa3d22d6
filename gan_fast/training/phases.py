"""The phases of one training step: what is backpropagated, into which network, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_fast.augment import translate
from gan_fast.data import seeded_generator
from gan_fast.losses import logistic_discriminator, logistic_generator, mode_seeking
from gan_fast.ops import r1


@dataclass(frozen=True)
class Phases:
    """Gmain, Dmain and Dr1: each returns its loss, one value a sample, with the graph to its network's parameters.

    All random numbers of a phase come from (seed, step, phase), so a step can be repeated alone.

    Attributes:
        generator, discriminator: the networks.
        seed: the run's seed.
        gamma, r1_interval: weight of R1, and every how many steps it is computed.
        mode_seeking: weight of the mode-seeking term of Gmain; 0 leaves it out.
        style_mixing: probability that a batch takes its later layers' w from a second z.
        translate: random translation before D, as a share of the side.
    """

    generator: nn.Module
    discriminator: nn.Module
    seed: int
    gamma: float
    r1_interval: int
    mode_seeking: float
    style_mixing: float
    translate: float

    def g_main(self, step: int, c: Tensor) -> Tensor:
        """softplus(-D(G(z, c), c)), [N]; with mode seeking also its term, for which c[i] and c[i + N/2] are alike."""
        rng = self._start(step, "Gmain")
        fake, z = self._draw(rng, c, update_emas=True)
        loss = logistic_generator(self.discriminator(translate(fake, self.translate, rng), c))
        return loss + self.mode_seeking * mode_seeking(fake, z).repeat(2) if self.mode_seeking else loss

    def d_main(self, step: int, x: Tensor, c: Tensor) -> Tensor:
        """softplus(-D(x, c)) + softplus(D(G(z, c), c)): [N]."""
        rng = self._start(step, "Dmain")
        with torch.no_grad():
            fake, _ = self._draw(rng, c)
        real_logits = self.discriminator(translate(x, self.translate, rng), c)
        return logistic_discriminator(real_logits, self.discriminator(translate(fake, self.translate, rng), c))

    def d_r1(self, step: int, x: Tensor, c: Tensor) -> Tensor:
        """r1_interval * gamma / 2 * |d D(x, c) / dx|^2: [N]. Mescheder et al., arXiv 1801.04406, equation 9."""
        rng = self._start(step, "Dr1")
        x = translate(x, self.translate, rng).detach().requires_grad_()
        return r1(x, self.discriminator(x, c)) * (self.gamma / 2 * self.r1_interval)

    def _draw(self, rng: torch.Generator, c: Tensor, update_emas: bool = False) -> tuple[Tensor, Tensor]:
        mapping = self.generator.mapping
        z, z2 = (torch.randn(len(c), self.generator.z_dim, generator=rng).to(c.device) for _ in range(2))
        ws = mapping(z, c, update_emas=update_emas)
        mix, share = torch.rand(2, generator=rng).tolist()
        if mix < self.style_mixing:
            cutoff = 1 + int(share * (self.generator.num_ws - 1))
            ws = torch.cat([ws[:, :cutoff], mapping(z2, c)[:, cutoff:]], 1)
        return self.generator.synthesis(ws), z

    def _start(self, step: int, phase: str) -> torch.Generator:
        rng = seeded_generator(self.seed, step, phase)
        # The networks' own noise comes from the global generator.
        torch.manual_seed(rng.initial_seed())
        return rng


def lazy_adam(module: nn.Module, lr: float, betas: tuple[float, float], interval: int | None) -> torch.optim.Adam:
    """Adam for a network whose regulariser runs as a step of its own every `interval` steps (None: it has none).

    The extra steps make interval + 1 where there were interval, so with r = interval / (interval + 1) the rates become
    lr r, beta1^r, beta2^r (Karras et al., arXiv 1912.04958, appendix B, "lazy regularization").
    """
    ratio = 1.0 if interval is None else interval / (interval + 1)
    betas = (float(betas[0]) ** ratio, float(betas[1]) ** ratio)
    return torch.optim.Adam(module.parameters(), lr=lr * ratio, betas=betas, eps=1e-8, fused=True)
