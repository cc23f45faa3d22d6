"""gan-fast train."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gan_fast.losses import Objective
    from gan_fast.training import TrainConfig, Trainer
    from gan_fast.training.ranks import Ranks

PLAIN_SECONDS = 10.0
LOSSES = (("Gmain", "G"), ("Dmain", "D"), ("penalty", "penalty"))


def train(
    data: Annotated[str | None, typer.Option(help="'digits', or the path of an image folder.")] = None,
    preset: Annotated[str | None, typer.Option(help="Network and its settings, by name.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Length: thousands of real images shown.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    objective: Annotated[
        str | None, typer.Option(help="The game, by name; or FILE.py:NAME, an Objective of your own.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the R1 penalty.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes the run, with the other settings.")] = None,
    outdir: Annotated[
        Path | None, typer.Option(help="Folder of the run; the next free runs/NNNNN-DATA if absent.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(help="Run folder, checkpoint, or 'latest'; that with --outdir: there, or start."),
    ] = None,
    accept_data: Annotated[
        bool, typer.Option("--accept-data", help="With --resume: go on though the data have changed.")
    ] = False,
    transfer: Annotated[str | None, typer.Option(help="Run or checkpoint whose weights to start from.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="Processes, one a GPU (or with --device cpu a share of cores).")] = 1,
    config: Annotated[Path | None, typer.Option(help="Settings as TOML; the other options go over it.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; 0: one up to 32x32, else one a core.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, value as in TOML.")
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print all settings as TOML, and stop.")] = False,
) -> None:
    """Train a generator; with no options, a class-conditional StyleGAN2 on real handwritten digits.

    With --gpus the command starts itself again under torchrun; to use several machines, run it under torchrun yourself.
    The run's folder gets log.jsonl, checkpoints, and grids of fixed latents (fakes-STEP.png, a row a class). Ctrl-C
    saves a checkpoint first. The same command gives the same weights again.

    **Examples**

    gan-fast train

    gan-fast train --seed 1 --kimg 10 --outdir runs/short

    gan-fast train --resume latest --kimg 80

    gan-fast train --resume latest --outdir runs/mine --kimg 80

    gan-fast train --gpus 2 --device cpu

    gan-fast train --data photos/ --preset auto --set "model={img_resolution=64}" --gpus 8

    gan-fast train --data photos/ --preset cifar --set eval_kimg=50 --set style_mixing=0.9

    gan-fast train --objective my_loss.py:smooth

    gan-fast train --print-config > settings.toml
    """
    from rich.console import Console

    from gan_fast.training.objectives import load_objective

    place, own_objective = objective, None
    if place is not None and ":" in place:
        objective, own_objective = load_objective(place)
    given: dict[str, Any] = {
        key: value
        for key, value in {
            "data": data,
            "preset": preset,
            "kimg": kimg,
            "batch": batch,
            "objective": objective,
            "gamma": gamma,
            "seed": seed,
            "device": device,
            "threads": threads,
            "transfer": transfer,
        }.items()
        if value is not None
    } | _parse_settings(setting or [])
    from gan_fast.training import load_config, make_config, stop_signals
    from gan_fast.training.ranks import ranks_of_torchrun, run_under_torchrun

    elsewhere = config is not None or outdir is not None
    if resume is not None and elsewhere and (resume != "latest" or outdir is None):
        raise ValueError("--resume: a resumed run keeps its settings and its folder; give no --config and no --outdir")
    count = int(os.environ.get("WORLD_SIZE", gpus))
    given = {**(load_config(config) if config else {}), **given}
    settings = None if resume is not None and outdir is None else make_config(count, **given)
    if print_config and settings is not None:
        typer.echo(_as_toml(settings))
        return
    if gpus > 1 and "RANK" not in os.environ:
        run_under_torchrun(gpus, sys.argv[1:])
    with ranks_of_torchrun(settings.device if settings else given.get("device", "auto")) as ranks:
        console = Console(highlight=False, quiet=not ranks.first)
        trainer = _make_trainer(console, ranks, own_objective, settings, given, outdir, resume, accept_data)
        _describe(console, trainer)
        with stop_signals() as stopped, _progress(console, trainer) as report:
            finished = trainer.run(report, lambda: stopped() is not None)
        if not finished:
            name = stopped().name if stopped() else "a signal to another rank"
            console.print(f"Stopped by {name} at {trainer.kimg:.1f} kimg; the state is saved. To go on:")
            own = f" --objective {place}" if own_objective else ""
            console.print(f"gan-fast train --resume {trainer.run_folder}{own}", soft_wrap=True)
            raise typer.Exit(128 + (stopped() or signal.SIGTERM))
        if ranks.first:
            _summarise(console, trainer)


def _make_trainer(
    console: Any,
    ranks: Ranks,
    own_objective: Objective | None,
    settings: TrainConfig | None,
    given: dict[str, Any],
    outdir: Path | None,
    resume: str | None,
    accept_data: bool,
) -> Trainer:
    """A new run, or where `resume` names one that run."""
    from gan_fast.training import Trainer, latest_run
    from gan_fast.training.checkpoint import list_checkpoints

    if resume is None:
        trainer = Trainer(settings, outdir, ranks=ranks, own_objective=own_objective)
    elif outdir is not None and not (outdir.is_dir() and list_checkpoints(outdir)):
        trainer = Trainer(settings, outdir, restart=True, ranks=ranks, own_objective=own_objective)
    else:
        changes = given if outdir is None else settings.model_dump()
        path = resume if resume != "latest" else latest_run() if outdir is None else outdir
        options = {"own_objective": own_objective, "accept_data": accept_data}
        trainer = Trainer.resume(path, ranks=ranks, **options, **changes)
        if trainer.step >= trainer.config.steps:
            raise ValueError(f"--resume: {trainer.run_folder} has its {trainer.kimg:g} kimg; ask for more with --kimg")
        console.print(f"Resuming {trainer.run_folder} at {trainer.kimg:.1f} kimg", soft_wrap=True)
    for line in trainer.transferred:
        console.print(f"Not taken over: {line}", soft_wrap=True)
    return trainer


def _parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    import tomllib

    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set: expected KEY=VALUE, got {setting!r}")
        try:
            parsed[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key.strip()] = value.strip()
    return parsed


def _as_toml(config: TrainConfig) -> str:
    import json

    lines = []
    for key, value in config.model_dump().items():
        if isinstance(value, dict):
            value = "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + "}"
        else:
            value = json.dumps(value)
        lines.append(f"{key} = {value}  # {type(config).model_fields[key].description}")
    return "\n".join(lines)


def _describe(console: Any, trainer: Trainer) -> None:
    size = [
        sum(p.numel() for p in net.parameters()) for net in (trainer.engine.generator, trainer.engine.discriminator)
    ]
    network = trainer.network
    classes = f"{network.c_dim} classes" if network.c_dim else "no classes"
    console.print(
        f"{len(trainer.data)} images, {network.img_resolution}x{network.img_resolution}, {classes}; "
        f"G {size[0]:,} and D {size[1]:,} parameters; {trainer.config.kimg:g} kimg on {trainer.device}; "
        f"run in {trainer.run_folder}",
        soft_wrap=True,
    )


class _progress:
    """Reports records: a live bar on a terminal, else a plain line at each evaluation and about every ten seconds."""

    def __init__(self, console: Any, trainer: Trainer):
        self.console, self.trainer = console, trainer
        self.values: dict[str, Any] = {}
        self.last_line = 0.0
        self.bar: Any = None

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        if self.console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self.bar = Progress(
                BarColumn(bar_width=20),
                TextColumn("{task.description}"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self.task = self.bar.add_task(self._line(), total=self.trainer.config.kimg, completed=self.trainer.kimg)
            self.bar.start()
        return self.report

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def report(self, record: dict[str, Any]) -> None:
        import time

        self.values |= record
        if self.bar is not None:
            self.bar.update(self.task, completed=record["kimg"], description=self._line())
            if record["kind"] == "evaluation":
                self.bar.console.print(self._line())
        elif record["kind"] == "evaluation" or time.monotonic() - self.last_line > PLAIN_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(self._line() + self._eta(), soft_wrap=True)

    def _line(self) -> str:
        v = self.values
        parts = [f"kimg {v.get('kimg', self.trainer.kimg):.2f}/{self.trainer.config.kimg:g}"]
        if "seconds_per_kimg" in v:
            parts.append(f"s/kimg {v['seconds_per_kimg']:.2f}")
        parts += [f"{name} {v[key]:.3g}" for key, name in LOSSES if key in v]
        if "metric_error" in v:
            parts.append(f"metrics failed: {v['metric_error']}")
        elif "recall" in v:
            parts += [f"{key.replace('fd', 'FD', 1)} {v[key]:.2f}" for key in v if key.startswith("fd_")]
            parts.append(f"recall {v['recall']:.3f}")
        return "  ".join(parts)

    def _eta(self) -> str:
        if "seconds_per_kimg" not in self.values:
            return ""
        left = (self.trainer.config.kimg - self.values["kimg"]) * self.values["seconds_per_kimg"]
        return f"  ETA {int(left) // 60}:{int(left) % 60:02d}"


def _summarise(console: Any, trainer: Trainer) -> None:
    from gan_fast.cli import options
    from gan_fast.training.stats import evaluations, scored

    run = trainer.run_folder
    records = evaluations(run)
    if found := scored(records):
        first, last = found[0], found[-1]
        columns = {"first": first, "last": last, "real halves": last["real_halves"]}
        console.print(options.scores_table(f"{last['kimg']:g} kimg", columns))
        console.print(options.protocol_line(last["protocol"]), soft_wrap=True)
        console.print(f"Curves over the run: {run / 'curves.png'}", soft_wrap=True)
    else:
        console.print(f"No metrics: {records[-1].get('metric_error', 'eval_samples is 0')}", soft_wrap=True)
    console.print(f"Report: {run / 'report.html'}", soft_wrap=True)
    grid = trainer.evaluation.grid_path(trainer.step)
    console.print(f"Grid: {grid}   (real images: {run / 'reals.png'}; log: {run / 'log.jsonl'})", soft_wrap=True)
    names = trainer.data.class_names
    choice = f" --classes {names[min(3, len(names) - 1)]}" if trainer.network.c_dim else ""
    console.print(f"Next: gan-fast generate {run}{choice} --psi 0.7", soft_wrap=True)
