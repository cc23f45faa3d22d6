"""What can be looked at: each panel is a few controls and a function from their values to images.

The live explorer puts a generator behind the controls; the offline page draws every combination of the values that
`Slider.page` and `Choice.page` name, beforehand. Neither knows what a panel shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from gan_fast import latents
from gan_fast.data.image_set import one_hot
from gan_fast.projection import Projection, film

WALK_SEEDS = 6
WALK_FRAMES = 20  # from one seed to the next
DIRECTIONS = 5
LONGEST_BUTTONS = 64  # letters

PROJECTION = (
    "The generator is asked for an image that it did not draw: a search for the w, and the noise, from which it draws"
    " the nearest. What it cannot draw, it has not learnt."
)

Point = tuple[float, ...]


@dataclass(frozen=True)
class Slider:
    """A number from low to high; `page` are the values that an offline page has."""

    label: str
    low: float
    high: float
    step: float
    start: float
    page: tuple[float, ...]
    loops: bool = False


@dataclass(frozen=True)
class Choice:
    """One of the options; its value is the option's number. `page` are the numbers that an offline page has."""

    label: str
    options: tuple[str, ...]
    start: int
    page: tuple[int, ...]

    @property
    def is_long(self) -> bool:
        """Whether the options are too many for buttons, and become a list that opens."""
        return len("".join(self.options)) > LONGEST_BUTTONS


Control = Slider | Choice


@dataclass(frozen=True)
class Panel:
    """Controls and what they show.

    Attributes:
        title, text: what it is called, and what it shows in plain words.
        controls: in the order of a point's values.
        captions: one for each of the P images that a point has.
        draw: from N points to images [N, P, C, H, W] in [-1, 1].
        page_controls, from_page: for an offline page that has other controls: those, and how a point of theirs becomes
            one of `controls`.
    """

    title: str
    text: str
    controls: tuple[Control, ...]
    captions: tuple[str, ...]
    draw: Callable[[Sequence[Point]], Tensor]
    page_controls: tuple[Control, ...] | None = None
    from_page: Callable[[Point], Point] = lambda point: point


class Explorer:
    """The panels of a generator.

    Args:
        generator: any that draws grey or colour images.
        class_names: a name a class; empty where there are none.

    Raises:
        ValueError: the generator draws something else.
    """

    def __init__(self, generator: nn.Module, class_names: Sequence[str] = ()):
        self.generator = latents.style_based(generator)
        self.names = tuple(class_names) if generator.c_dim else ("all",)
        self.num_ws = self.generator.num_ws
        shape = latents.image_shape(self.generator)
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(f"the explorer shows grey and colour images; this generator draws shape {list(shape)}")
        self.height, self.width = shape[1:]
        # How many of each an offline page holds: one of large images would take minutes to draw and megabytes to keep.
        self.page_seeds, self.page_classes, self.page_steps = (4, 10, 13) if max(shape[1:]) <= 32 else (3, 4, 7)
        self.w = lru_cache(maxsize=1024)(self._w)
        self.mean = lru_cache(maxsize=1024)(lambda label: latents.mean_w(self.generator, label))
        self.noisy = lru_cache(maxsize=64)(self._noisy)
        self.path = lru_cache(maxsize=64)(self._path)
        self.directions = lru_cache(maxsize=8)(self._directions)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels that suit the generator."""
        panels = [self._walk(), self._truncation()]
        if self.num_ws > 1:
            panels += [self._mixing(), self._style_directions()]
        panels += [self._arithmetic(), self._blend()] if self.generator.c_dim else [self._seed_arithmetic()]
        return (*panels, self._noise()) if latents.has_noise(self.generator) else tuple(panels)

    # ------------------------------------------------------------ panels

    def _walk(self) -> Panel:
        length = WALK_SEEDS * WALK_FRAMES
        position = Slider("Position", 0, length - 1, 1, 0, tuple(range(0, length, 2)), loops=True)

        def draw(points: Sequence[Point]) -> Tensor:
            return self._render([self.path(space, label)[round(at)] for space, label, at in points])

        return Panel(
            "Latent walk",
            f"A closed walk through {WALK_SEEDS} images. Between two of them the generator meets only images that it"
            " could have drawn: every step should look real.",
            (Choice("Way", ("through z, along the sphere", "through w, straight"), 0, (0, 1)), self._class(), position),
            ("The image at this place of the walk",),
            draw,
        )

    def _truncation(self) -> Panel:
        steps = self.page_steps
        psi = Slider("Truncation psi", 0, 1.5, 0.05, 0.7, tuple(1.5 * i / (steps - 1) for i in range(steps)))

        def draw(points: Sequence[Point]) -> Tensor:
            ws = [latents.truncate(self.w(seed, label), self.mean(label), psi) for seed, label, psi in points]
            ends = [self.mean(label) for _, label, _ in points], [self.w(seed, label) for seed, label, _ in points]
            return self._render(*ends, ws)

        return Panel(
            "Truncation",
            "psi pulls w towards the mean of its class. At 0 every seed gives the mean image; at 1 nothing is pulled;"
            " above 1 images leave what the generator has learnt. Smaller psi: fewer odd images, less variety.",
            (self._seed(), self._class(), psi),
            ("psi 0: the mean", "psi 1", "At this psi"),
            draw,
        )

    def _mixing(self) -> Panel:
        images, last = max(6, min(10, len(self.names))), self.num_ws - 1
        layers = tuple(range(self.num_ws)) if self.num_ws <= 6 else tuple(range(0, self.num_ws, 2))
        page = tuple(range(images if self.page_classes >= 10 else 4))

        def draw(points: Sequence[Point]) -> Tensor:
            a = [self.w(i, i % len(self.names)) for i, _, _, _ in points]
            b = [self.w(i, i % len(self.names)) for _, i, _, _ in points]
            ranges = [range(round(min(f, t)), round(max(f, t)) + 1) for _, _, f, t in points]
            return self._render(a, b, [latents.mix(*pair) for pair in zip(a, b, ranges, strict=True)])

        return Panel(
            "Style mixing",
            "Each layer of the generator takes a w of its own. Here some layers take image B's, the others image A's:"
            f" layer 0 is the coarsest and decides the shape, layer {last} the finest."
            + (" Image number i has seed i and the i-th class in turn." if self.generator.c_dim else ""),
            (
                Slider("Image A", 0, 99, 1, 0, page),
                Slider("Image B", 0, 99, 1, 3, page),
                Slider("First layer taken from B", 0, last, 1, 0, layers),
                Slider("Last layer taken from B", 0, last, 1, min(1, last), layers),
            ),
            ("Image A", "Image B", "A with B's layers"),
            draw,
        )

    def _style_directions(self) -> Panel:
        thirds = itertools.pairwise(round(self.num_ws * i / 3) for i in range(4))
        named = zip(("coarse", "middle", "fine"), itertools.starmap(range, thirds), strict=True)
        groups = {"all layers": range(self.num_ws), **{name: layers for name, layers in named if layers}}
        options = tuple(f"{name} ({r.start} to {r.stop - 1})" for name, r in groups.items())
        layers = Choice("Layers moved", options, 0, (0, 1, len(options) - 1))
        half = (self.page_steps - 1) // 2
        count = min(DIRECTIONS, self.generator.w_dim)
        amounts = [Slider(f"Direction {i + 1}", -4, 4, 0.1, 2 if i == 0 else 0, ()) for i in range(count)]
        on_page = (
            self._seed(2),
            self._class(),
            layers,
            Choice("Direction", tuple(f"{i + 1}" for i in range(count)), 0, tuple(range(count))),
            Slider("Amount", -4, 4, 0.1, 2, tuple(4 * i / half for i in range(-half, half + 1))),
        )

        def draw(points: Sequence[Point]) -> Tensor:
            before = [self.w(seed, label) for seed, label, *_ in points]
            after = []
            for ws, (_, label, group, *steps) in zip(before, points, strict=True):
                moving = list(groups.values())[round(group)]
                shift = sum(t * n for t, n in zip(steps, self.directions(moving, round(label)), strict=True))
                after.append(latents.move(ws, shift, 1.0, moving))
            return self._render(before, after)

        return Panel(
            "Directions (SeFa)",
            "The directions of w that change the layers' styles most, found in the generator's weights alone (SeFa)."
            " The unit is one standard deviation of w along the direction.",
            (self._seed(), self._class(), layers, *amounts),
            ("Before", "After"),
            draw,
            on_page,
            lambda point: (*point[:3], *(point[4] if i == point[3] else 0.0 for i in range(count))),
        )

    def _arithmetic(self) -> Panel:
        def draw(points: Sequence[Point]) -> Tensor:
            terms = [(self.w(seed, a), self.mean(b), self.mean(c)) for seed, a, b, c in points]
            results = [latents.combine([a[None], c[None]], [b[None]]) for a, b, c in terms]
            return self._render(*map(list, zip(*terms, strict=True)), results)

        return Panel(
            "Arithmetic",
            "One image less the mean of a class plus the mean of another: what made it a member of B goes, what makes a"
            " member of C comes, and the rest, its style, stays.",
            (
                self._seed(2),
                self._class("A: class of the image", 3),
                self._class("B: mean taken away", 3),
                self._class("C: mean added", 8),
            ),
            ("A: the image", "B: a mean", "C: a mean", "A - B + C"),
            draw,
        )

    def _seed_arithmetic(self) -> Panel:
        page = tuple(range(2 * self.page_seeds))

        def draw(points: Sequence[Point]) -> Tensor:
            terms = [[self.w(seed, 0) for seed in point] for point in points]
            results = [latents.combine([a[None], c[None]], [b[None]]) for a, b, c in terms]
            return self._render(*map(list, zip(*terms, strict=True)), results)

        return Panel(
            "Arithmetic",
            "w of one image less w of another plus w of a third: what A has and B lacks is added to C.",
            tuple(Slider(f"{name}: seed", 0, 99, 1, i, page) for i, name in enumerate("ABC")),
            ("A", "B", "C", "A - B + C"),
            draw,
        )

    def _blend(self) -> Panel:
        steps = self.page_steps
        share = Slider("Share of the second", 0, 1, 0.02, 0.5, tuple(i / (steps - 1) for i in range(steps)))

        def draw(points: Sequence[Point]) -> Tensor:
            a, b = (torch.tensor([round(point[i]) for point in points]) for i in (1, 2))
            t = torch.tensor([point[3] for point in points])[:, None]
            z = latents.seeded_z(self.generator, [round(point[0]) for point in points])
            c = latents.lerp(one_hot(a, len(self.names)), one_hot(b, len(self.names)), t)
            ends = [[self.w(point[0], point[i]) for point in points] for i in (1, 2)]
            return self._render(*ends, list(latents.map_latents(self.generator, z, c)))

        return Panel(
            "Between classes",
            "One seed, and a label that is partly one class and partly another. The generator never saw such a label.",
            (self._seed(2), self._class("First class", 3), self._class("Second class", 8), share),
            ("First class", "Second class", "Between"),
            draw,
        )

    def _noise(self) -> Panel:
        seeds = 6
        options = ("off", "as trained", *(f"seed {seed}" for seed in range(1, seeds + 1)))  # numbered as `_noisy` does
        gains = (1.0, 5.0, 25.0, 100.0)

        def draw(points: Sequence[Point]) -> Tensor:
            images = []
            for seed, label, kind, gain in points:
                off, on = self.noisy(seed, label, 0), self.noisy(seed, label, kind)
                images.append(torch.stack([off, on, off + gains[round(gain)] * (on - off)]))
            return torch.stack(images)

        return Panel(
            "Noise",
            "Noise decides what w leaves open: the exact place of a hair, the grain of a stroke. How much it matters,"
            " the generator has learnt; the last image shows its effect enlarged.",
            (
                self._seed(2),
                self._class(),
                Choice("Noise", options, 1, tuple(range(len(options)))),
                Choice("Effect enlarged", tuple(f"{gain:g} times" for gain in gains), 1, tuple(range(len(gains)))),
            ),
            ("Without noise", "With noise", "Its effect enlarged"),
            draw,
        )

    # ------------------------------------------------------------ what panels are made of

    def _seed(self, on_page: int | None = None) -> Slider:
        return Slider("Seed", 0, 99, 1, 1, tuple(range(on_page or self.page_seeds)))

    def _class(self, label: str = "Class", start: int = 3) -> Choice:
        return Choice(label, self.names, start % len(self.names), tuple(range(min(self.page_classes, len(self.names)))))

    def _w(self, seed: float, label: float) -> Tensor:
        return latents.seeded_ws(self.generator, [round(seed)], torch.tensor([round(label)]))[0]

    def _noisy(self, seed: float, label: float, kind: float) -> Tensor:
        noise = ("none", "const")[round(kind)] if kind < 2 else latents.noise_planes(self.generator, round(kind) - 1)
        return latents.render(self.generator, self.w(seed, label)[None], noise)[0]

    def _path(self, space: float, label: float) -> Tensor:
        z = latents.seeded_z(self.generator, range(WALK_SEEDS))
        if round(space) == 1:
            ws = torch.stack([self.w(seed, label) for seed in range(WALK_SEEDS)])
            return latents.walk(ws, WALK_FRAMES, latents.lerp)
        z = latents.walk(z, WALK_FRAMES)
        return latents.class_ws(self.generator, z, torch.full((len(z),), round(label)))

    def _directions(self, layers: range, label: int) -> list[Tensor]:
        weights = latents.style_weights(self.generator)
        found, _ = latents.sefa(torch.cat([weights[i] for i in layers]), DIRECTIONS)
        return [n * latents.spread(self.generator, n, label) for n in found]

    def _render(self, *parts: list[Tensor]) -> Tensor:
        """P lists of N ws -> images [N, P, C, H, W]; a ws that stands in several places is drawn once."""
        points = list(zip(*parts, strict=True))
        known = {id(ws): ws for point in points for ws in point}
        images = latents.render(self.generator, torch.stack(list(known.values())))
        places = {key: i for i, key in enumerate(known)}
        return images[torch.tensor([[places[id(ws)] for ws in point] for point in points])]


def projection_panel(generator: nn.Module, found: dict[str, tuple[Tensor, Projection]], steps: int = 40) -> Panel:
    """A panel that plays projections, by name: the target [C, H, W] beside what is drawn on the way to it."""
    names, films = tuple(found), []
    for target, projection in found.values():
        frames = film(generator, projection, steps)
        films.append(torch.stack([target.cpu().expand_as(frames), frames], 1))
    return Panel(
        "Projection",
        PROJECTION,
        (
            Choice("Image", names, 0, tuple(range(len(names)))),
            Slider("Progress of the search, %", 0, 100, 1, 100, tuple(100 * i / steps for i in range(steps + 1))),
        ),
        ("The image", "What the generator draws"),
        lambda points: torch.stack([films[round(which)][round(share * steps / 100)] for which, share in points]),
    )
