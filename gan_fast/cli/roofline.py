"""gan-fast roofline."""

from __future__ import annotations

import typer


def roofline() -> None:
    """Measure how fast this machine copies memory and multiplies matrices: the ceilings of every kernel.

    On a CPU with one thread and with all of them, from sizes that its caches hold to those that they do not; on a GPU
    in float32 and bfloat16.

    **Examples**

    gan-fast roofline
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from gan_fast.benchmarks.roofline import measure
    from gan_fast.ops.autotune import device_name

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        ceilings = [measure(device, 0, dtype) for dtype in (torch.float32, torch.bfloat16)]
    else:
        ceilings = [measure(device, threads) for threads in dict.fromkeys((1, torch.get_num_threads()))]
    table = Table(title=f"Ceilings of {device_name(device)}")
    table.add_column("")
    for ceiling in ceilings:
        table.add_column(
            f"{ceiling.dtype}, {ceiling.threads} threads" if ceiling.threads else ceiling.dtype, justify="right"
        )
    for size in ceilings[0].copy_gbs:
        table.add_row(
            f"copy of {size / 2**20:g} MiB, read and written", *(f"{c.copy_gbs[size]:.1f} GB/s" for c in ceilings)
        )
    table.add_row("matrix product", *(f"{c.products_gflops:,.0f} GFLOP/s" for c in ceilings))
    Console().print(table)
    typer.echo("Next: gan-fast bench --quick shows what share of these each kernel reaches.")
