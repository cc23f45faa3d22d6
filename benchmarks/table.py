"""python benchmarks/table.py [--summary] [FILE ...]: prints results as Markdown, by default the newest file.

Every case, or with --summary the spread of the ratios by op.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

COLUMNS = ("reference", "torch.compile", "plain PyTorch", "plain, given channels_last")


def ratios_of(row: dict) -> list[float | None]:
    """How many times our time the others take, in the order of COLUMNS.

    Of the plain PyTorch calls the fastest, among those that are given the same tensors as we are; and among those that
    are given them in channels_last where we get them contiguous, which a caller would have to have at hand.
    """
    ratios = row["ratios"]
    plain = {name: ratio for name, ratio in ratios.items() if name.startswith("plain")}
    same = [ratio for name, ratio in plain.items() if not name.endswith("channels_last")]
    other = [ratio for name, ratio in plain.items() if name.endswith("channels_last")]
    return [ratios.get("reference"), ratios.get("compile"), min(same, default=None), min(other, default=None)]


def heading(machine: dict) -> str:
    return (
        f"{machine['device']} ({machine['isa']}, {machine['cpus']} cores), torch {machine['torch']}, "
        f"revision {machine['revision']}, {machine['date']}."
    )


def table(results: dict) -> str:
    lines = [
        f"{heading(results['machine'])} Medians in ms with quartiles; ratios are times of the others over ours.",
        "",
        f"| case | mode | threads | ours | {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        ours = next(iter(row["times"].values()))
        cells = [f"{ratio:.1f}x" if ratio is not None else "" for ratio in ratios_of(row)]
        time = f"{ours['median']:.3g} ({ours['q1']:.3g} to {ours['q3']:.3g})"
        lines.append(f"| {row['case']} | {row['mode']} | {row['threads'] or ''} | {time} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(results: dict) -> str:
    groups: dict[tuple[str, str], list[list]] = {}
    for row in results["rows"]:
        op, name = row["case"].split("-")[:2]
        memory = " channels_last" if row["case"].endswith("channels_last") else ""
        groups.setdefault((f"{op} {name}{memory}", row["mode"]), []).append(ratios_of(row))
    lines = [
        f"{heading(results['machine'])} Times of the others over ours: median (least to most) over shapes, with "
        "one thread and two.",
        "",
        f"| op | mode | rows | {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|---|",
    ]
    for (op, mode), rows in groups.items():
        cells = []
        for column in range(len(COLUMNS)):
            known = [ratios[column] for ratios in rows if ratios[column] is not None]
            spread = f"({min(known):.1f} to {max(known):.1f})" if known else ""
            cells.append(f"{statistics.median(known):.1f}x {spread}" if known else "")
        lines.append(f"| {op} | {mode.replace('_', ' + ')} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines).replace("second + order", "second order")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    show = summary if "--summary" in arguments else table
    folder = Path(__file__).resolve().parent / "results"
    paths = [Path(p) for p in arguments if p != "--summary"] or sorted(folder.glob("*.json"))[-1:]
    if not paths:
        sys.exit(f"no results in {folder}: run `make bench`")
    for path in paths:
        print(show(json.loads(path.read_text())))
