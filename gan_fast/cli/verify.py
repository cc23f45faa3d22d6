"""gan-fast verify."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def verify(
    op: Annotated[list[str] | None, typer.Option(help="Only this op; may be repeated.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
) -> None:
    """Hold every kernel on this machine against the float64 reference.

    Every op, backend, dtype and route: values, gradients and gradients of gradients, over all options, layouts and
    odd sizes. Without a GPU the Triton kernels run in Triton's interpreter. Ends with exit code 1 if anything is wrong.

    **Examples**

    gan-fast verify

    gan-fast verify --op bias_act --backend cpu
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from gan_fast import testing
    from gan_fast.ops import backends

    for name, given, allowed in (("--op", op, testing.OPS), ("--backend", backend, tuple(backends.BACKENDS))):
        if unknown := set(given or ()) - set(allowed):
            raise ValueError(f"{name}: got {', '.join(sorted(unknown))}, takes {', '.join(allowed)}")
    runs, refused = testing.plan(op or testing.OPS, backend or tuple(backends.BACKENDS))
    table = Table(
        title="Largest error, as a share of what is allowed",
        caption="float32 and float64 against the float64 reference; half precision against twice the reference's own",
    )
    for column in ("op", "backend", "dtype", "checks", *testing.ORDERS, "verdict"):
        numbers = column == "checks" or column in testing.ORDERS
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    console = Console()
    if not console.is_terminal:
        console.width = 120
    wrong: list[str] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("verify", total=sum(len(testing.samples(r.op)) for r in runs))
        for run in runs:
            worst = dict.fromkeys(testing.ORDERS, 0.0)
            failures: list[str] = []
            count = 0
            for sample in testing.samples(run.op):
                for check in testing.verify(sample, run):
                    count += 1
                    worst[check.order] = max(worst[check.order], check.share)
                    if not check.passed:
                        failures.append(str(check))
                progress.advance(bar)
            verdict = f"[red]{len(failures)} WRONG[/]" if failures else "[green]ok[/]"
            shares = [f"{worst[order]:.2f}" for order in testing.ORDERS]
            table.add_row(run.op, run.backend, str(run.dtype).removeprefix("torch."), str(count), *shares, verdict)
            wrong += failures
    console.print(table)
    for reason in refused:
        console.print(f"not run: {reason}", highlight=False)
    for failure in wrong[:20]:
        console.print(failure, highlight=False, markup=False)
    if not runs:
        raise ValueError("nothing to verify: no backend is available (gan-fast doctor says why)")
    if wrong:
        console.print(f"[red]{len(wrong)} outputs are wrong[/]")
        raise typer.Exit(1)
    console.print("Every kernel present matches the reference. Next: gan-fast train")
