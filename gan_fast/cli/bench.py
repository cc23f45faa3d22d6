"""gan-fast bench, and gan-fast bench compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="A few cases: three minutes on two CPU cores.")] = False,
    ops: Annotated[
        str, typer.Option(help="Only these, separated by commas; also host, cold, networks or a network's name.")
    ] = "",
    match: Annotated[
        str, typer.Option(help="Only rows whose name has these words: of shapes, modes, phases or dtypes.")
    ] = "",
    json: Annotated[Path | None, typer.Option(help="Write the results to this file.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a report to look at, one file that needs no network.")
    ] = None,
    contender: Annotated[
        list[Path] | None, typer.Option(help="A Python file with functions named like ops; may be repeated.")
    ] = None,
) -> None:
    """Time every op, network and training phase against eager PyTorch, torch.compile, cuDNN and oneDNN.

    A contender is timed only after its outputs passed verification on that very case; one that is wrong is named,
    and ends the command with exit code 1. docs/benchmarks.md says how it is measured.

    **Examples**

    gan-fast bench --quick --html report.html

    gan-fast bench --ops upsample2d,bias_act --contender path/to/theirs.py

    gan-fast bench --ops paper256 --match "R1 bfloat16"

    gan-fast bench compare before.json after.json

    gan-fast bench compare main HEAD --ops bias_act
    """
    if context.invoked_subcommand:
        return
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from gan_fast.benchmarks import record, report, table
    from gan_fast.benchmarks.measure import Bench, load_contender

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = [name.strip() for name in ops.split(",") if name.strip()]
    measured = Bench(device, quick, names, [load_contender(path) for path in contender or ()], match.split())
    jobs = measured.jobs()
    if not jobs and match:
        raise ValueError(f"--match: no row's name has {match}")
    if not jobs:
        raise ValueError(f"--ops: nothing of {ops} is in a quick run")
    console = Console()
    if not console.is_terminal:
        console.width = 140
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(jobs), completed=-1)
        results = measured.run(jobs, lambda job: progress.update(bar, description=str(job), advance=1))
    if len(results.rows) < len(jobs):
        console.print(f"[red]interrupted[/] after {len(results.rows)} of {len(jobs)} rows")
    console.print(table.rich_table(results))
    path = json or Path("runs") / "bench" / record.default_path(results.machine).name
    record.write(results, path)
    console.print(f"Results: {path}")
    if html is not None:
        report.write(results, html)
        console.print(f"Report: {html}")
    refused = {f"{name} on {row.case}, {row.mode}: {why}" for row in results.rows for name, why in row.refused.items()}
    for line in sorted(refused):
        console.print(f"[red]refused[/] {line}", highlight=False)
    if refused:
        raise typer.Exit(1)
    console.print(f"Next: gan-fast bench compare {path} OTHER.json")


def compare(
    a: Annotated[str, typer.Argument(help="A results file or a git revision.")],
    b: Annotated[str, typer.Argument(help="Another one; '.' is the source tree as it is.")],
    ops: Annotated[str, typer.Option(help="Of revisions only these, separated by commas.")] = "",
    runs: Annotated[int, typer.Option(min=1, help="Of each revision, in turn.")] = 5,
) -> None:
    """Say whether B is slower than A, beyond what noise can do.

    Two results files are read. Two revisions are built in worktrees under .benchmarks/ and measured in turn, by this
    source tree's quick benchmarks. Ends with exit code 1 if anything is slower.

    **Examples**

    gan-fast bench compare before.json after.json

    gan-fast bench compare HEAD . --ops upsample2d,bias_act
    """
    from rich.console import Console
    from rich.table import Table

    from gan_fast.benchmarks import compare as comparison
    from gan_fast.benchmarks import record, table

    console = Console()
    if Path(a).is_file() and Path(b).is_file():
        sides = [[record.read(Path(path))] for path in (a, b)]
    else:
        with console.status("building"):
            trees = [comparison.source_tree(name) for name in (a, b)]
        names = [name.strip() for name in ops.split(",") if name.strip()]
        with console.status("") as status:
            sides = comparison.measure_in_turn(trees, runs, ["--ops", *names], status.update)
    found = comparison.compare(*sides)
    if not found.changes:
        raise ValueError(f"{a} and {b} have no rows in common")
    shown = Table(title=f"{b} against {a}: our time, corrected by the reference's")
    for column in ("case", "mode", "change", "with noise", "verdict"):
        shown.add_column(column, no_wrap=True, justify="right" if column in ("change", "with noise") else "left")
    colours = {"slower": "red", "faster": "green"}
    for verdict, colour in colours.items():
        for c in found.of(verdict):
            noisy = f"{c.low - 1:+.0%} to {c.high - 1:+.0%}"
            mode = table.mode_name(c.row.mode)
            shown.add_row(c.row.case, mode, f"{c.factor - 1:+.0%}", noisy, f"[{colour}]{verdict}[/]")
    if shown.row_count:
        console.print(shown)
    counts = ", ".join(f"{len(found.of(verdict))} {verdict}" for verdict in ("slower", "faster", "same"))
    whose = (
        "contenders that did not change differ by up to" if len(sides[0]) == 1 else "a row differs from run to run by"
    )
    console.print(f"{counts}; {whose} {found.noise - 1:.0%} here")
    if found.of("slower"):
        raise typer.Exit(1)
    console.print("Next: gan-fast bench --html report.html")
