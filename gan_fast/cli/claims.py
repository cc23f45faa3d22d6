"""gan-fast claims."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gan_fast.cli import options


def claims(
    only: Annotated[list[str] | None, typer.Option(help="Name of a claim; may be given several times.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of what was seen; a run goes on with what is there.")] = Path(
        "runs/claims"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Each claim is run with so many seeds.")] = 3,
    jobs: Annotated[int, typer.Option(min=0, help="Processes, of a thread each; 0: one a core.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run them again, whatever was seen before.")] = False,
    page: Annotated[Path | None, typer.Option(help="Write a page of Markdown with all results and pictures.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say what the claims are, and run nothing.")] = False,
) -> None:
    """Show what the literature claims of GANs, on problems of seconds: expected, seen, and a picture of each.

    What was run stays in the folder, so that a run that was stopped goes on. Ends with exit code 1 if a claim does not
    show.

    **Examples**

    gan-fast claims

    gan-fast claims --only saturation --only truncation --seeds 5

    gan-fast claims --page docs/claims.md
    """
    from rich.console import Console
    from rich.table import Table

    from gan_fast.claims import CLAIMS, THEMES, run
    from gan_fast.claims.page import verdict, write

    unknown = [name for name in only or () if name not in CLAIMS]
    if unknown:
        raise ValueError(f"--only: got {', '.join(unknown)}, takes {', '.join(CLAIMS)}")
    chosen = [claim for claim in CLAIMS.values() if not only or claim.name in only]
    console = Console()
    if not console.is_terminal:
        console.width = 140
    table = Table(title=None if listed else f"What was seen with {seeds} seeds", show_lines=not listed)
    if listed:
        for column in ("claim", "what it says", "source"):
            table.add_column(column)
        for claim in chosen:
            table.add_row(claim.name, claim.sentence, claim.source)
        console.print(table)
        console.print(f"Next: gan-fast claims --only {chosen[0].name}")
        return
    if fresh:
        run.forget(chosen, out)
    with options.progress(len(chosen), "claims") as report:
        done: list[str] = []

        def tell(claim: run.Claim) -> None:
            done.append(claim.name)
            report(len(done), claim.name)

        results = run.run(chosen, seeds, out, jobs or os.cpu_count() or 1, tell)
    for column in ("claim", "figure", "expected", "seen", ""):
        table.add_column(column)
    for claim in chosen:
        result = results[claim.name]
        said = verdict(claim, result)
        said = f"[green]{said}[/]" if said == "holds" else f"[red]{said}[/]"
        if isinstance(result, Exception):
            table.add_row(claim.name, "", "", f"{type(result).__name__}: {result}", said)
            continue
        figures = [figure for figure in claim.figures if figure.expected]
        seen = ["  ".join(f"{each[figure.name]:.3g}" for each in result.seen) for figure in figures]
        rows = ([figure.name for figure in figures], [figure.expected for figure in figures], seen)
        table.add_row(claim.name, *("\n".join(row) for row in rows), said)
    console.print(table)
    if page is not None:
        themes = {name: [c for c in chosen if c.name in names] for name, names in THEMES.items()}
        page.parent.mkdir(parents=True, exist_ok=True)
        write(page, {name: part for name, part in themes.items() if part}, results, out)
        console.print(f"Page: {page}")
    missing = [claim.name for claim in chosen if verdict(claim, results[claim.name]) != "holds"]
    console.print(f"{len(chosen) - len(missing)} of {len(chosen)} claims hold; figures and pictures are in {out}")
    if missing:
        console.print(f"Next: gan-fast claims --fresh --only {missing[0]}")
        raise typer.Exit(1)
    console.print(
        "Next: gan-fast lab, to play such games yourself." if page else "Next: gan-fast claims --page claims.md"
    )
