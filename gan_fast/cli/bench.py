"""gan-fast bench, and gan-fast bench compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="A few cases: three minutes on two CPU cores.")] = False,
    ops: Annotated[str, typer.Option(help="Only these, separated by commas; also host, cold and networks.")] = "",
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

    gan-fast bench compare before.json after.json

    gan-fast bench compare main HEAD --ops bias_act
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from gan_fast.benchmarks import record, table
    from gan_fast.benchmarks.measure import Bench, load_contender

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = [name.strip() for name in ops.split(",") if name.strip()]
    measured = Bench(device, quick, names, [load_contender(path) for path in contender or ()])
    jobs, rows = measured.jobs(), []
    if not jobs:
        raise ValueError(f"--ops: nothing of {ops} is in a quick run")
    console = Console()
    if not console.is_terminal:
        console.width = 140
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(jobs))
        for job in jobs:
            progress.update(bar, description=str(job))
            row, _ = job.run()
            rows.append(row)
            progress.advance(bar)
    results = measured.results(rows)
    console.print(table.rich_table(results))
    path = json or Path("runs") / "bench" / record.default_path(results.machine).name
    record.write(results, path)
    console.print(f"Results: {path}")
    refused = {f"{name} on {row.case}, {row.mode}: {why}" for row in rows for name, why in row.refused.items()}
    for line in sorted(refused):
        console.print(f"[red]refused[/] {line}", highlight=False)
    if refused:
        raise typer.Exit(1)
    console.print(f"Next: gan-fast bench compare {path} OTHER.json")
