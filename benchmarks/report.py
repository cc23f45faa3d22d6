"""The results as one HTML file to look at: drawn here as SVG, so that it needs no library and no network."""

from __future__ import annotations

import html
import math
import statistics
import string
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gan_fast.benchmarks import record
from gan_fast.benchmarks.cases import MODES
from gan_fast.benchmarks.record import Results, Row
from gan_fast.benchmarks.table import contenders_of, heading, mode_name
from gan_fast.training.checkpoint import write_atomically

TEMPLATE = Path(__file__).resolve().parent / "report.html"
WIDTH = 1130
LEFT = 330  # of a chart with names


def _escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten (where there are many, the powers alone)."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 300 * low else (1,)
    return [step * 10.0**k for k in decades for step in steps if low <= step * 10.0**k <= high]


def _scale(values: Iterable[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """A logarithmic axis from `start` to `end` that holds the values, and its ticks."""
    found = list(values)
    low, high = min(found) / 1.15, max(found) * 1.15

    def place(value: float) -> float:
        return start + (end - start) * math.log(value / low) / math.log(high / low)

    return place, _ticks(low, high)


def _count(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{_escape(title)}">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{_escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _dot(x: float, y: float, colour: str, title: str, radius: float = 5) -> str:
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="var(--{colour})" fill-opacity=".85"/>'
    return f"<g><title>{_escape(title)}</title>{circle}</g>"


def _legend() -> str:
    entries = (f'<span><i style="background: var(--{mode})"></i>{mode_name(mode)}</span>' for mode in MODES)
    return f'<div class="legend">{"".join(entries)}</div>'


def _section(title: str, text: str, content: str) -> str:
    return f"<section><h2>{title}</h2><p>{text}</p>{content}</section>"


def _op_rows(results: Results) -> list[Row]:
    return [row for row in results.rows if row.mode in MODES and row.ours in row.times]


def _case(row: Row) -> str:
    op, _, rest = row.case.partition("-")
    return f"{op} {rest.replace('-', ' ')}" + (f", {row.threads} threads" if row.threads > 1 else "")


def _ratios(results: Results) -> str:
    """Ratio to eager by case: a dot a mode with the 95 % interval."""
    cases: dict[str, list[Row]] = {}
    for row in _op_rows(results):
        if "reference" in row.times:
            cases.setdefault(_case(row), []).append(row)
    if not cases:
        return ""
    shown = [row.times["reference"] for rows in cases.values() for row in rows]
    place, ticks = _scale([1, *(v for t in shown for v in (t.low or t.ratio, t.high or t.ratio))], LEFT, WIDTH - 20)
    step = 24
    bottom = 24 + step * len(cases)
    parts = [_line(place(t), 20, place(t), bottom, "one" if t == 1 else "grid") for t in ticks]
    parts += [_text(place(t), 13, f"{t:g}x") for t in ticks]
    for i, (case, rows) in enumerate(cases.items()):
        y = 38 + step * i
        parts.append(_text(LEFT - 14, y + 4, case, "end", "name"))
        for row in rows:
            timing = row.times["reference"]
            low, high = timing.low or timing.ratio, timing.high or timing.ratio
            whisker = f'stroke="var(--{row.mode})" stroke-opacity=".45" stroke-width="3"'
            parts.append(f'<line x1="{place(low):.1f}" y1="{y}" x2="{place(high):.1f}" y2="{y}" {whisker}/>')
            title = f"{case}, {mode_name(row.mode)}: {timing.ratio:.2f}x ({low:.2f} to {high:.2f})"
            parts.append(_dot(place(timing.ratio), y, row.mode, title))
    text = "How many times our time eager PyTorch takes for the same call; bars are 95 % intervals. Right of 1x we win."
    return _section("Against eager PyTorch", text, _legend() + _svg(bottom + 8, parts, "ratio to eager by case"))


def _roofline(results: Results) -> str:
    """Left: bytes a second by bytes. Right: FLOPs a second by FLOPs a byte. Lines are what this machine reached."""
    rows = [row for row in _op_rows(results) if row.fraction and row.threads < 2]
    ceilings = [c for c in results.machine.ceilings if c.threads < 2]
    if not rows or not ceilings:
        return ""
    half, top, bottom = WIDTH / 2, 30, 360

    def panel(
        left: float, points: list[tuple[Row, float, float]], roof: list[tuple[float, float]], names: Sequence[str]
    ) -> list[str]:
        across, x_ticks = _scale([*(p[1] for p in points), *(x for x, _ in roof)], left + 62, left + half - 24)
        up, y_ticks = _scale([*(p[2] for p in points), *(y for _, y in roof)], bottom, top)
        parts = [_line(across(t), top, across(t), bottom) + _text(across(t), bottom + 18, _count(t)) for t in x_ticks]
        parts += [
            _line(left + 62, up(t), left + half - 24, up(t)) + _text(left + 54, up(t) + 4, _count(t), "end")
            for t in y_ticks
        ]
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in roof)
        parts += [f'<polyline points="{line}" class="roof"/>', _text(left + 62, top - 14, names[1], "start", "name")]
        parts.append(_text(left + half - 24, bottom + 38, names[0], "end", "name"))
        for row, x, y in points:
            title = f"{_case(row)}, {mode_name(row.mode)}: {row.fraction:.0%} of the floor's speed"
            parts.append(_dot(across(x), up(y), row.mode, title))
        return parts

    seconds = {id(row): row.times[row.ours].median / 1e3 for row in rows}
    moved = [(row, row.bytes, row.bytes / seconds[id(row)]) for row in rows]
    copies = sorted((size, gbs * 1e9) for size, gbs in ceilings[0].copy_gbs.items())
    if len(copies) == 1:
        copies = [(min(row.bytes for row in rows), copies[0][1]), *copies]
    parts = panel(0, moved, copies, ("bytes moved at least", "bytes a second; line: a copy"))
    multiplied = [(r, r.flops / r.bytes, r.flops / seconds[id(r)]) for r in rows if r.flops]
    if multiplied:
        fastest, most = max(speed for _, speed in copies), ceilings[0].products_gflops * 1e9
        least, ridge = min(x for _, x, _ in multiplied), most / fastest
        end = max(2 * ridge, max(x for _, x, _ in multiplied))
        roof = [(least, least * fastest), (ridge, most), (end, most)] if least < ridge else [(least, most), (end, most)]
        parts += panel(half, multiplied, roof, ("FLOPs a byte", "FLOPs a second; line: copy and matrix product"))
    text = (
        "What the calls reach of this machine's measured ceilings, one thread. Bytes and FLOPs are the model's, in"
        " benchmarks/costs.py. Calls whose tensors the caches hold may pass the line of the copy."
    )
    return _section("Roofline", text, _legend() + _svg(bottom + 50, parts, "roofline"))


def _bars(results: Results, mode: str, title: str, text: str) -> str:
    """Ours and the others beside each other, for the modes that are no ops."""
    rows = [row for row in results.rows if row.mode == mode and row.ours in row.times]
    if not rows:
        return ""
    parts: list[str] = []
    y = 6.0
    for row in rows:
        name = row.case.removeprefix(f"{mode}-").replace("-", ", ")
        most = max(t.median for t in row.times.values())
        parts.append(_text(LEFT - 14, y + 11 + 9 * (len(row.times) - 1), name, "end", "name"))
        for contender, timing in row.times.items():
            width = max(2.0, (WIDTH - LEFT - 270) * timing.median / most)
            colour = "var(--forward)" if contender == row.ours else "#cbd5e1"
            parts.append(f'<rect x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="14" rx="3" fill="{colour}"/>')
            label = "ours" if contender == row.ours else contender
            memory = f", {row.memory[contender] / 2**20:.1f} MiB at its peak" if contender in row.memory else ""
            parts.append(_text(LEFT + width + 8, y + 11.5, f"{label} {_ms(timing.median)} ms{memory}", "start"))
            y += 18
        y += 10
    return _section(title, text, _svg(y, parts, title))


def _history(results: Results, others: Sequence[Results]) -> str:
    """Geometric means of the ratio to eager, by op, over the runs on this device; of the cases that all runs have."""
    device = results.machine.device
    runs = [run for run in others if run.machine.device == device and run != results]
    runs = [*sorted(runs, key=lambda run: run.machine.date), results]
    found: list[dict[tuple[str, str, int], float]] = [
        {(r.case, r.mode, r.threads): r.times["reference"].ratio for r in _op_rows(run) if "reference" in r.times}
        for run in runs
    ]
    shared = [key for key in found[-1] if all(key in ratios for ratios in found)]
    if len(runs) < 2 or not shared:
        return ""
    ops = list(dict.fromkeys(case.split("-")[0] for case, _, _ in shared))
    means = {
        op: [statistics.geometric_mean(r[key] for key in shared if key[0].split("-")[0] == op) for r in found]
        for op in ops
    }
    top, bottom, right = 20, 320, WIDTH - 170
    up, ticks = _scale([1, *(m for values in means.values() for m in values)], bottom, top)
    across = [70 + (right - 90) * i / (len(runs) - 1) for i in range(len(runs))]
    parts = [_line(60, up(t), right, up(t), "one" if t == 1 else "grid") for t in ticks]
    parts += [_text(52, up(t) + 4, f"{t:g}x", "end") for t in ticks]
    for x, run in zip(across, runs, strict=True):
        parts.append(_text(x, bottom + 20, run.machine.revision, "middle", "name"))
        parts.append(_text(x, bottom + 36, run.machine.date))
    last = -math.inf
    for i, (op, values) in enumerate(sorted(means.items(), key=lambda item: -item[1][-1])):
        colour = f"hsl({i * 360 / len(ops):.0f} 62% 42%)"
        points = " ".join(f"{x:.1f},{up(v):.1f}" for x, v in zip(across, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, v in zip(across, values, strict=True):
            title = f"<title>{_escape(op)}: {v:.2f}x</title>"
            parts.append(f'<g>{title}<circle cx="{x:.1f}" cy="{up(v):.1f}" r="4" fill="{colour}"/></g>')
        last = max(up(values[-1]) + 4, last + 15)
        parts.append(_text(across[-1] + 14, last, f"{op} {values[-1]:.1f}x", "start", "name"))
    text = (
        f"Times of eager PyTorch over ours, geometric means of the {len(shared)} rows that all runs here have."
        " Runs are those of benchmarks/results, and this one."
    )
    return _section("Across revisions", text, _svg(bottom + 46, parts, "history"))


def _cards(results: Results) -> str:
    cards = []
    for mode in MODES:
        ratios = [r.times["reference"].ratio for r in _op_rows(results) if r.mode == mode and "reference" in r.times]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            cards.append(
                (f"{mean:.1f}x", f"eager's time over ours, {mode_name(mode)}, geometric mean of {len(ratios)}")
            )
    shares = [row.memory[row.ours] / row.memory["reference"] for row in results.rows if len(row.memory) > 1]
    if shares:
        cards.append((f"{statistics.median(shares):.2f}", "of eager's peak memory, median"))
    refused = sum(len(row.refused) for row in results.rows)
    cards.append((str(refused), "contenders refused as wrong" if refused else "refused: all outputs were verified"))
    return "".join(f'<div class="card"><b>{value}</b><span>{text}</span></div>' for value, text in cards)


def _cell(text: str, value: float | str | None = None, kind: str = "") -> str:
    data = "" if value is None else f' data-value="{value}"'
    return f'<td{data} class="{kind}">{_escape(text)}</td>' if kind else f"<td{data}>{_escape(text)}</td>"


def _table(results: Results) -> str:
    heads = ("case", "mode", "ms", "spread", "floor", "of it", "eager", "compile", "plain", "channels_last")
    heads += ("MB", "MFLOP", "peak MiB", "others")
    lines = []
    for row in results.rows:
        threads = f", {row.threads} threads" if row.threads > 1 else ""
        name = f"{row.case} {row.network}" if row.network else None
        cells = [_cell(row.case, name), _cell(mode_name(row.mode) + threads)]
        ours = row.times.get(row.ours)
        if ours is None:
            cells += [_cell("refused", -1, "bad"), *[_cell("", "")] * 7]
        else:
            spread = (ours.q3 - ours.q1) / ours.median
            cells += [_cell(_ms(ours.median), ours.median), _cell(f"{spread:.0%}", spread)]
            cells.append(_cell("" if row.floor_ms is None else f"{row.floor_ms:.3g}", row.floor_ms or ""))
            cells.append(_cell("" if row.fraction is None else f"{row.fraction:.0%}", row.fraction or ""))
            cells += [_cell(f"{t.ratio:.2f}x", t.ratio) if t else _cell("", "") for t in contenders_of(row)]
        cells.append(_cell("" if row.bytes is None else f"{row.bytes / 1e6:.3g}", row.bytes or ""))
        cells.append(_cell(f"{row.flops / 1e6:.3g}" if row.flops else "", row.flops or ""))
        peak = row.memory.get(row.ours)
        cells.append(_cell("" if peak is None else f"{peak / 2**20:.1f}", "" if peak is None else peak))
        known = {"reference", "compile", row.ours}
        third = {n: t for n, t in row.times.items() if n not in known and not n.startswith("plain")}
        words = [f"{n} {timing.ratio:.2f}x" for n, timing in third.items()]
        cells.append(_cell(", ".join([*words, *(f"{n} refused" for n in row.refused)])))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def page(results: Results, others: Sequence[Results] = ()) -> str:
    """The HTML text; others: earlier results, for the history."""
    machine = results.machine
    phases = "Reference: the same networks on eager PyTorch. Each phase's gradients were held against float64 first."
    training = "The engine with a preset's recipe: milliseconds a thousand images."
    host = "Calls on tensors so small that only the host's work counts: milliseconds a call, forward."
    cold = "A new process with an empty autotune cache: importing, and the first calls."
    sections = [
        _ratios(results),
        _roofline(results),
        _bars(results, "phase", "Networks, phases, steps", phases),
        _bars(results, "training", "Training", training),
        _bars(results, "host", "Host overhead", host),
        _bars(results, "cold", "Cold start", cold),
        _history(results, others),
    ]
    facts = heading(machine).removesuffix(".")
    facts += (
        f". {'Quick run' if machine.quick else 'Full run'}, load {machine.load:g} before it, malloc: {machine.malloc}."
    )
    return string.Template(TEMPLATE.read_text()).substitute(
        title=_escape(f"{machine.device}, {machine.date}"),
        facts=_escape(facts),
        cards=_cards(results),
        sections="\n".join(filter(None, sections)),
        table=_table(results),
        footer="Made by gan-fast bench --html. docs/benchmarks.md says how everything here is measured.",
    )


def write(results: Results, path: Path) -> None:
    """The report, with the history that benchmarks/results knows."""
    others = [record.read(file) for file in sorted(record.FOLDER.glob("*.json"))]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = page(results, others)
    write_atomically(path, lambda file: file.write(text.encode()))
