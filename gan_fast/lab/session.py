"""A game in the plane that can be stepped, looked at, and changed while it goes on."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_fast.data import seeded_generator
from gan_fast.data.mixtures import Mixture, grid, line, ring
from gan_fast.losses import OBJECTIVES
from gan_fast.metrics import sliced_wasserstein
from gan_fast.models import mlp
from gan_fast.training import Engine, Recipe
from gan_fast.training.phases import PENALTIES

# The plane that is looked at is [-REACH, REACH]^2.
REACH = 3.0
MIXTURES: dict[str, Mixture] = {
    "ring": ring(std=0.15),
    "grid": grid(3, spacing=1.8, std=0.15),
    "line": line(std=0.15),
    "pair": line(2, length=3.0, std=0.3),
}
BATCH = 256
LATTICE = 48  # squared, a multiple of BATCH


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes:
        mixture: what is real, a name in MIXTURES.
        objective: a name in `gan_fast.losses.OBJECTIVES`.
        penalty, gamma: of D's gradient, a name in `gan_fast.training.phases.PENALTIES`, and its weight.
        g_lr, d_lr: Adam's rates.
        n_critic: steps of D to one of G.
        minibatch_discrimination: whether D sees how close the points of a batch are.
        seed: of the networks and of all random numbers.

    Raises:
        ValueError: one of them cannot be played.
    """

    mixture: str = "ring"
    objective: str = "logistic"
    penalty: str = "r1"
    gamma: float = 2.0
    g_lr: float = 0.004
    d_lr: float = 0.004
    n_critic: int = 1
    minibatch_discrimination: bool = False
    seed: int = 0

    def __post_init__(self):
        for name, known in (("mixture", MIXTURES), ("objective", OBJECTIVES), ("penalty", PENALTIES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, takes {', '.join(known)}")
        for name in ("gamma", "g_lr", "d_lr"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: got {getattr(self, name)}, takes finite numbers from 0")
        if self.n_critic < 1:
            raise ValueError(f"n_critic: got {self.n_critic}, takes whole numbers from 1")
        if self.minibatch_discrimination and OBJECTIVES[self.objective].energy:
            raise ValueError(
                f"minibatch_discrimination: {self.objective}'s D is an autoencoder, without a place for it"
            )

    @property
    def mlp(self) -> mlp.Config:
        """The networks."""
        preset = mlp.PRESETS["points-energy" if OBJECTIVES[self.objective].energy else "points"]
        return dataclasses.replace(preset, activation="lrelu", minibatch_discrimination=self.minibatch_discrimination)

    @property
    def recipe(self) -> Recipe:
        """What a step computes."""
        return Recipe(
            **{name: getattr(self, name) for name in ("objective", "penalty", "gamma", "g_lr", "d_lr", "n_critic")},
            beta2=0.9,
            penalty_interval=2,
        )


@dataclass(frozen=True)
class Record:
    """Numbers of one look at the game.

    Attributes:
        step: how many were done.
        g_loss, d_loss: means over the steps since the look before; NaN where there were none.
        divergence: sliced Wasserstein distance between the real and the generated points.
        accuracy: how often D ranks a real point above a generated one, over all pairs; 1/2: it cannot tell them apart.
        modes: how many modes have a generated point within three standard deviations.
    """

    step: int
    g_loss: float
    d_loss: float
    divergence: float
    accuracy: float
    modes: int


@dataclass(frozen=True)
class Snapshot:
    """One look at the game.

    Attributes:
        settings: what is played.
        real, fake: points [BATCH, 2], the same samples and latents at every look.
        arrows: -d L_G / d x at each generated point, [BATCH, 2]: where G's loss draws it.
        heat: D over the plane, higher where it takes points for real, [LATTICE, LATTICE]; rows are y, from -REACH up.
            It is judged in batches of BATCH spread over the plane, which matters to minibatch discrimination alone.
        level: the middle between D's means on real and on generated points.
        floor: the divergence between real points and as many others.
        records: of this look, the last, and of those before it.
    """

    settings: Settings
    real: Tensor
    fake: Tensor
    arrows: Tensor
    heat: Tensor
    level: float
    floor: float
    records: tuple[Record, ...]


class Session:
    """Two networks, the engine that trains them, and what has been seen so far.

    Everything is a function of the settings and of the steps taken.

    Args:
        settings: what is played.

    Attributes:
        settings: what is played now.
        engine: `gan_fast.training.Engine`; another one after each change of what is computed.
    """

    def __init__(self, settings: Settings | None = None):
        self.settings = Settings() if settings is None else settings
        self.restart()

    def restart(self) -> None:
        """Go back to step 0."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            generator, discriminator = mlp.build(self.settings.mlp)
        self.engine = Engine(generator, discriminator, self.settings.recipe, self.settings.seed)
        self._records: tuple[Record, ...] = ()
        self.advance(0)

    def change(self, settings: Settings) -> None:
        """Go on with other settings.

        The networks stay as they are, and Adam's moments start anew; where the settings want other networks, or another
        seed, the game starts anew.
        """
        old, self.settings = self.settings, settings
        if settings.mlp != old.mlp or settings.seed != old.seed:
            self.restart()
        elif settings.recipe != old.recipe:
            engine = Engine(self.engine.generator, self.engine.discriminator, settings.recipe, settings.seed)
            engine.step_number, engine.images = self.engine.step_number, self.engine.images
            self.engine = engine

    def advance(self, steps: int) -> Snapshot:
        """Take so many steps, and look.

        Raises:
            ValueError: steps is negative.
            FloatingPointError: the networks are no longer numbers.
        """
        if steps < 0:
            raise ValueError(f"steps: got {steps}, takes whole numbers from 0")
        losses: dict[str, list[Tensor]] = {"Gmain": [], "Dmain": []}
        mixture, seed = MIXTURES[self.settings.mixture], self.settings.seed
        for _ in range(steps):
            real, _ = mixture.sample(BATCH, seeded_generator(seed, self.engine.step_number, "lab"))
            means = self.engine.step(real)
            for name, values in losses.items():
                values += [means[name]] if name in means else []
        return self._look(*(torch.stack(v).mean().item() if v else math.nan for v in losses.values()))

    def _look(self, g_loss: float, d_loss: float) -> Snapshot:
        settings, engine, seen = self.settings, self.engine, self._records
        G, D = engine.generator, engine.discriminator
        mixture, rng = MIXTURES[settings.mixture], seeded_generator(settings.seed, 0, "lab/look")
        real, other = (mixture.sample(BATCH, rng)[0] for _ in range(2))
        with torch.no_grad():
            fake = G(torch.randn(BATCH, G.z_dim, generator=rng))
        if not fake.isfinite().all():
            raise FloatingPointError(f"G draws NaN or infinity at step {engine.step_number}")
        arrows = _pull(settings.objective, D.requires_grad_(False), real, fake)
        sign = -1 if OBJECTIVES[settings.objective].energy else 1
        with torch.no_grad():
            on_real, on_fake = (sign * D(points)[:, 0] for points in (real, fake))
            heat = sign * _over_the_plane(D)
        above = (on_real[:, None] - on_fake).sign().mean().item()
        record = Record(
            engine.step_number,
            g_loss,
            d_loss,
            sliced_wasserstein(real, fake),
            (1 + above) / 2,
            mixture.modes_covered(fake),
        )
        if seen and seen[-1].step == record.step:  # looked at again: this look takes its place, and its losses stay
            record = dataclasses.replace(record, g_loss=seen[-1].g_loss, d_loss=seen[-1].d_loss)
            seen = seen[:-1]
        self._records = (*seen, record)
        level = (on_real.mean() + on_fake.mean()).item() / 2
        return Snapshot(settings, real, fake, arrows, heat, level, sliced_wasserstein(real, other), self._records)


def _pull(objective: str, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """-d L_G / d x at each generated point; the loss is summed, so that it does not depend on how many there are."""
    fake = fake.detach().requires_grad_()
    loss = OBJECTIVES[objective].generator(discriminator(fake), discriminator(real))
    return -torch.autograd.grad(loss.sum(), fake)[0]


def _over_the_plane(discriminator: nn.Module) -> Tensor:
    ticks = ((torch.arange(LATTICE) + 0.5) / LATTICE * 2 - 1) * REACH
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    points = torch.stack([x, y], 2).flatten(0, 1)
    spread = points.unflatten(0, (BATCH, -1)).transpose(0, 1)
    return torch.stack([discriminator(part)[:, 0] for part in spread], 1).view(LATTICE, LATTICE)
