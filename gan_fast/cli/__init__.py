"""The gan-fast command. A command is a function in a file of its own here, and a place in COMMANDS or GROUPS.

Commands import torch and the rest of the package when they are called, so that `gan-fast --help` is quick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import typer

from gan_fast.cli.bench import bench, compare
from gan_fast.cli.claims import claims
from gan_fast.cli.convert import convert
from gan_fast.cli.data import build, check
from gan_fast.cli.doctor import doctor
from gan_fast.cli.explore import explore
from gan_fast.cli.export import export
from gan_fast.cli.generate import generate
from gan_fast.cli.inspect import inspect
from gan_fast.cli.kernels import kernels
from gan_fast.cli.lab import lab
from gan_fast.cli.metrics import metrics
from gan_fast.cli.project import project
from gan_fast.cli.report import report
from gan_fast.cli.roofline import roofline
from gan_fast.cli.run import run
from gan_fast.cli.train import train
from gan_fast.cli.verify import verify

COMMANDS = (
    *(train, report, metrics, generate, project, explore, lab, claims),
    *(run, inspect, convert, export),
    *(verify, kernels, roofline, doctor),
)
# name: what the group is for, what it does without a further word, its commands
GROUPS = {
    "data": ("Check and build sets of images.", None, (check, build)),
    "bench": (
        "Time every op and phase against eager PyTorch, torch.compile and the floor; compare two results.",
        bench,
        (compare,),
    ),
}
# what follows the name of a script is the script's
SETTINGS = {run: {"allow_interspersed_args": False}}

app = typer.Typer(
    name="gan-fast",
    help="Fast layers, models and training for StyleGAN-family networks. Start with: gan-fast train",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _with_plain_errors(command: Callable[..., None], group: str = "") -> Callable[..., None]:
    """Bad input and failed runs end in one line on stderr, not in a traceback."""

    @functools.wraps(command)
    def plain(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except (ValueError, OSError, FloatingPointError) as error:
            typer.echo(f"gan-fast {group}{command.__name__}: {error}", err=True)
            raise typer.Exit(1 if isinstance(error, FloatingPointError) else 2) from None

    return plain


for _command in COMMANDS:
    app.command(context_settings=SETTINGS.get(_command))(_with_plain_errors(_command))
for _name, (_help, _alone, _commands) in GROUPS.items():
    _group = typer.Typer(
        help=_help,
        callback=_with_plain_errors(_alone) if _alone else None,
        invoke_without_command=_alone is not None,
        no_args_is_help=_alone is None,
        rich_markup_mode="markdown",
    )
    for _command in _commands:
        _group.command()(_with_plain_errors(_command, f"{_name} "))
    app.add_typer(_group, name=_name)
