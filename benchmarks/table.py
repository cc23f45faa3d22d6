"""python benchmarks/table.py [--write README.md] [FILE ...]: results as Markdown.

Prints the tables of the files. With --write it makes the tables of a Markdown file anew, which stand between

    <!-- ops: benchmarks/results/FILE.json -->        and  <!-- end -->
    <!-- phases: benchmarks/results/FILE.json -->     and  <!-- end -->
    <!-- behind: benchmarks/results/FILE.json -->     and  <!-- end -->   where a contender is faster
    <!-- bias_act: benchmarks/results/FILE.json -->   and  <!-- end -->   every case of one op
    <!-- figures_KIND: benchmarks/results/figures/FILE.json -->  and  <!-- end -->   the rows of that kind

from the file that is named there, or from the FILE given, which then is named there, of all tables that it has rows of.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_fast.benchmarks import record
from gan_fast.benchmarks.cases import MODES
from gan_fast.benchmarks.record import Cell, Figures, Machine, Results, Row, Timing

if TYPE_CHECKING:
    from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("reference", "torch.compile", "plain PyTorch", "plain, given channels_last")
FIGURES = "figures_"  # begins the kinds of tables that are made of figures
MAIN_PHASE = {"R1": "D", "path length": "G"}
# what a Markdown file shows of the ops: all modes of these, and of the last three the forward pass in channels_last
SHOWN = (
    *("upsample2d rgb", "downsample2d rgb", "minibatch_stddev end", "grid_sample warp", "bias_act lrelu"),
    *("modulate lrelu", "modulated_conv2d plain", "modulated_conv2d up2", "conv2d 3x3"),
    *("filtered_lrelu up2down2", "filtered_lrelu up4down2"),
    *("upsample2d 4x4", "downsample2d 4x4", "filter2d 4x4"),
)
BLOCK = re.compile(r"<!-- (\w+): (\S*) -->\n(.*?)<!-- end -->", re.DOTALL)


def contenders_of(row: Row) -> list[Timing | None]:
    """The contenders of a row in the order of COLUMNS.

    Of the plain PyTorch calls the fastest, among those that are given the same tensors as we are; and among those that
    are given them in channels_last where we get them contiguous, which a caller would have to have at hand.
    """
    plain = {name: timing for name, timing in row.times.items() if name.startswith("plain")}

    def fastest(of_other_format: bool) -> Timing | None:
        found = [t for name, t in plain.items() if name.endswith("channels_last") == of_other_format]
        return min(found, key=lambda t: t.ratio, default=None)

    return [row.times.get("reference"), row.times.get("compile"), fastest(False), fastest(True)]


def heading(where: Machine | Figures) -> str:
    """What names the device, the versions and the date below a table."""
    cores = f"{where.cpus} cores" if where.cpus else ""
    chip = ", ".join(filter(None, (where.isa, cores)))
    parts = [f"{where.device} ({chip})" if chip and not where.driver else where.device]
    parts += [f"driver {where.driver}"] if where.driver else []
    parts += [f"torch {where.torch}"]
    parts += [f"Triton {where.triton}"] if where.driver and where.triton else []
    return f"{', '.join(parts)}, revision {where.revision}, {where.date}."


def mode_name(mode: str) -> str:
    return {"forward_backward": "forward + backward", "second_order": "second order"}.get(mode, mode)


def ops_table(results: Results, shown: Sequence[str] = (), only: str = "") -> str:
    """Ratios by op over shapes and threads: median (least to most); of those shown, or of all; of one op, or of any."""
    groups: dict[tuple[str, str], list[list[Timing | None]]] = {}
    for row in results.rows:
        if row.mode in MODES and row.times:
            op, name, _, *kind = row.case.split("-")
            if only and op != only:
                continue
            name = " ".join((op, name, *kind))
            last = name.removesuffix(" channels_last") in shown[-3:] and row.mode == "forward"
            if shown and name not in shown and not last:
                continue
            groups.setdefault((name, row.mode), []).append(contenders_of(row))
    lines = [f"| op | mode | rows | {' | '.join(COLUMNS)} |", "|---|---|---|---|---|---|---|"]
    for (name, mode), rows in groups.items():
        cells = []
        for column in range(len(COLUMNS)):
            known = [t.ratio for timings in rows if (t := timings[column]) is not None]
            spread = f"({min(known):.1f} to {max(known):.1f})" if known else ""
            cells.append(f"{statistics.median(known):.1f}x {spread}" if known else "")
        lines.append(f"| {name} | {mode_name(mode)} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", heading(results.machine)])


def phases_table(results: Results) -> str:
    """For each network: the reference's time over ours, with the interval of the median; our memory over its."""
    rows: dict[str, dict[str, Row]] = {}
    for row in results.rows:
        if row.mode == "phase" and row.times:
            phase = row.case.split("-")[1]
            rows.setdefault(phase, {})[row.network + row.case.partition(row.network)[2]] = row
    networks = list(dict.fromkeys(network for found in rows.values() for network in found))
    lines = [f"| phase | {' | '.join(networks)} | ours over its main phase |"]
    lines.append("|---" * (len(networks) + 2) + "|")
    for phase, found in rows.items():
        cells, shares = [], []
        for network in networks:
            row = found.get(network)
            other = row and row.times.get("reference")
            cell = f"{other.ratio:.2f}x ({other.low:.2f} to {other.high:.2f})" if other else ""
            if row and (graph := row.times.get("reference captured")):
                cell += f", {graph.ratio:.2f}x as a graph"
            if row and {row.ours, "reference"} <= row.memory.keys():
                cell += f"; {row.memory[row.ours] / row.memory['reference']:.2f}"
            cells.append(cell)
            main = rows.get(MAIN_PHASE.get(phase, ""), {}).get(network)
            if row and main:
                shares.append(f"{row.times[row.ours].median / main.times[main.ours].median:.2f}")
        share = f"{', '.join(shares)} of {MAIN_PHASE[phase]}" if shares else ""
        lines.append(f"| {phase} | {' | '.join(cells)} | {share} |")
    return "\n".join([*lines, "", heading(results.machine)])


def floors_table(results: Results) -> str:
    """Each case of an op: our time, which share of the floor's speed it is, and the others' times over ours."""
    columns = ("ours, ms", "of floor", *COLUMNS[:3], "our backends")
    lines = [f"| case | mode | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for row in results.rows:
        if row.mode in MODES and row.ours in row.times:
            others = [f"{t.ratio:.2f}x" if t else "" for t in contenders_of(row)[:3]]
            backends = [f"{name} {row.times[name].median:.3g}" for name in ("cuda", "triton") if name in row.times]
            cells = (f"{row.times[row.ours].median:.3g}", f"{row.fraction:.2f}", *others, ", ".join(backends))
            lines.append(f"| {row.case} | {mode_name(row.mode)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", heading(results.machine)])


def training_table(results: Results) -> str:
    """Seconds a thousand images of each network's training, by contender, each with its quartiles."""
    rows = [row for row in results.rows if row.mode == "training"]
    ways = list(dict.fromkeys(way for row in rows for way in row.times))
    lines = [f"| network | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    for row in rows:
        found = [row.times.get(way) for way in ways]
        cells = [f"{t.median / 1e3:.2f} ({t.q1 / 1e3:.2f} to {t.q3 / 1e3:.2f})" if t else "" for t in found]
        lines.append(f"| {row.network} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", heading(results.machine)])


def behind_table(results: Results) -> str:
    """Where contenders are faster, beyond the interval of the median: in how many rows of an op, and by how much."""
    groups: dict[tuple[str, str, str], list[Timing | None]] = {}
    for row in results.rows:
        if row.mode in MODES and row.times:
            op, name, _, *kind = row.case.split("-")
            for column, timing in zip(COLUMNS, contenders_of(row), strict=True):
                groups.setdefault((" ".join((op, name, *kind)), row.mode, column), []).append(timing)
    lines = ["| op | mode | faster than ours | rows | its time over ours |", "|---|---|---|---|---|"]
    for (name, mode, column), timings in groups.items():
        if ratios := [t.ratio for t in timings if t and (t.high or t.ratio) < 1]:
            span = f"{min(ratios):.2f}" + (f" to {max(ratios):.2f}" if len(ratios) > 1 else "")
            count = f"{len(ratios)} of {sum(t is not None for t in timings)}"
            lines.append(f"| {name} | {mode_name(mode)} | {column} | {count} | {span} |")
    return "\n".join([*lines, "", heading(results.machine)])


def figures_table(figures: Figures, kind: str) -> str:
    """The rows of a kind, under the columns that any of them has."""
    rows = [figure.values for figure in figures.rows if figure.kind == kind]
    if not rows:
        raise ValueError(f"{kind}: there are {', '.join(dict.fromkeys(figure.kind for figure in figures.rows))}")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(cell_of(row.get(column, '')) for column in columns)} |" for row in rows]
    return "\n".join([*lines, "", heading(figures)])


def cell_of(value: Cell) -> str:
    """Numbers below 100 with three digits, others without decimals."""
    if isinstance(value, list):
        return " ".join(map(cell_of, value))
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def has(kind: str, results: Results) -> bool:
    if kind in ("phases", "training"):
        return any(row.mode == kind.removesuffix("s") for row in results.rows)
    found = {row.case.partition("-")[0] for row in results.rows if row.mode in MODES}
    return bool(found) if kind in ("ops", "behind", "floors") else kind in found


def table_of(kind: str, results: Results) -> str:
    whole = {"phases": phases_table, "behind": behind_table, "floors": floors_table, "training": training_table}
    if kind in whole:
        return whole[kind](results)
    return ops_table(results, SHOWN) if kind == "ops" else ops_table(results, only=kind)


def rewritten(text: str, files: Sequence[Path] = (), root: Path = ROOT) -> str:
    """A Markdown text with its tables made anew; a block that names no file stays as it is until one is given."""

    def block(found: re.Match) -> str:
        kind, name = found[1], found[2]
        of_figures = kind.startswith(FIGURES)
        for path in files:
            if not of_figures and has(kind, record.read(path)):
                name = str(path.resolve().relative_to(root))
        if not name:
            return found[0]
        if of_figures:
            table = figures_table(record.read_figures(root / name), kind.removeprefix(FIGURES))
            return f"<!-- {kind}: {name} -->\n{table}\n<!-- end -->"
        return f"<!-- {kind}: {name} -->\n{table_of(kind, record.read(root / name))}\n<!-- end -->"

    return BLOCK.sub(block, text)


def rich_table(results: Results) -> Table:
    """For a terminal: every row, our time, what share of the floor it reaches, and the others' times over ours."""
    from rich.table import Table

    table = Table(
        title=heading(results.machine),
        caption="ms: median; spread: between its quartiles; floor: what the bytes and FLOPs take at this machine's"
        " measured ceilings; others: their time over ours, medians of neighbours in time",
    )
    for column in ("case", "mode", "ms", "spread", "of floor", "eager", "compile", "plain", "channels_last"):
        table.add_column(column, justify="left" if column in ("case", "mode") else "right", no_wrap=True)
    for row in results.rows:
        mode = mode_name(row.mode) + (f", {row.threads} threads" if row.threads > 1 else "")
        if row.ours not in row.times:
            table.add_row(row.case, mode, "[red]refused[/]")
            continue
        ours = row.times[row.ours]
        others = [f"{t.ratio:.2f}x" if t else "" for t in contenders_of(row)]
        share = "" if row.fraction is None else f"{row.fraction:.0%}"
        table.add_row(row.case, mode, f"{ours.median:.3g}", f"{(ours.q3 - ours.q1) / ours.median:.0%}", share, *others)
        for name, timing in row.times.items():
            if name not in (row.ours, "reference", "compile", "unfused") and not name.startswith("plain"):
                table.add_row(f"  {name}", "", f"{timing.median:.3g}", "", "", f"{timing.ratio:.2f}x of ours")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.write is not None:
        arguments.write.write_text(rewritten(arguments.write.read_text(), arguments.files))
        return
    for path in arguments.files:
        results = record.read(path)
        for kind, table in (("ops", ops_table), ("phases", phases_table)):
            if has(kind, results):
                print(table(results), end="\n\n")


if __name__ == "__main__":
    main()
