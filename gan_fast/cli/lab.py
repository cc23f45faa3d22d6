"""gan-fast lab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_fast.cli import options

if TYPE_CHECKING:
    from gan_fast.lab import Settings

PAGE = ("logistic", "minimax", "wasserstein", "hinge", "relativistic")


def lab(
    objective: Annotated[
        list[str] | None,
        typer.Option(help=f"A name in gan_fast.losses; for --html several; logistic, or {', '.join(PAGE)} if absent."),
    ] = None,
    mixture: Annotated[str | None, typer.Option(help="What is real: ring, grid, line or pair.")] = None,
    penalty: Annotated[
        str | None, typer.Option(help="r1, r2, r1+r2, wgan_gp, dragan, zero_centred_gp or none.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Its weight.")] = None,
    g_lr: Annotated[float | None, typer.Option(help="Learning rate of G.")] = None,
    d_lr: Annotated[float | None, typer.Option(help="Learning rate of D.")] = None,
    n_critic: Annotated[int | None, typer.Option(help="Steps of D to one of G.")] = None,
    minibatch_discrimination: Annotated[
        bool, typer.Option("--minibatch-discrimination", help="D sees how close the points of a batch are.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of the networks and of all random numbers.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Record games into one offline HTML file.")] = None,
    save: Annotated[Path | None, typer.Option(help="Record a game as .mp4, .webp or .gif.")] = None,
    steps: Annotated[int, typer.Option(help="--html, --save: length of a game; a multiple of the frames.")] = 600,
    frames: Annotated[int, typer.Option(help="--html, --save: pictures of a game.")] = 20,
    fps: Annotated[int, typer.Option(min=1, help="--save: pictures a second.")] = 8,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any that is free.")] = 7860,
) -> None:
    """Watch a GAN train on points in the plane, by the engine, losses and penalties that images are trained by.

    In a browser objective, penalty, mixture and rates can be changed while the game goes on. The page is served on
    127.0.0.1 alone, and asks nothing of any other machine.

    **Examples**

    gan-fast lab

    gan-fast lab --objective minimax --penalty none --mixture grid

    gan-fast lab --html lab.html --objective logistic --objective wasserstein --steps 1200

    gan-fast lab --save ring.webp --frames 60
    """
    from gan_fast.lab import Settings

    names = objective or (PAGE if html else ("logistic",))
    if len(names) > 1 and html is None:
        raise ValueError("--objective: several are for --html; give one")
    if html and save:
        raise ValueError("--html, --save: give one")
    given = {
        "mixture": mixture,
        "penalty": penalty,
        "gamma": gamma,
        "g_lr": g_lr,
        "d_lr": d_lr,
        "n_critic": n_critic,
        "minibatch_discrimination": minibatch_discrimination,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    games = [Settings(objective=name, **given) for name in names]
    if html:
        _write(games, steps, frames, html)
    elif save:
        _save(games[0], steps, frames, fps, save)
    else:
        from gan_fast.lab.app import TITLE, make_app

        options.serve(lambda: make_app(games[0]), TITLE, port)


def _write(games: list[Settings], steps: int, frames: int, out: Path) -> None:
    from gan_fast.explorer.page import make_page
    from gan_fast.lab import recording
    from gan_fast.training.checkpoint import write_atomically

    played = {}
    for settings in games:
        with options.progress(steps, f"steps of {settings.objective}") as report:
            played[settings.objective] = recording.record(settings, steps, frames, report)
    first = games[0]
    subtitle = (
        f"{len(games)} games of {steps} steps on the {first.mixture}, penalty {first.penalty}, seed {first.seed}."
    )
    panel = recording.make_panel(played, steps)
    data = make_page([panel], "The GAN lab", subtitle, largest=recording.PAGE_WIDTH).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda file: file.write(data))
    typer.echo(f"{len(games)} games of {steps} steps are in {out} ({len(data) / 1e6:.1f} MB)")
    typer.echo("Next: open it in a browser; it needs nothing else.")


def _save(settings: Settings, steps: int, frames: int, fps: int, out: Path) -> None:
    from gan_fast.lab.recording import record
    from gan_fast.training import sample

    sample.check_animation(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with options.progress(steps, "steps") as report:
        pictures = record(settings, steps, frames, report)
    sample.save_animation(pictures, out, fps)
    typer.echo(f"{steps} steps in {len(pictures)} pictures are in {out} ({out.stat().st_size / 1e6:.1f} MB)")
    typer.echo("Next: gan-fast lab, to change the game while it goes on.")
