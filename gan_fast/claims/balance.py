"""Collapse, oscillation and balance, and what helps against them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gan_fast import models
from gan_fast.claims import games, picture
from gan_fast.claims.claim import Figure, Seen, claim
from gan_fast.data import digits, seeded_generator, to_float
from gan_fast.data.mixtures import ring
from gan_fast.lab import MIXTURES, Session, Settings
from gan_fast.metrics import sliced_wasserstein
from gan_fast.training import Engine
from gan_fast.updates import OptimisticSGD, historical_averaging


@claim(
    "A generator of one class alone draws what passes for real: only coverage, recall and the distance report it.",
    source="Kynkaanniemi et al. 2019, arXiv 1904.06991; Naeem et al. 2020, arXiv 2002.09797",
    expects=(
        Figure("precision", at_least=0.85),
        Figure("recall", at_most=0.2),
        Figure("coverage", at_most=0.2),
        Figure("FD_digits", at_least=40.0),
        Figure("FD_digits of real halves", at_most=0.6),
        Figure("recall of real halves", at_least=0.85),
    ),
)
def one_class(seed: int) -> Seen:
    """Real digits of one class only, that of the seed (0: zeros), 896 of them drawn with repetition, measured as a
    generator's.
    """
    metrics, data = games.digits_metrics(), digits(16)
    members = torch.nonzero(data.labels == seed)[:, 0]
    picks = torch.randint(len(members), (len(metrics.labels),), generator=seeded_generator(seed, 0, "claims/class"))
    drawn = to_float(data.images[members[picks]])
    seen, halves = metrics(drawn), metrics.real_halves
    some = to_float(data.images[:20])
    return Seen(
        (
            *(seen[name] for name in ("precision", "recall", "coverage", "fd_digits")),
            halves["fd_digits"],
            halves["recall"],
        ),
        picture.beside(picture.images("real", some, 10), picture.images("one class", drawn[:20], 10)),
    )


@claim(
    "Against a D that stands still G gathers its samples where D likes them best: it collapses.",
    source="Goodfellow 2016, arXiv 1701.00160, section 5.1.1",
    expects=(
        Figure("modes while both learn", at_least=7),
        Figure("modes after 600 steps of G alone", at_most=3),
        Figure("D's mean logit of generated points - that of real ones, after them", at_least=0.0),
    ),
)
def standing_discriminator(seed: int) -> Seen:
    """The lab's ring of eight: 300 steps of both networks, then 600 of G against D as it is."""
    session = Session(Settings(seed=seed))
    before = session.advance(300)
    session.change(dataclasses.replace(session.settings, d_lr=0.0, penalty="none"))
    after = session.advance(600)
    with torch.no_grad():
        on_real, on_fake = (session.engine.discriminator(points)[:, 0] for points in (after.real, after.fake))
    return Seen(
        (before.records[-1].modes, after.records[-1].modes, (on_fake.mean() - on_real.mean()).item()),
        picture.beside(
            *(
                picture.plane(title, {"real": seen.real, "generated": seen.fake}, 3.0)
                for title, seen in (("both learn", before), ("D stands still", after))
            )
        ),
    )


# ---------------------------------------------------------------- games of two players


class _Player(nn.Module):
    def __init__(self, start: Tensor):
        super().__init__()
        self.at = nn.Parameter(start.clone())


Value = Callable[[Tensor, Tensor], Tensor]
WAYS = ("simultaneous", "alternating", "mean of alternating", "historical averaging", "optimistic", "R1")


def _play(value: Value, starts: tuple[Tensor, Tensor], way: str, steps: int, lr: float, weight: float) -> Tensor:
    """The path of (x, y), [steps, 2, n], where x descends the value and y climbs it."""
    players = tuple(_Player(start) for start in starts)
    averages = tuple(AveragedModel(player) for player in players)
    kind = OptimisticSGD if way == "optimistic" else torch.optim.SGD
    optimisers = tuple(kind(player.parameters(), lr=lr) for player in players)
    path = []
    for _ in range(steps):
        for turn in ((0,), (1,)) if "alternating" in way else ((0, 1),):
            for which in turn:
                player = players[which]
                loss = (1 - 2 * which) * value(*(p.at if p is player else p.at.detach() for p in players))
                if way == "historical averaging":
                    averages[which].update_parameters(player)
                    loss = loss + weight * historical_averaging(player, averages[which].module.parameters())
                if way == "R1" and which:  # of D(x) = y x at any x: |y|^2
                    loss = loss + weight / 2 * player.at.square().sum()
                optimisers[which].zero_grad()
                loss.backward()
            for which in turn:
                optimisers[which].step()
        path.append(torch.stack([player.at.detach().clone() for player in players]))
    path = torch.stack(path)
    if way == "mean of alternating":
        path = path.cumsum(0) / torch.arange(1, steps + 1)[:, None, None]
    return path


@claim(
    "In the game of x y simultaneous descent spirals out and alternating descent circles; averaging, R1 and optimistic"
    " steps bring it to rest.",
    source="Mescheder et al. 2018, arXiv 1801.04406, lemma 2.3 on; Daskalakis et al. 2018, arXiv 1711.00141",
    expects=(
        Figure("simultaneous: distance from the equilibrium, end / start", at_least=5.0),
        Figure("alternating", at_least=0.8, at_most=1.25),
        Figure("mean of alternating", at_most=0.1),
        Figure("historical averaging", at_most=0.1),
        Figure("optimistic", at_most=0.1),
        Figure("R1", at_most=0.1),
    ),
)
def bilinear_game(seed: int) -> Seen:
    """min over x, max over y of x y, 600 steps of 0.1 from a random place at distance 1. Historical averaging and R1
    (of D(x) = y x, so y^2) have weight 0.25.
    """
    angle = 2 * math.pi * torch.rand([], generator=seeded_generator(seed, 0, "claims/start"))
    starts = angle.cos()[None], angle.sin()[None]
    paths = {way: _play(lambda x, y: (x * y).sum(), starts, way, 600, 0.1, 0.25)[:, :, 0] for way in WAYS}
    steps = list(range(1, 601))
    distances = {way: (steps, path.norm(dim=1).tolist()) for way, path in paths.items()}
    shown = [picture.plane("", {way: paths[way]}, 2.0) for way in ("simultaneous", "alternating", "optimistic")]
    return Seen(
        tuple(distances[way][1][-1] for way in WAYS),
        picture.beside(_distances(distances), *shown),
    )


def _distances(drawn: dict[str, picture.Curve]) -> picture.Image.Image:
    names = list(drawn)
    return picture.beside(
        *(
            picture.curves("distance from the equilibrium", {name: drawn[name] for name in part}, log=True)
            for part in (names[:2], names[2:])
        )
    )


@claim(
    "Rock-paper-scissors is played in circles: simultaneous descent spirals out to pure strategies, averaging and"
    " optimistic steps find the even mixture.",
    source="Mertikopoulos et al. 2018, arXiv 1709.02738; Daskalakis et al. 2018, arXiv 1711.00141",
    expects=(
        Figure("simultaneous: distance from the even mixture, end / start", at_least=2.0),
        Figure("alternating", at_least=0.5, at_most=2.0),
        Figure("mean of alternating", at_most=0.2),
        Figure("historical averaging", at_most=0.2),
        Figure("optimistic", at_most=0.1),
    ),
)
def rock_paper_scissors(seed: int) -> Seen:
    """Two players mix three moves by a softmax of three numbers each; a win pays 1. 1000 steps of 0.5 from random
    numbers of standard deviation 0.3; historical averaging has weight 0.03.
    """
    payoff = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    rng = seeded_generator(seed, 0, "claims/start")
    starts = tuple(0.3 * torch.randn(3, generator=rng) for _ in range(2))
    first = (torch.stack(starts).softmax(1) - 1 / 3).norm()
    # Corners of the triangle in which a mixture of three moves is drawn.
    corners = ring(3, 1.2).centres
    distances, shown = {}, []
    for way in WAYS[:5]:
        path = _play(lambda x, y: x.softmax(0) @ payoff @ y.softmax(0), starts, way, 1000, 0.5, 0.03).softmax(2)
        distances[way] = list(range(1, 1001)), ((path - 1 / 3).flatten(1).norm(dim=1) / first).tolist()
        if way in ("simultaneous", "alternating", "optimistic"):
            shown.append(picture.plane("", {way: path[:, 0] @ corners}, 1.3))
    return Seen(
        tuple(values[-1] for _, values in distances.values()),
        picture.beside(_distances(distances), *shown),
    )


# ---------------------------------------------------------------- what covers modes


def _modes(points: Tensor) -> int:
    """Modes of the narrow ring with a hundredth of the points."""
    return int((games.NARROW.counts(points) >= len(points) / 100).sum())


def _play_narrow(seed: int, steps: int, looks: int = 10, **options: Any) -> tuple[float, list[Tensor]]:
    """A D that learns more slowly than G. The mean of modes over the second half of the looks, and all looks."""
    features = {name: value for name, value in options.items() if name.startswith("minibatch")}
    recipe = {name: value for name, value in options.items() if name not in features}
    game = games.engine(
        models.preset("points", activation="lrelu", **features),
        seed,
        **{"penalty": "none", "g_lr": 2e-3, "d_lr": 4e-4, "beta1": 0.5, **recipe},
    )

    def look(game: Engine, values: dict[str, Tensor]) -> Tensor:
        return games.draw_points(game.generator, 2000)

    seen = games.train(game, games.of_mixture(games.NARROW, 64, seed), steps, steps // looks, look)
    late = [_modes(points) for points in seen[looks // 2 :]]
    return math.fsum(late) / len(late), seen


def _width(points: Tensor) -> float:
    return points.var(0).sum().sqrt().item()


def _strip(name: str, seen: list[Tensor]) -> picture.Image.Image:
    """Looks late in the game, named by how much of it is over."""
    real = {"real": games.NARROW.centres}
    return picture.beside(
        *(
            picture.plane(f"{name}, {share} %", {"generated": seen[len(seen) * share // 100 - 1][:500]} | real, 3.0)
            for share in (60, 80, 100)
        )
    )


@claim(
    "A D that sees how much the samples of a batch differ keeps G from collapsing.",
    source="Salimans et al. 2016, arXiv 1606.03498, section 3.2; Karras et al. 2018, arXiv 1710.10196, section 3",
    expects=(
        Figure("width of the cloud over the data's: without", at_most=0.6),
        Figure("width, minibatch discrimination / without", at_least=1.5),
        Figure("width, minibatch standard deviation / without", at_least=1.3),
        Figure("modes of 8 at a time: without"),
        Figure("modes, minibatch discrimination - without", at_least=0.4),
        Figure("modes, minibatch standard deviation - without", at_least=0.2),
        Figure("least width: without"),
        Figure("least width, minibatch discrimination"),
        Figure("least width, minibatch standard deviation"),
    ),
)
def minibatch_features(seed: int) -> Seen:
    """A ring of eight Gaussians (standard deviation 0.1 at radius 2), no penalty, a D that learns at a twentieth of
    G's rate, 400 steps of 64 points. The statistics (standard deviations over groups of four, as in published code)
    enter D before a last hidden layer, which D without them has, too. Means are over 20 looks in the second half: the
    width is the standard deviation of 2000 points, a mode counts with 20 of them. With discrimination the cloud is at
    no look narrower than 0.6 of the data; with the standard deviation it narrows for moments. In so few steps neither
    gathers the points in the modes.
    """
    ways = {
        "without": {},
        "discrimination": {"minibatch_discrimination": True},
        "deviation": {"minibatch_stddev": True, "minibatch_group": 4},
    }
    played = {
        name: _play_narrow(seed, 400, looks=40, d_lr=1e-4, minibatch_depth=1, **options)
        for name, options in ways.items()
    }
    plain, discrimination, deviation = (modes for modes, _ in played.values())
    real = _width(games.NARROW.sample(2000, seeded_generator(seed, 0, "claims/width"))[0])
    widths = [[_width(points) / real for points in seen[len(seen) // 2 :]] for _, seen in played.values()]
    means = [math.fsum(each) / len(each) for each in widths]
    return Seen(
        (
            means[0],
            means[1] / means[0],
            means[2] / means[0],
            plain,
            discrimination - plain,
            deviation - plain,
            *map(min, widths),
        ),
        picture.below(*(_strip(name, seen) for name, (_, seen) in played.items())),
    )


@claim(
    "Where G and D chase each other from mode to mode, a G that foresees D's next steps stays spread over them.",
    source="Metz et al. 2017, arXiv 1611.02163, section 3.1 and figure 1",
    expects=(
        Figure("modes of 8 at a time, plain", at_most=3.0),
        Figure("modes of 8 at a time, unrolled by 5 - plain", at_least=2.0),
    ),
)
def unrolled_steps(seed: int) -> Seen:
    """The ring of minibatch-features, a D that learns at a fifth of G's rate, 600 steps, with G judged by D as it is,
    and as five steps of length 0.03 would leave it. After so few steps it is spread over the modes rather than gathered
    in them.
    """
    played = {f"k = {k}": _play_narrow(seed, 600, unroll=k, unroll_lr=0.03) for k in (0, 5)}
    plain, unrolled = (modes for modes, _ in played.values())
    return Seen((plain, unrolled - plain), picture.below(*(_strip(name, seen) for name, (_, seen) in played.items())))


# ---------------------------------------------------------------- steadiness


@claim(
    "An exponential average of G's weights draws steadier and better samples than G itself.",
    source="Yazici et al. 2019, arXiv 1806.04498; Karras et al. 2018, arXiv 1710.10196, section 4",
    expects=(
        Figure("movement of the points, average / G", at_most=0.5),
        Figure("distance from real, average / G", at_most=0.9),
    ),
)
def averaged_generator(seed: int) -> Seen:
    """The lab's ring of eight without a penalty: after 400 steps 40 looks, one at every 10th. Movement is the mean way
    of the points of fixed latents from look to look.
    """
    session = Session(Settings(penalty="none", seed=seed))
    session.advance(400)
    game = session.engine
    real = MIXTURES["ring"].sample(1000, seeded_generator(seed, 0, "claims/real"))[0]
    points: dict[str, list[Tensor]] = {"G": [], "average": []}
    for _ in range(40):
        session.advance(10)
        points["G"].append(games.draw_points(game.generator))
        points["average"].append(games.draw_points(game.averages.modules["G_ema"]))
    steps = [400 + 10 * (i + 1) for i in range(40)]
    distances = {name: (steps, [sliced_wasserstein(real, x) for x in xs]) for name, xs in points.items()}
    moved = {
        name: torch.stack([(b - a).norm(dim=1).mean() for a, b in pairwise(xs)]).mean().item()
        for name, xs in points.items()
    }
    mean = {name: math.fsum(values) / len(values) for name, (_, values) in distances.items()}
    shown = [picture.plane(name, {"generated": xs[-1][:400], "real": real[:200]}, 3.0) for name, xs in points.items()]
    return Seen(
        (moved["average"] / moved["G"], mean["average"] / mean["G"]),
        picture.beside(picture.curves("distance from real", distances, low=0.0), *shown),
    )


@claim(
    "As G learns the data D's accuracy returns to 1/2.",
    source="Goodfellow et al. 2014, arXiv 1406.2661, theorem 1 and figure 1",
    expects=(
        Figure("accuracy at its best", at_least=0.75),
        Figure("accuracy at the end, mean of five looks", at_least=0.45, at_most=0.6),
    ),
)
def accuracy_returns(seed: int) -> Seen:
    """The lab's two Gaussians, 400 steps, then 400 with a tenth of the rates. Accuracy is that about pairs: how often D
    ranks a real point above a generated one.
    """
    session = Session(Settings(mixture="pair", seed=seed))
    for rate in (4e-3, 4e-4):
        session.change(dataclasses.replace(session.settings, g_lr=rate, d_lr=rate))
        for _ in range(20):
            seen = session.advance(20)
    records = seen.records
    steps = [record.step for record in records]
    accuracy = [record.accuracy for record in records]
    drawn = {"D's accuracy": (steps, accuracy), "1/2": (steps, [0.5] * len(steps))}
    return Seen(
        (max(accuracy), math.fsum(accuracy[-5:]) / 5),
        picture.beside(
            picture.curves("pairs that D ranks rightly", drawn, low=0.4, high=1.0),
            picture.plane("", {"real": seen.real, "generated": seen.fake}, 3.0),
        ),
    )
