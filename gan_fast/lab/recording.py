"""Games that are over: as pictures of an animation, and as a panel of an offline page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_fast.explorer.panels import Choice, Panel, Point, Slider
from gan_fast.lab.picture import HEIGHT, WIDTH, draw
from gan_fast.lab.session import Session, Settings

PAGE_WIDTH = 600

TEXT = (
    "Generated points learn to lie where the real ones do. The background is what D takes each place for. Choose an"
    " objective, and move the slider through its training."
)


def record(
    settings: Settings, steps: int, frames: int, report: Callable[[int], None] = lambda done: None
) -> list[Image.Image]:
    """A picture of step 0 and `frames` more, evenly up to `steps`; report is called with the number of steps done.

    Raises:
        ValueError: steps is not a multiple of frames.
    """
    if frames < 1 or steps < 1 or steps % frames:
        raise ValueError(f"steps: got {steps}, takes a multiple of the {frames} frames")
    session, pictures = Session(settings), []
    for number in range(frames + 1):
        pictures.append(draw(session.advance(steps // frames if number else 0)))
        report(session.engine.step_number)
    return pictures


def make_panel(games: dict[str, Sequence[Image.Image]], steps: int) -> Panel:
    """A panel that shows games of `steps` steps, by name, of which each has as many pictures."""
    names, size = tuple(games), (PAGE_WIDTH, HEIGHT * PAGE_WIDTH // WIDTH)
    shrunk = [[np.array(p.resize(size, Image.Resampling.LANCZOS)) for p in game] for game in games.values()]
    sheets = torch.from_numpy(np.array(shrunk)).permute(0, 1, 4, 2, 3)
    every = steps / (sheets.shape[1] - 1)

    def show(points: Sequence[Point]) -> Tensor:
        which, step = torch.tensor(points).T
        return sheets[which.long(), (step / every).round().long()][:, None] / 127.5 - 1

    return Panel(
        "Training",
        TEXT,
        (
            Choice("Objective", names, 0, tuple(range(len(names)))),
            Slider("Step", 0, steps, every, steps, tuple(every * i for i in range(sheets.shape[1]))),
        ),
        ("An arrow is where G's loss draws a point",),
        show,
    )
