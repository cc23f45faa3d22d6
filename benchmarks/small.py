"""Figures of the pages on metrics, explorer and lab: minutes on one CPU thread.

    python benchmarks/small.py --run runs/00000-digits [--tables lab games ...] [--json FILE]

Seconds are CPU time, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast.benchmarks import record, steps
from gan_fast.benchmarks.record import Cell, Figure
from gan_fast.benchmarks.runs import scores
from gan_fast.benchmarks.table import figures_table
from gan_fast.data import digits, open_data, to_float
from gan_fast.data.photos import photos
from gan_fast.explorer import Explorer, page
from gan_fast.lab import Session, Settings
from gan_fast.lab.picture import draw
from gan_fast.lab.recording import PAGE_WIDTH, make_panel
from gan_fast.lab.recording import record as play
from gan_fast.metrics import DigitsMetrics, Features, ImageMetrics
from gan_fast.metrics.compare import compare
from gan_fast.projection import project
from gan_fast.training import load_generator

Rows = Iterator[dict[str, Cell]]
GAMES = {
    "logistic, R1: the defaults": (Settings(), 3),
    "logistic, no penalty": (Settings(penalty="none"), 3),
    "minimax, no penalty": (Settings(objective="minimax", penalty="none"), 3),
    "relativistic, no penalty": (Settings(objective="relativistic", penalty="none"), 3),
    "EBGAN, R1": (Settings(objective="ebgan"), 1),
    "EBGAN, no penalty": (Settings(objective="ebgan", penalty="none"), 1),
    "logistic, no penalty, G stands still": (Settings(penalty="none", g_lr=0.0), 1),
    "minimax, no penalty, G stands still": (Settings(objective="minimax", penalty="none", g_lr=0.0), 1),
}
STEPS, LOOKS, PERIODS = 600, 20, 20
LONG = 5000  # steps
CPU = torch.device("cpu")


@contextmanager
def cpu_time() -> Iterator[list[float]]:
    """The value holds, after the block, its seconds."""
    seconds: list[float] = []
    start = time.process_time()
    yield seconds
    seconds.append(time.process_time() - start)


def peak_memory() -> float:
    """The most MiB that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def digit_sets(run: Path) -> Rows:
    """Sets of digits of known quality, as the demo's evaluations measure those that it draws."""
    metrics, images = DigitsMetrics(), digits(16)
    yield {"set": "real halves", **scores(metrics.real_halves)}
    labels = metrics.labels
    second = images.subset(images.class_rank() % 2 == 1)
    rng = torch.Generator().manual_seed(0)
    for count in (20, 5):
        x = second.images.clone()
        for k in range(10):
            of_class = (labels == k).nonzero()[:, 0]
            x[of_class] = second.images[of_class[torch.randint(count, (len(of_class),), generator=rng)]]
        yield {"set": f"{count} different real images a class", **scores(metrics(to_float(x), labels))}
    zeros = second.images[(labels == 0).nonzero()[:, 0]]
    zeros = zeros[torch.arange(len(labels)) % len(zeros)]
    yield {"set": "only zeros", **scores(metrics(to_float(zeros), labels))}
    noise = torch.rand(second.images.shape, generator=rng) * 2 - 1
    yield {"set": "uniform noise", **scores(metrics(noise, labels))}


def patches(run: Path) -> Rows:
    """Patches of photographs at 32x32, 200 a half, made worse in known ways."""
    images = photos(32)[0]
    metrics = ImageMetrics(images, samples=200)
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:200]
    real = to_float(images.pixels(chosen))

    def blurred(factor: int) -> Tensor:
        return F.interpolate(F.avg_pool2d(real, factor), size=32, mode="bilinear", align_corners=False)

    sets = {"uniform noise": torch.rand(real.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1}
    sets |= {f"shrunk to 1/{factor} and enlarged": blurred(factor) for factor in (8, 4, 2)}
    sets |= {"ten real patches, repeated": real[:10].repeat(20, 1, 1, 1)}
    for name, x in sets.items():
        yield {"images": name, **_distances(metrics(x))}
    yield {"images": "real halves", **_distances(metrics.real_halves)}


def _distances(found: dict[str, float]) -> dict[str, Cell]:
    return {name: found[name] for name in ("fd_filters", "kd_filters", "recall", "coverage")}


def metrics_cost(run: Path) -> Rows:
    """All distances of so many samples a side, without what their features take."""
    rng = torch.Generator().manual_seed(0)
    for samples in (1000, 2000, 5000):
        sides = [Features([torch.randn(samples, 240, generator=rng)]) for _ in range(2)]
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is now what there is
        before = peak_memory()
        with cpu_time() as seconds:
            compare("x", *sides)
        yield {"samples a side": samples, "CPU s": seconds[0], "MiB at the peak": peak_memory() - before}


def explorer(run: Path) -> Rows:
    """The offline page of a run's generator."""
    generator, checkpoint = load_generator(run)
    panels = Explorer(generator, checkpoint.class_names).panels
    with cpu_time() as seconds:
        size = len(page.make_page(panels, "", "").encode())
    yield {"places": page.count_points(panels), "MB": size / 1e6, "CPU s": seconds[0]}


def projection(run: Path) -> Rows:
    """Root mean square differences, in per cent of the range from black to white, of four held-out digits."""
    generator, _ = load_generator(run)
    _, held_out = open_data("digits", 16, 1)
    targets = to_float(held_out.images[:4])
    for space, count in itertools.product(("w", "w+"), (100, 300)):
        with cpu_time() as seconds:
            found = [project(generator, x, space=space, steps=count).image for x in targets]
        errors = [((y - x).square().mean().sqrt() * 50).item() for x, y in zip(targets, found, strict=True)]
        names = " ".join(held_out.class_names[k] for k in held_out.labels[:4].tolist())
        ms = seconds[0] * 1e3 / count / len(targets)
        yield {"space": space, "steps": count, f"difference in %, of a {names}": errors, "CPU ms a step": ms}


def lab(run: Path) -> Rows:
    """Steps, pictures, and the offline file of five objectives."""
    session = Session()
    session.advance(20)
    with cpu_time() as seconds:
        for _ in range(200):
            session.advance(1)
    with cpu_time() as looking:
        for _ in range(200):
            session.advance(0)
    yield {"what": "a step", "CPU s": (seconds[0] - looking[0]) / 200}
    seen = session.advance(0)
    with cpu_time() as seconds:
        for _ in range(10):
            draw(seen)
    yield {"what": "a picture", "CPU s": seconds[0] / 10}
    slow = Session(Settings(minibatch_discrimination=True))
    with cpu_time() as seconds:
        slow.advance(10)
    yield {"what": "a step with minibatch discrimination", "CPU s": seconds[0] / 10}
    names = ("logistic", "minimax", "wasserstein", "hinge", "relativistic")
    with cpu_time() as seconds:
        panel = make_panel({name: play(Settings(objective=name), STEPS, LOOKS) for name in names}, STEPS)
        size = len(page.make_page([panel], "", "", largest=PAGE_WIDTH).encode())
    yield {"what": "the offline file of five objectives", "CPU s": seconds[0], "MB": size / 1e6}


def games(run: Path) -> Rows:
    """Games of 600 steps on the ring, looked at every 30, a figure a seed."""
    untrained = [Session(Settings(seed=seed)).advance(0) for seed in range(3)]
    yield {"game": "before the first step", "divergence": [seen.records[-1].divergence for seen in untrained]}
    yield {"game": "real points and others", "divergence": [seen.floor for seen in untrained]}
    for name, (settings, seeds) in GAMES.items():
        columns: dict[str, list[float]] = {}
        for seed in range(seeds):
            session = Session(replace(settings, seed=seed))
            for _ in range(LOOKS):
                seen = session.advance(STEPS // LOOKS)
            records = seen.records
            for column, value in {
                "divergence": records[-1].divergence,
                "D right, at most": max(r.accuracy for r in records),
                "in the end": records[-1].accuracy,
                "modes": records[-1].modes,
                "median arrow": seen.arrows.norm(dim=1).median().item(),
            }.items():
                columns.setdefault(column, []).append(value)
        yield {"game": name, **columns}


def compiled(run: Path) -> Rows:
    """Periods of the digits recipe under torch.compile and without, in turn; the first of each is left out."""
    network = next(n for n in steps.NETWORKS if n.name == "digits")
    ways = {way: steps.training(network, CPU, compile=way == "compiled")[0] for way in ("eager", "compiled")}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(PERIODS + 1):
        for way, period in ways.items():
            with cpu_time() as seconds:
                period()
            times[way] += seconds
    ratios = [eager / other for eager, other in zip(*(t[1:] for t in times.values()), strict=True)]
    q1, median, q3 = statistics.quantiles(ratios, n=4)
    yield {"periods": PERIODS, "eager over compiled, median": median, "quartiles": [q1, q3]}


def drift(run: Path) -> Rows:
    """LONG steps of a small StyleGAN2: whether they get slower, or hold on to memory."""
    tiny = {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    period, images = steps.training(steps.Network("small", "digits", 8, tiny, recipe=steps.DIGITS), CPU)
    in_period = images // 8
    tenth = LONG // 10 // in_period
    times, resident = [], []
    for _ in range(10 * tenth):
        with cpu_time() as seconds:
            period()
        times.append(seconds[0] / in_period * 1e3)
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
    for name, part in (("first", slice(tenth)), ("last", slice(-tenth, None))):
        q1, median, q3 = statistics.quantiles(times[part], n=4)
        row = {
            "CPU ms a step, median": median,
            "quartiles": [q1, q3],
            "MiB resident, at the end of it": resident[part][-1],
        }
        yield {f"tenth of {LONG:,} steps": name, **row}


TABLES = {f.__name__: f for f in (digit_sets, patches, metrics_cost, explorer, projection, lab, games, compiled, drift)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--run", type=Path, required=True, help="folder of a run of the digits demo")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = record.figures(CPU, "python benchmarks/small.py, one thread; seconds are CPU time", [])
    for kind in arguments.tables:
        figures.rows.extend(Figure(kind=kind, values=row) for row in TABLES[kind](arguments.run))
        print(figures_table(figures, kind), end="\n\n", flush=True)
        if arguments.json:
            record.write_figures(figures, arguments.json)


if __name__ == "__main__":
    main()
