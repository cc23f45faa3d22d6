"""The losses of one training step: Gmain, Greg, Dmain and Dreg, and the random numbers that they take."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from gan_fast import ops
from gan_fast.data import seeded_generator, share
from gan_fast.losses import Objective, mode_seeking
from gan_fast.training.recipe import Recipe
from gan_fast.updates import historical_averaging, unrolled

# The penalties of Dreg, and the factor that their papers put before the weight gamma.
PENALTIES = {"r1": 0.5, "r2": 0.5, "r1+r2": 0.5, "wgan_gp": 1.0, "dragan": 1.0, "zero_centred_gp": 1.0, "none": 0.0}

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Draws:
    """The random numbers of one part of the batch, in one phase of one step.

    Latents are a function of (seed, step, phase) and the sample's place in the batch, whoever computes it; `rng` and
    PyTorch's global generator, from which networks draw noise, are the part's own.

    Attributes:
        z, z2: latents [n, z_dim]; z2 is style mixing's.
        cutoff: from this layer on w is z2's, int64 []; None: no mixing.
        rng: for augmentation and penalties.
    """

    z: Tensor
    z2: Tensor
    cutoff: Tensor | None
    rng: torch.Generator

    def seed(self, device: torch.device) -> Tensor:
        """A seed for `gan_fast.ops.noise`: int64 [2]."""
        return torch.randint(2**62, (2,), generator=self.rng, device=device)


@dataclass(frozen=True)
class Phases:
    """The losses of the phases for one part of a batch: [n], with the graph to their network's parameters.

    Each also returns the means that the engine needs of the whole batch, by name, without a graph.

    Attributes:
        generator, discriminator: the networks; G may have mapping and synthesis, which style mixing and path length
            need, or be any function of (z, c).
        recipe, objective: what is computed.
        seed: the run's seed.
        augment: what D's images go through, real and generated alike.
        k: BEGAN's, []; the engine moves it.
        pasts: with `historical`, the means of the past of "G"'s and of "D"'s parameters; the engine moves them.
    """

    generator: nn.Module
    discriminator: nn.Module
    recipe: Recipe
    objective: Objective
    seed: int
    augment: Augment
    k: Tensor
    pasts: dict[str, list[Tensor]]

    def draw(self, step: int, phase: str, n: int, part: int, parts: int) -> Draws:
        """The random numbers of part `part` of `parts`, n samples each; the part's noise comes next."""
        like, shape = next(self.generator.parameters()), (n * parts, self.generator.z_dim)
        host = seeded_generator(self.seed, step, phase)
        rng = self.rng.manual_seed(host.initial_seed())
        z, z2 = (torch.randn(shape, generator=rng, device=like.device).to(like.dtype) for _ in range(2))
        mix, place = torch.rand(2, generator=rng if rng.device == host.device else host).tolist()
        cutoff = None
        if mix < self.recipe.style_mixing:
            # Filled on the device: a copy from the host's memory would wait for it.
            cutoff = torch.full([], 1 + int(place * (self.generator.num_ws - 1)), device=like.device)
        if part:
            rng.manual_seed(seeded_generator(self.seed, step, f"{phase}/{part}").initial_seed())
        # Not torch.manual_seed, which formats a stack trace for every kind of device.
        _global_generator(like.device).manual_seed(rng.initial_seed())
        z, z2 = (share(x, part, parts, self.recipe.class_group) for x in (z, z2))
        return Draws(z, z2, cutoff, rng)

    def g_main(self, draws: Draws, x: Tensor, c: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective's loss of G; with mode seeking also its term, for which c[i] and c[i + n/2] are alike."""
        if self._has_ws:
            ws, w_mean = self._latents(draws, c)
            fake = self.generator.synthesis(ws)
            means = {"w": w_mean}
        else:
            fake, means = self.generator(draws.z, c), {}
        recipe, objective = self.recipe, self.objective
        real = self.augment(x, draws.rng) if objective.needs_real or recipe.unroll else None
        seen = self.augment(fake, draws.rng)
        judge = self.discriminator
        if recipe.unroll:
            judge = unrolled(
                judge, lambda D: self._loss_of_d(D(real, c), D(seen, c)).mean(), recipe.unroll, recipe.unroll_lr
            )
        real_logits = judge(real, c) if objective.needs_real else None
        loss = objective.generator(judge(seen, c), real_logits)
        if recipe.mode_seeking:
            loss = loss + recipe.mode_seeking * mode_seeking(fake, draws.z).repeat(2)
        if recipe.historical:
            loss = loss + recipe.historical * historical_averaging(self.generator, self.pasts["G"])
        return loss, means

    def g_reg(self, draws: Draws, c: Tensor, mean: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """interval * weight * (path length - mean)^2, of the first samples of the part.

        `mean` is the one before this step, so that no part waits for another; `ops.path_length_penalty` has the one
        after it, which differs by path_length_decay of the change.
        """
        recipe = self.recipe
        n = max(len(c) // recipe.path_length_shrink, 1)
        ws, _ = self._latents(Draws(draws.z[:n], draws.z2[:n], draws.cutoff, draws.rng), c[:n])
        lengths = ops.path_length(ws, self.generator.synthesis(ws), draws.seed(ws.device))
        loss = (lengths - mean).square() * (recipe.path_length * recipe.path_length_interval)
        return loss, {"path_length": lengths.detach().mean()}

    def d_main(self, draws: Draws, x: Tensor, c: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective's loss of D; also r_t, f_t = E[sign(D)] of real and of fake, or of energies E[D]."""
        fake = self._fake(draws, c)
        real_logits = self._judge(x, c, draws)
        fake_logits = self._judge(fake, c, draws)
        loss = self._loss_of_d(real_logits, fake_logits)
        if self.recipe.historical:
            loss = loss + self.recipe.historical * historical_averaging(self.discriminator, self.pasts["D"])
        real, fake = real_logits.detach(), fake_logits.detach()
        if self.objective.energy:
            return loss, {"real_energy": real.mean(), "fake_energy": fake.mean()}
        return loss, {"r_t": real.sign().mean(), "f_t": fake.sign().mean()}

    def d_reg(self, draws: Draws, x: Tensor, c: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """interval * gamma * the penalty's factor * the penalty, in the images before augmentation."""
        recipe = self.recipe

        def judge(images: Tensor) -> Tensor:
            return self._judge(images, c, draws)

        def norm_at(images: Tensor) -> Tensor:
            images = images.detach().requires_grad_()
            return ops.r1(images, judge(images))

        match recipe.penalty:
            case "r1":
                penalty = norm_at(x)
            case "r2":
                penalty = norm_at(self._fake(draws, c))
            case "r1+r2":
                penalty = norm_at(x) + norm_at(self._fake(draws, c))
            case "dragan":
                penalty = ops.dragan(judge, x, draws.seed(x.device), recipe.penalty_sigma)
            case _:
                between = {"wgan_gp": ops.wgan_gp, "zero_centred_gp": ops.zero_centred_gp}[recipe.penalty]
                penalty = between(judge, x, self._fake(draws, c), draws.seed(x.device))
        factor = recipe.gamma * PENALTIES[recipe.penalty]
        return penalty * (factor * recipe.penalty_interval), {"penalty": penalty.detach().mean()}

    def compiled(self) -> Phases:
        """These with synthesis and D under torch.compile, for g_main and d_main: it has no second derivatives."""

        def translated(network: nn.Module) -> nn.Module:
            # Random numbers as in eager code, so that only rounding differs.
            return torch.compile(network, dynamic=False, options={"fallback_random": True})

        g = self.generator
        if self._has_ws:
            g = SimpleNamespace(mapping=g.mapping, synthesis=translated(g.synthesis), parameters=g.parameters)
        else:
            g = translated(g)
        return replace(self, generator=g, discriminator=translated(self.discriminator))

    @functools.cached_property
    def rng(self) -> torch.Generator:
        """The generator of all draws: one, because a CUDA graph keeps those that it was captured with."""
        return torch.Generator(next(self.generator.parameters()).device)

    @property
    def _has_ws(self) -> bool:
        return hasattr(self.generator, "mapping")

    def _judge(self, images: Tensor, c: Tensor, draws: Draws) -> Tensor:
        return self.discriminator(self.augment(images, draws.rng), c)

    def _loss_of_d(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return self.objective.discriminator(real_logits, fake_logits, *([self.k] if self.objective.needs_k else []))

    def _latents(self, draws: Draws, c: Tensor) -> tuple[Tensor, Tensor]:
        """ws [n, num_ws, w_dim], mixed, and the mean of the unmixed w, [w_dim]."""
        mapping = self.generator.mapping
        ws = mapping(draws.z, c)
        w_mean = ws[:, 0].detach().mean(0)
        if draws.cutoff is not None:
            layers = torch.arange(ws.shape[1], device=ws.device)[:, None]
            ws = torch.where(layers < draws.cutoff, ws, mapping(draws.z2, c))
        return ws, w_mean

    @torch.no_grad()
    def _fake(self, draws: Draws, c: Tensor) -> Tensor:
        if not self._has_ws:
            return self.generator(draws.z, c)
        return self.generator.synthesis(self._latents(draws, c)[0])


def _global_generator(device: torch.device) -> torch.Generator:
    return torch.default_generator if device.type == "cpu" else torch.cuda.default_generators[device.index]
