"""A run's log as one HTML file to look at: curves drawn here as SVG, grids as data, so that it needs nothing else."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import math
import statistics
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from gan_fast.training import stats
from gan_fast.training.checkpoint import write_atomically
from gan_fast.training.stats import Record

NAME = "report.html"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 210, 50, 14, 12, 28
COLOURS = ("blue", "amber", "teal", "rose", "violet")
GRIDS, GRID_SIDE, LOSSLESS = 24, 960, 100_000
POINTS, DOTS = 300, 40
PHASES = {"Gmain": "G", "Greg": "G, path length", "Dmain": "D", "Dreg": "D, penalty"}
PARTS = {"data": "waiting for data", **PHASES, "averages": "averages of G"}

Point = tuple[float, float]


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run's folder and return its path: `out`, or report.html in the folder.

    Raises:
        ValueError: the folder has no log, or a damaged one.
    """
    records = stats.read(run)
    if not records:
        raise ValueError(f"{run} holds no {stats.LOG}: it is no run's folder, or the run has not begun")
    text = page(run, records)
    out = out or run / NAME
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda file: file.write(text.encode()))
    return out


def page(run: Path, records: Sequence[Record]) -> str:
    """The HTML text."""
    kinds = {kind: [r for r in records if r["kind"] == kind] for kind in ("data", "progress", "evaluation")}
    progress, evaluations = kinds["progress"], kinds["evaluation"]
    data = kinds["data"][0]["data"] if kinds["data"] else {}
    grids = _grids(run, evaluations)
    sections = [
        _images(run, grids),
        _quality(evaluations),
        _balance(progress, stats.scored(evaluations), _movement(grids)),
        _losses(progress),
        _speed(progress),
    ]
    name = run.resolve().name
    return string.Template(files("gan_fast.training").joinpath(NAME).read_text()).substitute(
        title=_escape(name),
        facts=_escape(_facts(data, records[-1])),
        cards=_cards(progress, stats.scored(evaluations)),
        sections="\n".join(filter(None, sections)),
    )


# ---------------------------------------------------------------- drawing


@dataclass(frozen=True)
class Curve:
    """Points (kimg, value), and the value that real images get, where there is one."""

    name: str
    points: list[Point]
    reference: float | None = None


def _escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def _series(records: Iterable[Record], key: str, value: Callable[[float], float] = lambda v: v) -> list[Point]:
    return [(r["kimg"], value(r[key])) for r in records if r.get(key) is not None]


def _thin(points: Sequence[Point]) -> list[Point]:
    """At most so many points, each the mean of its neighbours."""
    step = -(-len(points) // POINTS) or 1
    parts = (points[i : i + step] for i in range(0, len(points), step))
    return [(statistics.fmean(x for x, _ in part), statistics.fmean(y for _, y in part)) for part in parts]


def _linear_ticks(low: float, high: float) -> list[float]:
    size = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(s * size for s in (1, 2, 5, 10) if s * size * 5 >= high - low)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _bounds(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return low / 1.3, high * 1.3
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - (margin if low < 0 else min(margin, low)), high + margin


def _chart(title: str, text: str, curves: Sequence[Curve], log: bool = False, share: bool = False) -> str:
    """A panel: log: a logarithmic axis, for values above 0; share: from 0 to 1. Empty where nothing was logged."""
    curves = [
        Curve(c.name, [(x, y) for x, y in _thin(c.points) if math.isfinite(y) and (y > 0 or not log)], c.reference)
        for c in curves
    ]
    curves = [c for c in curves if c.points]
    if not curves:
        return ""
    references = [c.reference for c in curves if c.reference is not None and (c.reference > 0 or not log)]
    low, high = (0.0, 1.0) if share else _bounds([*references, *(y for c in curves for _, y in c.points)], log)
    end = max(x for c in curves for x, _ in c.points) or 1.0

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * x / end

    def up(y: float) -> float:
        y = min(max(y, low), high)
        part = math.log(y / low) / math.log(high / low) if log else (y - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    parts = []
    for tick in _log_ticks(low, high) if log else _linear_ticks(low, high):
        parts.append(f'<line x1="{LEFT}" y1="{up(tick):.1f}" x2="{WIDTH - RIGHT}" y2="{up(tick):.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in _linear_ticks(0, end):
        parts.append(f'<text x="{across(tick):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{tick:g}</text>')
    for colour, curve in zip(COLOURS, curves, strict=False):
        if curve.reference is not None:
            y = up(curve.reference)
            parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="real {colour}"/>')
        places = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve.points)
        parts.append(f'<polyline points="{places}" class="curve {colour}"/>')
        for x, y in curve.points if len(curve.points) <= DOTS else ():
            tip = f"<title>{_escape(curve.name)} {y:.4g} at {x:.4g} kimg</title>"
            parts.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" class="dot {colour}">{tip}</circle>')
    legend = "".join(
        f'<span><i class="{colour}"></i>{_escape(c.name)} <b>{c.points[-1][1]:.3g}</b></span>'
        for colour, c in zip(COLOURS, curves, strict=False)
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_escape(title)}">{"".join(parts)}</svg>'
    return f'<figure><h3>{title}</h3><div class="legend">{legend}</div>{svg}<figcaption>{text}</figcaption></figure>'


def _log_ticks(low: float, high: float) -> list[float]:
    steps = (1, 2, 5) if high < 100 * low else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**k for k in powers for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _section(title: str, text: str, charts: Iterable[str]) -> str:
    content = "".join(charts)
    return f'<section><h2>{title}</h2><p>{text}</p><div class="charts">{content}</div></section>' if content else ""


# ---------------------------------------------------------------- what is shown


def _facts(data: Record, last: Record) -> str:
    found = [f"{last['kimg']:g} kimg, {last['step']} steps"]
    if data:
        classes = f" in {len(data['classes'])} classes" if data.get("classes") else ""
        found.append(f"{data.get('source', 'data')}: {data['images']} images{classes}")
    return ". ".join(found) + "."


def _space(record: Record) -> str:
    """The feature space that a record's distances name: "digits" of fd_digits."""
    return next((key[3:] for key in record if key.startswith("fd_")), "")


def _cards(progress: Sequence[Record], scored: Sequence[Record]) -> str:
    cards: list[tuple[str, str]] = []
    if scored:
        last, fd = scored[-1], f"fd_{_space(scored[-1])}"
        best = min(scored, key=lambda r: r[fd])
        cards.append((f"{last[fd]:.2f}", f"FD_{fd[3:]}; best {best[fd]:.2f} at {best['kimg']:.3g} kimg"))
        for key in ("recall", "coverage"):
            cards.append((f"{last[key]:.2f}", f"{key}; real halves {last['real_halves'][key]:.2f}"))
    steps = [ms for r in progress for ms in r.get("step_ms", ())]
    if len(steps) > 1:
        p = _percentiles(steps)
        cards.append((f"{p[49]:.1f} ms", f"a step, median; 90 %: {p[89]:.1f}, 99 %: {p[98]:.1f}"))
        cards.append((f"{progress[-1]['seconds_per_kimg']:.2f} s", "for 1000 images, at the end"))
        cards.append((f"{statistics.fmean(r['data_wait'] for r in progress):.1%}", "of the time waited for data"))
        cards.append((f"{progress[-1]['memory_mib']:,.0f} MiB", "of memory at its peak"))
    return "".join(f'<div class="card"><b>{value}</b><span>{text}</span></div>' for value, text in cards)


def _grids(run: Path, evaluations: Sequence[Record]) -> list[tuple[float, Image.Image]]:
    """(kimg, grid) of evaluations evenly spread over the run, the first and the last among them."""
    found = [r for r in evaluations if "grid" in r and (run / r["grid"]).exists()]
    picks = sorted({round(i * (len(found) - 1) / (GRIDS - 1)) for i in range(GRIDS)}) if found else []
    return [(found[i]["kimg"], Image.open(run / found[i]["grid"])) for i in picks]


def _embed(image: Image.Image) -> str:
    image = image.copy()
    image.thumbnail((GRID_SIDE, GRID_SIDE))
    stream = io.BytesIO()
    image.save(stream, "png", optimize=True)
    kind = "png"
    if len(stream.getvalue()) > LOSSLESS:
        stream, kind = io.BytesIO(), "webp"
        image.save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _images(run: Path, grids: Sequence[tuple[float, Image.Image]]) -> str:
    if not grids:
        return ""
    frames = [{"kimg": f"{kimg:.4g} kimg", "src": _embed(image)} for kimg, image in grids]
    last = len(frames) - 1
    reals = ""
    if (run / "reals.png").exists():
        reals = f'<div><h3>Real images</h3><img alt="real images" src="{_embed(Image.open(run / "reals.png"))}"></div>'
    slider = f'<input type="range" id="at" min="0" max="{last}" value="{last}" aria-label="Evaluation">'
    return (
        "<section><h2>Images over the run</h2><p>The same latents at each evaluation, drawn by the averaged generator."
        f'</p><div class="bar"><button id="play">Play</button>{slider}<output id="kimg">{frames[-1]["kimg"]}</output>'
        f'</div><div class="pictures"><div><h3>Generated</h3><img id="grid" alt="generated images" '
        f'src="{frames[-1]["src"]}"></div>{reals}</div>'
        f'<script type="application/json" id="frames">{json.dumps(frames)}</script></section>'
    )


def _quality(evaluations: Sequence[Record]) -> str:
    scored = stats.scored(evaluations)
    failed = [r for r in evaluations if "metric_error" in r]
    note = (
        f' <b class="bad">Failed {len(failed)} times, last: {_escape(failed[-1]["metric_error"])}</b>' if failed else ""
    )
    if not scored:
        return f"<section><h2>Metrics</h2><p>{note}</p></section>" if note else ""
    space, halves, protocol = _space(scored[-1]), scored[-1]["real_halves"], scored[-1]["protocol"]

    def curve(name: str, key: str) -> Curve:
        return Curve(name, _series(scored, key), halves.get(key))

    charts = [
        _chart("Frechet distance", "Lower is better. Logarithmic.", [curve(f"FD_{space}", f"fd_{space}")], log=True),
        _chart(
            "Kernel distance", "Lower is better; 0 is expected of real images.", [curve(f"KD_{space}", f"kd_{space}")]
        ),
        _chart(
            "Fidelity",
            "Precision: generated images that lie among real ones. Density may pass 1.",
            [curve("precision", "precision"), curve("density", "density")],
        ),
        _chart(
            "Variety",
            "Recall and coverage: real images that lie near generated ones. Both fall in a collapse.",
            [curve("recall", "recall"), curve("coverage", "coverage")],
            share=True,
        ),
        _chart("Asked-for class drawn", "By the classifier.", [curve("accuracy", "class_accuracy")], share=True),
    ]
    revision = f", revision {protocol['revision']}" if protocol["revision"] else ""
    text = (
        f"{scored[-1]['samples']} generated images in the features <b>{_escape(space)}</b>{revision}, against "
        f"{_escape(protocol['reference'])}; resized: {_escape(protocol['resize'])}. Dashed: "
        f"what the other half of the real images gets.{note}"
    )
    return _section("Metrics", text, charts)


def _losses(progress: Sequence[Record]) -> str:
    mains = [Curve(name, _series(progress, key)) for key, name in PHASES.items() if key in ("Gmain", "Dmain")]
    energies = [Curve("real", _series(progress, "real_energy")), Curve("generated", _series(progress, "fake_energy"))]
    others = (("penalty", "Gradient penalty", "Squared norm of D's gradient, unweighted."),)
    others += (
        ("path_length", "Path length", "Its running mean."),
        ("ada_p", "ADA's p", "Probability of augmentation."),
        ("began_m", "BEGAN's M", "It falls as samples improve, whatever the losses do."),
        ("began_k", "BEGAN's k", "How much D cares for generated images."),
        ("level", "Growth", "Stage that fades in: 0 is 4x4, 1 is 8x8, ..."),
    )
    return _section(
        "Losses",
        "Means between two lines of the log.",
        [
            _chart("Losses", "Of the main phases.", mains),
            _chart("Energies", "What D's autoencoder misses of the images.", energies),
            *(_chart(title, text, [Curve(key, _series(progress, key))]) for key, title, text in others),
        ],
    )


def _balance(progress: Sequence[Record], scored: Sequence[Record], movement: list[Point]) -> str:
    norms = [Curve(name, _series(progress, f"{key}_gradient")) for key, name in PHASES.items()]
    accuracy = [
        Curve("on real", _series(progress, "r_t", lambda sign: (1 + sign) / 2)),
        Curve("on generated", _series(progress, "f_t", lambda sign: (1 - sign) / 2)),
    ]
    charts = [
        _chart(
            "D's accuracy",
            "Share with the right sign of the logit. 0.5: D cannot tell; 1 on both: D has won, and G learns little.",
            accuracy,
            share=True,
        ),
        _chart(
            "r_t",
            "E[sign(D(real))]. Near 1, and rising while recall falls: D knows its images by heart. ADA steers it.",
            [Curve("r_t", _series(progress, "r_t"))],
        ),
        _chart("Gradient norms", "Of each phase, over the whole network. Logarithmic.", norms, log=True),
        _chart(
            "Movement of the images",
            "Root mean square change of the grid since the one before, of black to white. It settles, or G oscillates.",
            [Curve("movement", movement)],
        ),
        _chart(
            "Memory of G's loss",
            "Correlation of neighbouring steps. Near 0: noise of the batches; towards 1: drift or a slow cycle; "
            "towards -1: it alternates.",
            [Curve("lag 1", _series(progress, "Gmain_lag1"))],
        ),
    ]
    return _section("Collapse and balance", _signs(progress, scored), charts)


def _signs(progress: Sequence[Record], scored: Sequence[Record]) -> str:
    """What the last evaluation and the log's counts say, in a sentence each."""
    found = []
    if scored:
        last, halves = scored[-1], scored[-1]["real_halves"]
        for key in ("coverage", "recall"):
            share = last[key] / halves[key] if halves[key] else math.nan
            peak = max(scored, key=lambda r: r[key])
            found.append(
                f"{key.capitalize()} is {share:.0%} of what real images get; its peak was {peak[key]:.2f} at "
                f"{peak['kimg']:.3g} kimg."
            )
        if "classes" in last:
            found.append(f"{last['classes']} classes are covered.")
    if progress:
        count = progress[-1]["nonfinite_gradients"]
        found.append(f"Gradient values that were not finite, and were replaced: {count}.")
    return " ".join(found)


def _movement(grids: Sequence[tuple[float, Image.Image]]) -> list[Point]:
    arrays = [(kimg, np.asarray(image, dtype=np.float32) / 255) for kimg, image in grids]
    return [
        (kimg, float(np.sqrt(np.mean((after - before) ** 2))))
        for (_, before), (kimg, after) in itertools.pairwise(arrays)
        if before.shape == after.shape
    ]


def _percentiles(values: Sequence[float]) -> list[float]:
    return statistics.quantiles(values, n=100, method="inclusive")


def _speed(progress: Sequence[Record]) -> str:
    timed = [r for r in progress if r.get("step_ms")]
    if not timed:
        return ""
    size = -(-len(timed) // DOTS)
    windows = [timed[i : i + size] for i in range(0, len(timed), size)]
    steps = [
        (w[-1]["kimg"], _percentiles([ms for r in w for ms in (*r["step_ms"], r["step_ms"][-1])])) for w in windows
    ]
    curves = [Curve(f"{p} %", [(kimg, found[p - 1]) for kimg, found in steps]) for p in (50, 90, 99)]
    return _section(
        "Speed and memory",
        "Times of this rank, on the device where the run is. Evaluations and checkpoints are left out.",
        [
            _parts(timed),
            _chart("Time of a step", "Percentiles, in milliseconds. Steps with a lazy phase are slower.", curves),
            _chart(
                "Seconds for 1000 images", "Without evaluations.", [Curve("s/kimg", _series(timed, "seconds_per_kimg"))]
            ),
            _chart(
                "Waiting for data",
                "Per cent of the time.",
                [Curve("%", _series(timed, "data_wait", lambda share: 100 * share))],
            ),
            _chart("Memory", "Peak so far, MiB.", [Curve("MiB", _series(timed, "memory_mib"))]),
        ],
    )


def _parts(timed: Sequence[Record]) -> str:
    """A bar for each part of a step: its share of the time."""
    steps = sum(len(r["step_ms"]) for r in timed)
    names = {name: label for name, label in PARTS.items() if any(name in r["phase_ms"] for r in timed)}
    mean = {n: sum(r["phase_ms"].get(n, 0.0) * len(r["step_ms"]) for r in timed) / steps for n in names}
    total, most, row = sum(mean.values()), max(mean.values()), 30
    parts = []
    for i, (name, label) in enumerate(names.items()):
        y, width = TOP + row * i, (WIDTH - 260) * mean[name] / most
        parts.append(f'<text x="120" y="{y + 14}" text-anchor="end" class="name">{label}</text>')
        parts.append(f'<rect x="130" y="{y}" width="{max(width, 1):.1f}" height="20" rx="3" class="part"/>')
        shown = f"{mean[name]:.2f} ms, {mean[name] / total:.0%}"
        parts.append(f'<text x="{138 + width:.1f}" y="{y + 14}">{shown}</text>')
    svg = f'<svg viewBox="0 0 {WIDTH} {TOP + row * len(names)}" role="img" aria-label="Parts">{"".join(parts)}</svg>'
    caption = f"Means over all steps, of {total:.2f} ms; a phase that runs at every k-th step counts a k-th."
    return f"<figure><h3>Parts of a step</h3>{svg}<figcaption>{caption}</figcaption></figure>"
