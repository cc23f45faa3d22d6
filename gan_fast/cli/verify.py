"""gan-fast verify."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gan_fast import testing

SCHEMA = 1
REPRODUCERS = 5  # of as many failing runs; the JSON file names every failure


def verify(
    ops: Annotated[list[str] | None, typer.Option("--ops", "--op", help="Only these; commas between.")] = None,
    backends: Annotated[
        list[str] | None, typer.Option("--backends", "--backend", help="Only these; commas between.")
    ] = None,
    dtypes: Annotated[list[str] | None, typer.Option("--dtypes", "--dtype", help="Only these; commas between.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="Also so many drawn calls of each op, for long fuzzing.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the first drawn call.")] = 0,
    against: Annotated[
        str, typer.Option(help="Instead of ours: a module, by path or name, with functions like ours.")
    ] = "",
    json: Annotated[Path | None, typer.Option(help="Write results and failures to this file.")] = None,
) -> None:
    """Hold every kernel on this machine against the float64 reference.

    Every op, backend, dtype, layout and route: values, gradients and gradients of gradients, over all options and odd
    sizes; equal bits at a second run; finite differences. Outputs hold NaN before each launch. Without a GPU the Triton
    kernels run in Triton's interpreter. For a failure a small program is printed that reproduces it.

    Ends with exit code 1 if anything is wrong, 2 if nothing could be run.

    **Examples**

    gan-fast verify

    gan-fast verify --ops bias_act,upfirdn2d --backends cpu --samples 1000 --seed 7 --json verified.json

    gan-fast verify --against path/to/their_ops.py
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from gan_fast import testing
    from gan_fast.ops.backends import BACKENDS, FLOATS

    op_names = names_of("--ops", ops, testing.OPS)
    if against:
        if backends:
            raise ValueError("--backends: names ours, and --against another implementation")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        runs, refused = testing.plan_against(op_names, testing.load(against), device)
    else:
        runs, refused = testing.plan(op_names, names_of("--backends", backends, tuple(BACKENDS)))
    kinds = names_of("--dtypes", dtypes, tuple(map(_short, FLOATS)))
    runs = [run for run in runs if _short(run.dtype) in kinds]
    if not runs:
        why = "gan-fast doctor says why" if not against else f"takes functions named {', '.join(op_names)}"
        reason = refused[0] if refused else f"no run in {', '.join(kinds)}"
        raise ValueError(f"nothing to verify: {reason} ({why})")

    table = Table(
        title="Largest error, as a share of what is allowed",
        caption="float32 and float64 against the float64 reference; half precision against twice the reference's own",
    )
    for column in ("op", "backend", "dtype", "checks", *testing.ASPECTS, "verdict"):
        table.add_column(column, justify="left" if column in ("op", "backend", "dtype", "verdict") else "right")
    console = Console()
    if not console.is_terminal:
        console.width = 140
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows: list[dict[str, Any]] = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("verify", total=sum(len(testing.samples(r.op)) + samples for r in runs))
        for run in runs:
            progress.update(bar, description=f"{run.op} {testing.name_of(run.backend)} {_short(run.dtype)}")
            row = _row(run, samples, seed, lambda: progress.advance(bar))
            rows.append(row)
            shares = [f"{row['worst'][a]:.2f}" if a in row["worst"] else "-" for a in testing.ASPECTS]
            wrong = len(row["failures"])
            verdict = f"[red]{wrong} WRONG[/]" if wrong else "[green]ok[/]" if row["checks"] else "not run"
            table.add_row(row["op"], row["backend"], row["dtype"], str(row["checks"]), *shares, verdict)
            if row["declined"]:
                refused.append(f"{run.op} on {row['backend']} {row['dtype']}: it declines {row['declined']} samples")
    failing = [(row, run) for row, run in zip(rows, runs, strict=True) if row["failures"]]
    with console.status("Making failures smaller"):
        for row, run in failing[:REPRODUCERS]:
            row["reproducer"] = testing.snippet(testing.shrink(row["sample"], run), run)

    console.print(table)
    for reason in refused:
        console.print(f"not run: {reason}", highlight=False)
    for row, _ in failing:
        for failure in row["failures"][:4]:
            console.print(failure, highlight=False, markup=False)
    for row, _ in failing[:REPRODUCERS]:
        console.print(f"\n{row['reproducer']}", highlight=False, markup=False, soft_wrap=True)
    if json:
        _write(json, rows, refused, samples, seed)
        console.print(f"Results: {json}", highlight=False)
    if failing:
        wrong = sum(len(row["failures"]) for row in rows)
        console.print(f"[red]{wrong} outputs are wrong[/]. The programs above reproduce the first: python FILE")
        raise typer.Exit(1)
    if not any(row["checks"] for row in rows):
        raise ValueError(f"nothing was verified: {refused[-1]}")
    console.print("Everything that ran matches the reference. Next: gan-fast train")


def names_of(option: str, given: list[str] | None, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The names given, separated by commas too; all that are allowed if none is."""
    names = tuple(name.strip() for value in given or () for name in value.split(","))
    if unknown := set(names) - set(allowed):
        raise ValueError(f"{option}: got {', '.join(sorted(unknown))}, takes {', '.join(allowed)}")
    return names or allowed


def _short(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _row(run: testing.Run, drawn: int, seed: int, advance: Callable[[], object]) -> dict[str, Any]:
    """What became of a run: "sample" is the first that failed, "declined" how many a module said it does not take."""
    from gan_fast import testing

    row = {"op": run.op, "backend": testing.name_of(run.backend), "dtype": _short(run.dtype), "device": run.device}
    row |= {"samples": 0, "checks": 0, "declined": 0, "worst": {}, "failures": []}
    drawn_calls = (testing.draw(run.op, seed + i) for i in range(drawn))
    for sample in itertools.chain(testing.samples(run.op), drawn_calls):
        checks = list(testing.verify(sample, run))
        row["samples"] += bool(checks)
        row["checks"] += len(checks)
        row["declined"] += not checks and testing.judges(sample, run.dtype)
        for check in checks:
            row["worst"][check.aspect] = max(row["worst"].get(check.aspect, 0.0), check.share)
            if not check.passed:
                row.setdefault("sample", sample)
                row["failures"].append(str(check))
        advance()
    return row


def _write(path: Path, rows: list[dict[str, Any]], refused: list[str], samples: int, seed: int) -> None:
    import importlib.metadata
    import math
    import platform

    import torch

    def plain(row: dict[str, Any]) -> dict[str, Any]:
        worst = {aspect: share if math.isfinite(share) else "inf" for aspect, share in row["worst"].items()}
        return {k: v for k, v in row.items() if k != "sample"} | {"worst": worst}

    about = {
        "schema": SCHEMA,
        "passed": not any(row["failures"] for row in rows),
        "torch": torch.__version__,
        "triton": importlib.metadata.version("triton"),
        "processor": platform.processor() or platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "samples": samples,
        "seed": seed,
        "not_run": refused,
        "runs": [plain(row) for row in rows],
    }
    write_json(path, about)


def write_json(path: Path, content: dict[str, Any]) -> None:
    import json

    from gan_fast.training.checkpoint import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write((json.dumps(content, indent=2) + "\n").encode()))
