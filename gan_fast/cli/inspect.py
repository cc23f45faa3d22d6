"""gan-fast inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Checkpoint of any dialect.")],
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
) -> None:
    """Show what a checkpoint holds, without loading it and without executing anything in it.

    **Examples**

    gan-fast inspect ffhq.pkl

    gan-fast inspect 550000.pt --tensors
    """
    from rich.console import Console
    from rich.table import Table

    from gan_fast.compat import checkpoints

    summary = checkpoints.inspect(file)
    typer.echo(f"{file}: {summary.container}, {summary.nbytes / 1e6:.1f} MB, {len(summary.tensors)} tensors")
    for network in summary.networks:
        facts = ", ".join(f"{key} {value}" for key, value in network.geometry.items())
        typer.echo(f"{network.role} ({network.dialect}): {facts or network.refused}")
    if summary.refused:
        typer.echo(f"not loadable: {summary.refused}")
    if summary.left_out:
        parts = ", ".join(f"{_plain(name)} ({count} tensors)" for name, count in summary.left_out.items())
        typer.echo(f"left out: {parts}")
    for name, value in summary.extras.items():
        typer.echo(f"{_plain(name)} = {_plain(str(value))}")
    if summary.sources:
        typer.echo(f"embeds the source code of {len(summary.sources)} objects, which gan_fast does not execute")
    if tensors:
        table = Table("tensor", "dtype", "shape")
        for name, (dtype, shape) in summary.tensors.items():
            table.add_row(_plain(name), str(dtype).removeprefix("torch."), " ".join(map(str, shape)))
        Console(markup=False).print(table)
    loadable = summary.networks and not any(network.refused for network in summary.networks)
    typer.echo(f"Next: gan-fast convert {file} {file.stem}.safetensors" if loadable else "Next: docs/checkpoints.md")


def _plain(text: str) -> str:
    """At most 200 characters, without those that steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])
