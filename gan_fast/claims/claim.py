"""A claim of the literature, what would show it, and what was seen."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Figure:
    """A number that an experiment yields, and the bounds that it must keep with every seed for its claim to hold.

    Attributes:
        name: what it is, as people read it.
        at_least, at_most: the bounds; without any it is only shown.
    """

    name: str
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def expected(self) -> str:
        low, high = math.isfinite(self.at_least), math.isfinite(self.at_most)
        if low and high:
            return f"{self.at_least:g} to {self.at_most:g}"
        return f"at least {self.at_least:g}" if low else f"at most {self.at_most:g}" if high else ""

    def holds(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most


@dataclass(frozen=True)
class Seen:
    """What an experiment yields with one seed: a value for each figure of its claim, in order, and a picture."""

    values: tuple[float, ...]
    picture: Image.Image


@dataclass(frozen=True)
class Claim:
    """Made by the decorator `claim` from the function that is its experiment.

    Attributes:
        experiment: takes a seed; its docstring says what is done.
        sentence, source: what is claimed, and by whom.
        figures: what is measured, and expected.
        once: why one seed is enough; empty: it is not.
        unmet: why it does not show here, where it does not.
    """

    experiment: Callable[[int], Seen]
    sentence: str
    source: str
    figures: tuple[Figure, ...]
    once: str = ""
    unmet: str = ""

    @property
    def name(self) -> str:
        return self.experiment.__name__.replace("_", "-")

    @property
    def how(self) -> str:
        return inspect.getdoc(self.experiment) or ""

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether one seed's values, by their names, keep all bounds."""
        return all(figure.holds(values[figure.name]) for figure in self.figures)


def claim(
    sentence: str, *, source: str, expects: tuple[Figure, ...], once: str = "", unmet: str = ""
) -> Callable[[Callable[[int], Seen]], Claim]:
    """Make a Claim of the function below."""
    return lambda experiment: Claim(experiment, sentence, source, expects, once, unmet)
