"""What experiments share: batches, networks from seeds, training by the engine with looks in between, and measures."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from gan_fast import models
from gan_fast.data import BatchSampler, ImageSet, digits, seeded_generator
from gan_fast.data.image_set import one_hot
from gan_fast.data.mixtures import Mixture, ring
from gan_fast.metrics import DigitsMetrics
from gan_fast.training import Engine, Recipe, make_config

NARROW = ring(std=0.1)  # eight Gaussians at radius 2, with gaps between them

Batches = Callable[[int], tuple[Tensor, Tensor | None]]


def networks(config: Any, seed: int) -> tuple[nn.Module, nn.Module]:
    """(G, D) of a configuration, with the weights of this seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.build(config)


def engine(config: Any, seed: int, **recipe: Any) -> Engine:
    """An engine for the networks of a configuration."""
    return Engine(*networks(config, seed), Recipe(**recipe), seed)


def of_mixture(mixture: Mixture, n: int, seed: int) -> Batches:
    """Batches of n points."""
    return lambda step: (mixture.sample(n, seeded_generator(seed, step, "claims"))[0], None)


def of_images(data: ImageSet, n: int, seed: int, labels: bool = True, group: int = 1) -> Batches:
    """Batches of n images, with their labels or without, in groups of one class."""
    sampler = BatchSampler(data.labels, n, seed, group)

    def batch(step: int) -> tuple[Tensor, Tensor | None]:
        x, c = data.batch(sampler(step))
        return x, c if labels else None

    return batch


def train(
    engine: Engine,
    batches: Batches,
    steps: int,
    every: int = 0,
    look: Callable[[Engine, dict[str, Tensor]], Any] = lambda engine, values: None,
) -> list[Any]:
    """Take the steps, and return what `look(engine, values)` does of what `engine.step` returned at each `every`-th."""
    seen = []
    torch.set_flush_denormal(True)  # as in a run
    for _ in range(steps):
        values = engine.step(*batches(engine.step_number))
        if every and engine.step_number % every == 0:
            seen.append(look(engine, values))
    torch.set_flush_denormal(False)
    return seen


@lru_cache
def digits_metrics() -> DigitsMetrics:
    return DigitsMetrics()


def latents(generator: nn.Module, n: int, purpose: str = "look") -> Tensor:
    """z [n, z_dim], always the same."""
    return torch.randn(n, generator.z_dim, generator=seeded_generator(0, 0, purpose))


@torch.no_grad()
def draw_points(generator: nn.Module, n: int = 1000) -> Tensor:
    """Points [n, 2] of always the same latents."""
    return generator(latents(generator, n))


@torch.no_grad()
def draw_digits(generator: nn.Module, labels: Tensor | None = None, z: Tensor | None = None) -> Tensor:
    """Digits of the labels that the metrics want, or of others, if G takes them, from fixed latents."""
    labels = digits_metrics().labels if labels is None else labels
    z = latents(generator, len(labels)) if z is None else z
    return generator(z, one_hot(labels, 10) if generator.c_dim else None)


def measure_digits(generator: nn.Module) -> dict[str, float]:
    """What `DigitsMetrics` says of a generator; class_accuracy where it takes labels."""
    labels = digits_metrics().labels if generator.c_dim else None
    return digits_metrics()(draw_digits(generator), labels)


def of_preset(name: str, seed: int, **changes: Any) -> Engine:
    """A preset's networks for 16x16 digits, with the recipe that `gan-fast train --preset` takes, but for changes."""
    config = make_config(preset=name, **changes)
    return Engine(*networks(config.network(), seed), config.recipe(on_gpu=False), seed)


@lru_cache
def trained(name: str, seed: int, steps: int, **changes: Any) -> Engine:
    """The same after so many batches of 32 digits with their labels."""
    engine = of_preset(name, seed, **changes)
    train(engine, of_images(digits(16), 32, seed, group=engine.recipe.class_group), steps)
    return engine


def correlation(a: list[float], b: list[float]) -> float:
    """Pearson's: 1 where one is a rising line of the other."""
    return torch.corrcoef(torch.tensor([a, b], dtype=torch.float64))[0, 1].item()


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's, of values without ties: 1 where one rises whenever the other does."""
    return correlation(*(torch.tensor(values).argsort().argsort().tolist() for values in (a, b)))
