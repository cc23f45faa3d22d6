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

POLICY = "translation"


class _AugmentedInItsStep(nn.Module):
    """D, that sees shifted images when its own weights are trained, and as they are when G's are."""

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        trained = next(self.discriminator.parameters()).requires_grad
        return self.discriminator(diff_augment(x, POLICY) if trained else x, c)


def _edges(images: Tensor) -> float:
    """How far from black, -1, the outermost columns are in the mean; where an image was shifted from, they are 0."""
    return (images[..., (0, -1)] + 1).mean().item()


@claim(
    "Augmenting real images only, G learns the augmentation; in D's step only, G's step asks D about images that it"
    " cannot judge; everywhere and differentiably, nothing leaks.",
    source="Zhao et al. 2020, arXiv 2006.10738, sections 3.1 to 3.3, figures 4 and 5",
    expects=(
        Figure("edges above black: real images", at_most=0.1),
        Figure("edges above black: real images, augmented", at_least=0.3),
        Figure("edges above black: reals only", at_least=0.25),
        Figure("edges above black: both, everywhere", at_most=0.15),
        Figure("D's step only: fakes that D finds, augmented - as they are", at_least=0.1),
        Figure("FD_digits: reals only / both"),
        Figure("FD_digits: D's step only / both"),
    ),
)
def augmentation_leaks(seed: int) -> Seen:
    """DCGANs without labels on 16x16 digits, 200 batches of 32, shifted by up to an eighth of the side, which
    leaves grey edges. Edges are the first and the last column of pixels. FD_digits is that of
    training so short, and tells the three apart with one seed in three.
    """
    batches = games.of_images(digits(16), 32, seed, labels=False)

    def shifted(step: int) -> tuple[Tensor, None]:
        return diff_augment(batches(step)[0], POLICY, seeded_generator(seed, step, "claims/shifts")), None

    first = range(20)
    edges = {
        "real": _edges(torch.cat([batches(step)[0] for step in first])),
        "augmented": _edges(torch.cat([shifted(step)[0] for step in first])),
    }
    distances, rows = {}, []
    for name in ("reals only", "D's step only", "both, everywhere"):
        G, D = games.networks(models.preset("dcgan-digits", c_dim=0), seed)
        judge = _AugmentedInItsStep(D) if name == "D's step only" else D
        augment = POLICY if name == "both, everywhere" else "none"
        recipe = Recipe(gamma=1.0, penalty_interval=4, beta1=0.5, ema_kimg=1.0, augment=augment)
        game = Engine(G, judge, recipe, seed)
        games.train(game, shifted if name == "reals only" else batches, 200)
        average = game.averages.modules["G_ema"]
        drawn = games.draw_digits(average)
        if name == "D's step only":
            with torch.no_grad():
                seen = (diff_augment(drawn, POLICY, seeded_generator(seed, 0, "claims/seen")), drawn)
                found = [(D(images) < 0).double().mean().item() for images in seen]
        edges[name] = _edges(drawn)
        distances[name] = games.measure_digits(average)["fd_digits"]
        rows.append(picture.images(name, drawn[:20], 7))
    return Seen(
        (
            *(edges[name] for name in ("real", "augmented", "reals only", "both, everywhere")),
            found[0] - found[1],
            *(distances[name] / distances["both, everywhere"] for name in ("reals only", "D's step only")),
        ),
        picture.beside(*rows),
    )


@claim(
    "With few images D learns them by heart, which r_t shows; ADA's p rises until r_t is at its target.",
    source="Karras et al. 2020, arXiv 2006.06676, sections 3 and 3.1, figure 6",
    expects=(
        Figure("r_t without augmentation, last fifth", at_least=0.35),
        Figure("r_t with ADA, target 0.2, last fifth", at_least=0.05, at_most=0.35),
        Figure("p at the end", at_least=0.05, at_most=0.95),
    ),
)
def ada_steers(seed: int) -> Seen:
    """A DCGAN without labels on 20 of the digits, 300 batches of 32; p may go from 0 to 1 in 5 kimg; the target is
    0.2, as D has little time. r_t is the mean
    sign of D's logits of real images.
    """
    few = digits(16).subset(torch.randperm(1797, generator=seeded_generator(seed, 0, "claims/few"))[:20])
    batches = games.of_images(few, 32, seed, labels=False)
    r_t, ps = {}, {}

    def look(game: Engine, values: dict[str, Tensor]) -> tuple[float, float]:
        return values["r_t"].item(), game.ada_p.item()

    for name, augment in (("none", "none"), ("ADA", "ada")):
        rates = {"g_lr": 1e-3, "gamma": 0.1, "penalty_interval": 4, "beta1": 0.5}
        game = games.engine(
            models.preset("dcgan-digits", c_dim=0), seed, augment=augment, ada_target=0.2, ada_kimg=5.0, **rates
        )
        seen = torch.tensor(games.train(game, batches, 300, 1, look))
        means = seen.unflatten(0, (15, 20)).mean(1)
        steps = [20 * (i + 1) for i in range(15)]
        r_t[name], ps[name] = (steps, means[:, 0].tolist()), (steps, means[:, 1].tolist())
    ends = {name: sum(values[-3:]) / 3 for name, (_, values) in r_t.items()}
    r_t["target"] = ps["none"][0], [0.2] * 15
    return Seen(
        (ends["none"], ends["ADA"], ps["ADA"][1][-1]),
        picture.beside(
            picture.curves("r_t", r_t, low=-0.2, high=1.0), picture.curves("p", {"ADA": ps["ADA"]}, low=0.0, high=1.0)
        ),
    )
