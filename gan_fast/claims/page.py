"""The page of claims: for each what is claimed, what was expected and what was seen, with its picture."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gan_fast.claims.claim import Claim
from gan_fast.claims.run import Result, holds, picture_of
from gan_fast.claims.shown import SHOWN
from gan_fast.training.checkpoint import write_atomically

HEAD = """\
# Claims

    gan-fast claims                      # all of them, or what is missing of them
    gan-fast claims --only saturation    # one
    gan-fast claims --list

What the literature says of GANs, run on problems of seconds, on the same engine, losses, models and metrics as
everything else here (`gan_fast/claims/`). A claim holds if every figure keeps its bound with every seed. Figures are
those of one machine: rounding, and so the last digits, differ from machine to machine.
"""


def write(
    path: Path, themes: Mapping[str, Sequence[Claim]], results: Mapping[str, Result | Exception], out: Path
) -> None:
    """Write the page, and its pictures into images/<its name> beside it.

    Args:
        path: of the page, Markdown.
        themes: the claims under their headings.
        results: of `run`, in the folder `out`.
    """
    pictures = path.parent / "images" / path.stem
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [HEAD, _summary(themes, results)]
    for theme, claims in themes.items():
        parts.append(f"## {theme}\n")
        for claim in claims:
            result = results[claim.name]
            parts.append(_section(claim, result))
            if isinstance(result, Result):
                source = picture_of(claim, out)
                shutil.copyfile(source, pictures / source.name)
                parts.append(f"![{claim.name}]({os.path.relpath(pictures / source.name, path.parent)})\n")
    parts.append(_shown())
    text = "\n".join(parts).encode()
    write_atomically(path, lambda file: file.write(text))


def verdict(claim: Claim, result: Result | Exception) -> str:
    """What is said of a claim in a word or two."""
    if isinstance(result, Exception):
        return "failed"
    return "holds" if holds(claim, result) else "does not show"


def _summary(themes: Mapping[str, Sequence[Claim]], results: Mapping[str, Result | Exception]) -> str:
    done = [result for result in results.values() if isinstance(result, Result)]
    where = ", ".join(sorted({f"{result.device}, {result.date}" for result in done}))
    minutes = sum(result.seconds for result in done) / 60
    lines = [f"Run on: {where}; one thread a claim, {minutes:.0f} minutes of CPU time in all.\n"]
    lines += ["| | claim | |", "|---|---|---|"]
    for theme, claims in themes.items():
        for claim in claims:
            said = verdict(claim, results[claim.name])
            said = said if said == "holds" else f"**{said}**"
            lines.append(f"| {theme} | [{claim.sentence}](#{claim.name}) | {said} |")
    return "\n".join(lines) + "\n"


def _section(claim: Claim, result: Result | Exception) -> str:
    lines = [f"### {claim.name}\n", f"{claim.sentence}\n", f"*{claim.source}*\n", f"{claim.how}\n"]
    if isinstance(result, Exception):
        return "\n".join([*lines, f"**Failed**: {type(result).__name__}: {result}\n"])
    seeds = len(result.seen)
    lines.append(f"| | expected | {' | '.join(f'seed {seed}' for seed in range(seeds))} |")
    lines.append("|---|---|" + "---|" * seeds)
    for figure in claim.figures:
        values = [seen[figure.name] for seen in result.seen]
        cells = [f"{v:.3g}" if figure.holds(v) else f"**{v:.3g}**" for v in values]
        # A bar is Markdown's own.
        name = figure.name.replace("|", "\\|")
        lines.append(f"| {name} | {figure.expected} | {' | '.join(cells)} |")
    command = f"`gan-fast claims --only {claim.name}`"
    lines.append(f"\n{command}: **{verdict(claim, result)}**, after {max(result.seconds, 1):.0f} s of CPU time.")
    lines += [f"One seed: {claim.once}"] if claim.once else []
    lines += [f"\n{claim.unmet}"] if claim.unmet else []
    return "\n".join(lines) + "\n"


def _shown() -> str:
    lines = ["## Shown by a test\n", "| what | test |", "|---|---|"]
    return "\n".join([*lines, *(f"| {what} | `{test}` |" for what, test in SHOWN)]) + "\n"
