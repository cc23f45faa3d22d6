"""Prints a results file as Markdown: python benchmarks/table.py [file], by default the newest one."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def table(results: dict) -> str:
    machine = results["machine"]
    lines = [
        f"{machine['device']} ({machine['isa']}), torch {machine['torch']}, revision {machine['revision']}, "
        f"{machine['date']}. Medians in ms with quartiles; ratios are times of the others over ours.",
        "",
        "| case | mode | threads | ours | reference | compile | best plain |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        ours = next(iter(row["times"].values()))
        ratios = row["ratios"]
        plain = min((r for name, r in ratios.items() if name.startswith("plain")), default=None)
        cells = [f"{r:.1f}x" if r is not None else "" for r in (ratios.get("reference"), ratios.get("compile"), plain)]
        time = f"{ours['median']:.3g} ({ours['q1']:.3g} to {ours['q3']:.3g})"
        lines.append(f"| {row['case']} | {row['mode']} | {row['threads'] or ''} | {time} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent / "results"
    paths = [Path(p) for p in sys.argv[1:]] or sorted(folder.glob("*.json"))[-1:]
    if not paths:
        sys.exit(f"no results in {folder}: run `make bench`")
    for path in paths:
        print(table(json.loads(path.read_text())))
