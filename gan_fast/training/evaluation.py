"""Looking at a run from time to time: grids of fixed latents, metrics, curves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_fast import latents
from gan_fast.data import Images
from gan_fast.training import sample, stats
from gan_fast.training.curves import draw_curves

GRID_COLUMNS = 10


class Stopped(Exception):
    """An evaluation was given up because the run is to stop."""


class Evaluation:
    """Grids and metrics of a generator, in a run's folder.

    Args:
        run: the folder.
        make_metrics: makes the metrics when they are first asked for: a callable on (batches of images, labels or None)
            with `labels`, `protocol` and `real_halves`, as `gan_fast.metrics.ImageMetrics` has them; None: grids only.
        data: the real images. In each place of its grid the generator is asked for the class or the vector of the
            image in that place of the grid of real ones.
        c_dim: of the generator.
    """

    def __init__(self, run: Path, make_metrics: Callable[[], Any] | None, data: Images, c_dim: int):
        self.run, self.make_metrics, self.data, self.c_dim = run, make_metrics, data, c_dim
        self._shown = _grid_images(data)

    @functools.cached_property
    def metrics(self) -> Any:
        return self.make_metrics()

    def grid_path(self, step: int) -> Path:
        return self.run / f"fakes-{step:08d}.png"

    def __call__(self, generator: nn.Module, step: int, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Write the grid and return what the log says of it: its name, the metrics, their protocol and what real images
        get. A metric that fails, or that cannot be made, is reported as "metric_error".

        Raises:
            Stopped: should_stop() became true.
        """
        labels = (self.data.labels if self.data.vectors is None else self.data.vectors)[self._shown]
        images = sample.draw(generator, range(len(labels)), labels)
        sample.save_png(sample.grid(images, GRID_COLUMNS), self.grid_path(step))
        values: dict[str, Any] = {"grid": self.grid_path(step).name}
        if self.make_metrics is None:
            return values
        try:
            metrics = self.metrics
            images = self._draw(generator, metrics.labels, should_stop)
            scores = metrics(images, metrics.labels if self.c_dim else None)
            values |= {**scores, "protocol": metrics.protocol, "real_halves": metrics.real_halves}
        except Stopped:
            raise
        except Exception as error:
            values["metric_error"] = f"{type(error).__name__}: {error}"
        return values

    def draw_curves(self) -> None:
        """Draw all evaluations so far, where there are metrics."""
        records = stats.scored(stats.evaluations(self.run))
        if records:
            sample.save_png(draw_curves(records, records[-1]["real_halves"]), self.run / "curves.png")

    def save_reals(self) -> None:
        """Write the grid of real images."""
        sample.save_png(sample.grid(self.data.pixels(self._shown), GRID_COLUMNS), self.run / "reals.png")

    @staticmethod
    def _draw(generator: nn.Module, labels: Tensor, should_stop: Callable[[], bool]) -> Iterator[Tensor]:
        for first in range(0, len(labels), latents.CHUNK):
            if should_stop():
                raise Stopped
            part = labels[first : first + latents.CHUNK]
            yield sample.draw(generator, range(first, first + len(part)), part)


def _grid_images(data: Images) -> Tensor:
    """int64 [rows * GRID_COLUMNS]: a row for each class, a member a column, again the first where there are few."""
    rows = data.labels.unique()[:20] if data.num_classes else data.labels.new_zeros(GRID_COLUMNS)
    members = {k: torch.nonzero(data.labels == k)[:, 0] for k in rows.tolist()}
    places = enumerate(rows.repeat_interleave(GRID_COLUMNS).tolist())
    return torch.stack([members[k][i % len(members[k])] for i, k in places])
