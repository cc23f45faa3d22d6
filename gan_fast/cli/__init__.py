"""The gan-fast command. A command is a function in a file of its own here, and a place in COMMANDS.

Commands import torch and the rest of the package when they are called, so that `gan-fast --help` is quick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import typer

from gan_fast.cli.bench import bench, compare
from gan_fast.cli.doctor import doctor
from gan_fast.cli.generate import generate
from gan_fast.cli.roofline import roofline
from gan_fast.cli.train import train
from gan_fast.cli.verify import verify

COMMANDS = (train, generate, verify, bench, roofline, doctor)

app = typer.Typer(
    name="gan-fast",
    help="Fast layers, models and training for StyleGAN-family networks. Start with: gan-fast train",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _with_plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Bad input and failed runs end in one line on stderr, not in a traceback."""

    @functools.wraps(command)
    def run(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except (ValueError, OSError, FloatingPointError) as error:
            typer.echo(f"gan-fast {command.__name__}: {error}", err=True)
            raise typer.Exit(1 if isinstance(error, FloatingPointError) else 2) from None

    return run


for _command in COMMANDS:
    if _command is bench:
        _group = typer.Typer(callback=_with_plain_errors(bench), invoke_without_command=True)
        _group.command()(_with_plain_errors(compare))
        app.add_typer(_group, name="bench")
    else:
        app.command()(_with_plain_errors(_command))
