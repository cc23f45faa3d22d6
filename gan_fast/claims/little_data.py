"""Little data: augmentation that does not leak, and its strength steered."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_fast import models
from gan_fast.augment import diff_augment
from gan_fast.claims import games, picture
from gan_fast.claims.claim import Figure, Seen, claim
from gan_fast.data import digits, seeded_generator
from gan_fast.training import Engine, Recipe

POLICY = "cutout"


class _AugmentedInItsStep(nn.Module):
    """D, that sees images through cutout when its own weights are trained, and as they are when G's are."""

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        trained = next(self.discriminator.parameters()).requires_grad
        return self.discriminator(diff_augment(x, POLICY) if trained else x, c)


def _holes(images: Tensor) -> float:
    """The share of images with a square of 6x6 pixels of nearly the value 0, which a cutout leaves in most."""
    grey = (images.abs() < 0.15).float()
    return torch.nn.functional.avg_pool2d(grey, 6, 1).amax((1, 2, 3)).ge(0.9).double().mean().item()


@claim(
    "Augmenting real images only, G learns the augmentation; in D's step only, G loses its way; everywhere and"
    " differentiably, nothing leaks.",
    source="Zhao et al. 2020, arXiv 2006.10738, sections 3.1 to 3.3 and figure 5",
    expects=(
        Figure("images with a hole: real, augmented", at_least=0.5),
        Figure("images with a hole: reals only", at_least=0.3),
        Figure("images with a hole: both, everywhere", at_most=0.05),
        Figure("FD_digits: reals only / both", at_least=2.0),
        Figure("FD_digits: D's step only / both", at_least=2.0),
        Figure("FD_digits: both, everywhere"),
    ),
)
def augmentation_leaks(seed: int) -> Seen:
    """DCGANs without labels on 16x16 digits, 200 batches of 32, cutout of half the side; a hole is a square of 6x6
    pixels of the value that cutout leaves.
    """
    data = digits(16)
    batches = games.of_images(data, 32, seed, labels=False)

    def cut(step: int) -> tuple[Tensor, None]:
        return diff_augment(batches(step)[0], POLICY, seeded_generator(seed, step, "claims/cut")), None

    holes, distances, rows = [_holes(torch.cat([cut(step)[0] for step in range(15)]))], [], []
    for name, where in (
        ("reals only", "reals"),
        ("D's step only", "step"),
        ("both, everywhere", "both"),
    ):
        G, D = games.networks(models.preset("dcgan-digits", c_dim=0), seed)
        recipe = Recipe(
            gamma=1.0, penalty_interval=4, beta1=0.5, ema_kimg=1.0, augment=POLICY if where == "both" else "none"
        )
        game = Engine(G, _AugmentedInItsStep(D) if where == "step" else D, recipe, seed)
        games.train(game, cut if where == "reals" else batches, 200)
        average = game.averages.modules["G_ema"]
        drawn = games.draw_digits(average)
        holes.append(_holes(drawn))
        distances.append(games.measure_digits(average)["fd_digits"])
        rows.append(picture.images(name, drawn[:20], 7))
    return Seen(
        (holes[0], holes[1], holes[3], distances[0] / distances[2], distances[1] / distances[2], distances[2]),
        picture.beside(*rows),
    )


@claim(
    "With few images D learns them by heart, which r_t shows; ADA's p rises until r_t is at its target.",
    source="Karras et al. 2020, arXiv 2006.06676, sections 3 and 3.1, figure 6",
    expects=(
        Figure("r_t without augmentation, last fifth", at_least=0.8),
        Figure("r_t with ADA, target 0.6, last fifth", at_least=0.5, at_most=0.7),
        Figure("p at the end", at_least=0.05, at_most=0.95),
    ),
)
def ada_steers(seed: int) -> Seen:
    """A DCGAN without labels on 20 of the digits, 300 batches of 32; p may go from 0 to 1 in 5 kimg. r_t is the mean
    sign of D's logits of real images.
    """
    few = digits(16).subset(torch.randperm(1797, generator=seeded_generator(seed, 0, "claims/few"))[:20])
    batches = games.of_images(few, 32, seed, labels=False)
    r_t, ps = {}, {}

    def look(game: Engine, values: dict[str, Tensor]) -> tuple[float, float]:
        return values["r_t"].item(), game.ada_p.item()

    for name, augment in (("none", "none"), ("ADA", "ada")):
        rates = {"g_lr": 1e-3, "gamma": 0.1, "penalty_interval": 4, "beta1": 0.5}
        game = games.engine(models.preset("dcgan-digits", c_dim=0), seed, augment=augment, ada_kimg=5.0, **rates)
        seen = torch.tensor(games.train(game, batches, 300, 1, look))
        means = seen.unflatten(0, (15, 20)).mean(1)
        steps = [20 * (i + 1) for i in range(15)]
        r_t[name], ps[name] = (steps, means[:, 0].tolist()), (steps, means[:, 1].tolist())
    ends = {name: sum(values[-3:]) / 3 for name, (_, values) in r_t.items()}
    r_t["target"] = ps["none"][0], [0.6] * 15
    return Seen(
        (ends["none"], ends["ADA"], ps["ADA"][1][-1]),
        picture.beside(
            picture.curves("r_t", r_t, low=-0.2, high=1.0), picture.curves("p", {"ADA": ps["ADA"]}, low=0.0, high=1.0)
        ),
    )
