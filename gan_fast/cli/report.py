"""gan-fast report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(help="Run folder, or 'latest'.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the run's folder if absent.")] = None,
) -> None:
    """Draw a run's log as one HTML file: metrics, grids over time, losses, collapse and balance, speed, memory.

    The file holds everything that it shows and asks nothing of the network. A run that goes on can be looked at, too;
    at its end the report is written anyway.

    **Examples**

    gan-fast report

    gan-fast report runs/00003-photos --out photos.html
    """
    from gan_fast.training import latest_run
    from gan_fast.training.report import write_report

    path = write_report(latest_run() if run == "latest" else Path(run), out)
    typer.echo(f"The report is in {path} ({path.stat().st_size / 1e6:.1f} MB)")
    typer.echo("Next: open it in a browser; it needs nothing else.")
