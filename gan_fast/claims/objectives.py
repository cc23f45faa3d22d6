"""Objectives: what their gradients, optima and losses are said to tell."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gan_fast import models, ops
from gan_fast.claims import games, picture
from gan_fast.claims.claim import Figure, Seen, claim
from gan_fast.data import digits, seeded_generator
from gan_fast.data.mixtures import Mixture
from gan_fast.lab import MIXTURES, Session, Settings
from gan_fast.losses import OBJECTIVES
from gan_fast.metrics import sliced_wasserstein
from gan_fast.training import Engine, Recipe

NETWORKS = models.preset("points", activation="lrelu")
LEARNED = ("logistic", "least_squares", "wasserstein", "hinge", "relativistic")


@claim(
    "Where D is sure that samples are fake, the minimax generator has no gradient left, the non-saturating one has.",
    source="Goodfellow et al. 2014, arXiv 1406.2661, section 3",
    expects=(
        Figure("pull on G's points, minimax", at_most=0.01),
        Figure("pull on G's points, non-saturating", at_least=1.0),
    ),
)
def saturation(seed: int) -> Seen:
    """The lab's ring of eight; only D learns, 300 steps without a penalty, so that it becomes sure. The pull is the
    median length of minus the gradient of G's loss at a generated point.
    """
    pulls = {}
    for objective in ("minimax", "logistic"):
        session = Session(Settings(objective=objective, penalty="none", g_lr=0.0, seed=seed))
        pulls[objective] = [session.advance(15).arrows.norm(dim=1).median().item() for _ in range(20)]
    steps = [15 * (i + 1) for i in range(20)]
    curves = {name: (steps, values) for name, values in pulls.items()}
    return Seen(
        (pulls["minimax"][-1], pulls["logistic"][-1]),
        picture.curves("pull of G's loss over steps of D, log scale", curves, log=True),
    )


class _Fixed(nn.Module):
    """G(z) = centre + std z, which does not learn where G's rate is 0."""

    def __init__(self, at: Mixture):
        super().__init__()
        self.z_dim, self.c_dim, self.std = 2, 0, at.std
        self.centre = nn.Parameter(at.centres[0].clone())

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.centre + self.std * z


@claim(
    "The best D is p/(p + q): where G draws the data it is 1/2 everywhere, and -log 4 is the value of the game;"
    " elsewhere the value is -log 4 + 2 JSD(p, q).",
    source="Goodfellow et al. 2014, arXiv 1406.2661, proposition 1 and theorem 1",
    expects=(
        Figure("q = p: |value + log 4|", at_most=0.01),
        Figure("q = p: mean |D - 1/2|", at_most=0.03),
        Figure("q beside p: |value + log 4 - 2 JSD|", at_most=0.03),
        Figure("q beside p: mean |D - p/(p + q)|", at_most=0.03),
    ),
)
def best_discriminator(seed: int) -> Seen:
    """p is a round Gaussian in the plane, and so is what G draws, at the same place or one standard deviation beside
    it. Only D learns: 1000 steps of 256 points with rates falling to 0. Densities and JSD are the analytic ones, over
    20,000 points.
    """
    p, values, drawn = Mixture(torch.tensor([[0.5, 0.0]]), 1.0), [], {}
    across = torch.stack([torch.linspace(-3, 3, 61), torch.zeros(61)], 1)
    for q in (p, Mixture(torch.tensor([[-0.5, 0.0]]), 1.0)):
        _, D = games.networks(NETWORKS, seed)
        game = Engine(_Fixed(q), D, Recipe(g_lr=0.0, d_lr=0.005, beta1=0.5, penalty="none"), seed)
        for share in (1.0, 0.3, 0.1, 0.03):
            game.d_adam.param_groups[0]["lr"] = 0.005 * share
            games.train(game, games.of_mixture(p, 256, seed), 250)
        rng = seeded_generator(seed, 0, "claims/densities")
        real, fake = (mixture.sample(20_000, rng)[0] for mixture in (p, q))
        with torch.no_grad():
            value = -OBJECTIVES["logistic"].discriminator(D(real), D(fake)).mean().item()
            judged = D(torch.cat([real, fake]))[:, 0].sigmoid()
            along = D(across)[:, 0].sigmoid()
        best = (p.log_prob(torch.cat([real, fake])) - q.log_prob(torch.cat([real, fake]))).sigmoid()
        # The value at the best D is its definition: -log 4 + 2 JSD.
        optimum = best[:20_000].log().mean().item() + (1 - best[20_000:]).log().mean().item()
        values += [abs(value - optimum), (judged - best).abs().mean().item()]
        where = "q beside p" if drawn else "q = p"
        drawn[f"D, {where}"] = across[:, 0].tolist(), along.tolist()
        drawn[f"best, {where}"] = (
            across[:, 0].tolist(),
            (p.log_prob(across) - q.log_prob(across)).sigmoid().tolist(),
        )
    return Seen(tuple(values), picture.curves("D across the plane, and the best one", drawn, low=0.0, high=1.0))


@claim(
    "The loss of a Wasserstein critic falls as samples get better; its penalty keeps the norm of its gradient near 1.",
    source="Arjovsky et al. 2017, arXiv 1701.07875, section 4.2; Gulrajani et al. 2017, arXiv 1704.00028, section 4",
    expects=(
        Figure("correlation of estimate and distance, gradient penalty", at_least=0.8),
        Figure("correlation of estimate and distance, clipped", at_least=0.5),
        Figure("median gradient norm between real and fake, gradient penalty", at_least=0.8, at_most=1.2),
        Figure("median gradient norm, clipped"),
    ),
)
def critic_tells_quality(seed: int) -> Seen:
    """The lab's ring of eight, 60 steps of D to one of G, 20 of them. Before each the critic's estimate, minus its loss
    of 1000 points, is compared with their sliced Wasserstein distance. The gradient is that at random points between
    real and generated ones, at the end.
    """
    correlations, norms, panels = [], [], []
    mixture, steps = MIXTURES["ring"], list(range(60, 1201, 60))
    real = mixture.sample(1000, seeded_generator(seed, 0, "claims/real"))[0]

    @torch.no_grad()
    def look(game: Engine, values: dict[str, Tensor]) -> tuple[float, float]:
        fake = games.draw_points(game.generator)
        estimate = game.discriminator(real).mean() - game.discriminator(fake).mean()
        return estimate.item(), sliced_wasserstein(real, fake)

    for name, recipe in (
        ("gradient penalty", {"penalty": "wgan_gp", "gamma": 3.0, "penalty_interval": 1, "d_lr": 6e-3}),
        ("clipped", {"penalty": "none", "clip_weights": 0.1, "d_lr": 3e-3}),
    ):
        game = games.engine(NETWORKS, seed, objective="wasserstein", g_lr=4e-3, beta2=0.9, n_critic=60, **recipe)
        seen = games.train(game, games.of_mixture(mixture, 256, seed), steps[-1], 60, look)
        estimates, distances = (list(column) for column in zip(*seen, strict=True))
        correlations.append(games.correlation(estimates, distances))
        share = torch.rand(1000, 1, generator=seeded_generator(seed, 0, "claims/between"))
        between = real.lerp(games.draw_points(game.generator), share).requires_grad_()
        norms.append(ops.r1(between, game.discriminator(between)).sqrt().median().item())
        drawn = {"estimate": estimates, "distance": distances}
        curves = {name: (steps, [v / max(map(abs, values)) for v in values]) for name, values in drawn.items()}
        panels.append(picture.curves(f"{name}: {correlations[-1]:.2f}", curves, low=0.0))
    return Seen((*correlations, *norms), picture.beside(*panels))


@claim(
    "BEGAN's measure M falls as samples get better, while k holds the balance E(G(z)) = gamma E(x).",
    source="Berthelot et al. 2017, arXiv 1703.10717, sections 3.4 and 3.4.1",
    expects=(
        Figure("rank correlation of M and FD_digits", at_least=0.7),
        Figure("FD_digits, end / start", at_most=0.7),
        Figure("E(G(z)) / (gamma E(x)) at the end", at_least=0.8, at_most=1.2),
        Figure("k at the end, inside its bounds", at_least=0.001, at_most=0.999),
    ),
)
def began_measure(seed: int) -> Seen:
    """The BEGAN of docs/models.md, 300 batches of 32 digits with labels. M is the mean over 25 steps, FD_digits that of
    G's average after them; energies are means over 256 digits.
    """
    data, game = digits(16), games.of_preset("began-digits", seed)
    batches, average = games.of_images(data, 32, seed), game.averages.modules["G_ema"]
    steps, measures, distances, ks = list(range(25, 301, 25)), [], [], []
    for _ in steps:
        seen = games.train(game, batches, 25, 1, lambda game, values: values["began_m"].item())
        measures.append(math.fsum(seen) / len(seen))
        distances.append(games.measure_digits(average)["fd_digits"])
        ks.append(game.began_k.item())
    x, c = data.batch(torch.arange(256))
    with torch.no_grad():
        drawn = game.generator(games.latents(game.generator, 256), c)
        real, fake = (game.discriminator(images, c).mean().item() for images in (x, drawn))
    gamma = game.recipe.began_gamma
    curves = {"M": measures, "FD_digits": distances, "k": ks}
    scaled = {name: (steps, [value / max(values) for value in values]) for name, values in curves.items()}
    return Seen(
        (games.rank_correlation(measures, distances), distances[-1] / distances[0], fake / (gamma * real), ks[-1]),
        picture.beside(
            picture.curves("each over its largest value", scaled, low=0.0),
            picture.images("at the end", drawn[:20], 5),
        ),
    )


@claim(
    "R1 at every k-th step, weighted by k, is R1 at every step in expectation.",
    source="Karras et al. 2020, arXiv 1912.04958, section 3.1, lazy regularization",
    expects=(
        Figure("mean gradient, every 4th step against every step: relative error", at_most=0.05),
        Figure("mean gradient, every 16th step against every step: relative error", at_most=0.1),
    ),
)
def lazy_penalty(seed: int) -> Seen:
    """The lab's ring of eight and its networks, which stay as they are: the mean over 480 steps of the gradient of R1
    in D's weights as the engine takes it, at every k-th step and weighted by k.
    """
    batches, steps, means = games.of_mixture(MIXTURES["ring"], 256, seed), range(480), {}
    for interval in (1, 4, 16):
        game = games.engine(NETWORKS, seed, gamma=2.0, penalty_interval=interval)
        phase = next(phase for phase in game.phases if phase.name == "Dreg")
        gradients = []
        for step in steps[::interval]:
            x, _ = batches(step)
            game.gradients(phase, x, x.new_zeros(len(x), 0))
            gradients.append(torch.cat([p.grad.flatten() for p in phase.parameters if p.grad is not None]))
        counts = torch.arange(1, len(gradients) + 1)[:, None]
        means[interval] = torch.stack(gradients).cumsum(0) / interval / counts
    error = {k: (means[k] - means[1][-1]).norm(dim=1) / means[1][-1].norm() for k in means}
    drawn = {f"every {k}": (list(steps[::k]), each.tolist()) for k, each in error.items()}
    return Seen(
        (error[4][-1].item(), error[16][-1].item()),
        picture.curves("error of the mean so far, log scale", drawn, log=True),
    )


@claim(
    "The games that are played today, and the oldest, teach the same networks the same mixture.",
    source="Goodfellow 2014; Mao 2016, arXiv 1611.04076; Arjovsky 2017; Lim and Ye 2017, arXiv 1705.02894; Huang 2024",
    expects=tuple(
        Figure(f"{name}: {what}", **bound)
        for name in LEARNED
        for what, bound in (("modes of 8", {"at_least": 8}), ("distance", {"at_most": 0.35}))
    ),
)
def objectives(seed: int) -> Seen:
    """The lab's ring of eight for 400 steps, R1 with weight 2. Real points are 0.10 to 0.12 from as many others.
    (EBGAN, whose D is an autoencoder, covers six modes there: docs/lab.md; it learns all digits: docs/models.md.)
    """
    values, panels = [], []
    for objective in LEARNED:
        seen = Session(Settings(objective=objective, seed=seed)).advance(400)
        values += [seen.records[-1].modes, seen.records[-1].divergence]
        panels.append(picture.plane(objective, {"real": seen.real, "generated": seen.fake}, 3.0))
    return Seen(tuple(values), picture.beside(*panels))
