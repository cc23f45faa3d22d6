"""gan-fast kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

KEPT = ("op", "backend", "chip", "name", "threads", "registers", "local", "shared", "occupancy", "instructions")


def kernels(
    ops: Annotated[list[str] | None, typer.Option(help="Only these; commas between.")] = None,
    backends: Annotated[list[str] | None, typer.Option(help="triton, cuda; commas between.")] = None,
    chips: Annotated[str, typer.Option(help="sm_80, sm_90, sm_100, sm_120; commas between.")] = "sm_90",
    json: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
) -> None:
    """Compile every Triton and CUDA kernel for GPUs that need not be there, and show what they are made of.

    Registers of a thread, bytes of spills, shared memory of a block, occupancy (warps resident together, of those that
    could be), matrix instructions (of warps, or of groups of warps), loads and stores of 16 bytes. Triton kernels are
    compiled for the sizes of StyleGAN2's layers; CUDA kernels are read from the built module, or compiled by nvcc.

    Ends with exit code 1 if a kernel spills or falls short of what is asked of it (docs/verification.md).

    **Examples**

    gan-fast kernels

    gan-fast kernels --ops upfirdn2d,bias_act --backends cuda --chips sm_80,sm_90,sm_120 --json kernels.json
    """
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from gan_fast.cli.verify import names_of, write_json
    from gan_fast.testing import static

    op_names = names_of("--ops", ops, tuple(dict.fromkeys(op for there in static.OPS.values() for op in there)))
    wanted = names_of("--backends", backends, tuple(static.OPS))
    chip_names = names_of("--chips", [chips], tuple(static.CHIPS))
    refused = {backend: reason for backend in wanted if (reason := static.missing(backend))}
    if set(wanted) == set(refused):
        raise ValueError("; ".join(f"{backend}: {reason}" for backend, reason in refused.items()))
    pairs = [(op, b) for op in op_names for b in wanted if b not in refused and op in static.OPS[b]]
    table = Table(title=f"Kernels for {', '.join(chip_names)}")
    numbers = ("registers", "spills", "shared", "occupancy", "mma", "wgmma", "wide loads", "wide stores")
    for column in ("kernel", "backend", "chip", *numbers):
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    console = Console()
    if not console.is_terminal:
        console.width = 160
    rows, wrong = [], []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("compile", total=len(pairs))
        for op, backend in pairs:
            progress.update(bar, description=f"{op} by {backend}")
            for k in static.kernels(op, backend, chip_names):
                counts = {name: getattr(k, name) for name in ("mma", "wgmma", "wide_loads", "wide_stores")}
                figures = (k.registers, k.local, k.shared, f"{k.occupancy:.0%}", *counts.values())
                broken = static.broken(k)
                table.add_row(k.name, backend, k.chip, *map(str, figures), style="red" if broken else None)
                rows.append({name: getattr(k, name) for name in KEPT} | counts | {"broken": broken})
                wrong += broken
            progress.advance(bar)
    console.print(table)
    for backend, reason in refused.items():
        console.print(f"not compiled: {backend}: {reason}", highlight=False)
    for line in wrong:
        console.print(line, highlight=False, markup=False)
    if json:
        write_json(json, {"schema": 1, "chips": chip_names, "not_compiled": refused, "kernels": rows})
        console.print(f"Results: {json}", highlight=False)
    if wrong:
        console.print(f"[red]{len(wrong)} limits are broken[/]")
        raise typer.Exit(1)
    console.print(f"{len(rows)} kernels, all within their limits. Next: gan-fast verify")
