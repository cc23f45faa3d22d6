"""gan-fast train."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gan_fast.training import TrainConfig, Trainer

PLAIN_SECONDS = 10.0
# Metric in the log, its name in tables, and how it is written.
METRICS = (
    ("fd_digits", "FD_digits (lower is better)", "{:.2f}"),
    ("precision", "precision", "{:.3f}"),
    ("recall", "recall", "{:.3f}"),
    ("density", "density", "{:.3f}"),
    ("coverage", "coverage", "{:.3f}"),
    ("classes", "classes covered", "{:d}"),
    ("class_accuracy", "class accuracy", "{:.3f}"),
    ("samples", "samples", "{:d}"),
)
LOSSES = (("Gmain", "G"), ("Dmain", "D"), ("penalty", "penalty"))


def train(
    data: Annotated[str | None, typer.Option(help="'digits', or the path of an image folder.")] = None,
    preset: Annotated[str | None, typer.Option(help="Network and its settings, by name.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Length: thousands of real images shown.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the R1 penalty.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes the run, with the other settings.")] = None,
    outdir: Annotated[
        Path | None, typer.Option(help="Folder of the run; the next free runs/NNNNN-DATA if absent.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Run folder, checkpoint file, or 'latest'.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings as TOML; the other options go over it.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; 0: one up to 32x32, else one a core.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, value as in TOML.")
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print all settings as TOML, and stop.")] = False,
) -> None:
    """Train a generator; with no options, a class-conditional StyleGAN2 on real handwritten digits.

    The run's folder gets log.jsonl, checkpoints, and grids of fixed latents (fakes-STEP.png, a row a class). Ctrl-C
    saves a checkpoint first. The same command gives the same weights again.

    **Examples**

    gan-fast train

    gan-fast train --seed 1 --kimg 10 --outdir runs/short

    gan-fast train --resume latest --kimg 80

    gan-fast train --data photos/ --preset cifar --set eval_kimg=50 --set style_mixing=0.9

    gan-fast train --print-config > settings.toml
    """
    from rich.console import Console

    given: dict[str, Any] = {
        key: value
        for key, value in {
            "data": data,
            "preset": preset,
            "kimg": kimg,
            "batch": batch,
            "gamma": gamma,
            "seed": seed,
            "device": device,
            "threads": threads,
        }.items()
        if value is not None
    } | _parse_settings(setting or [])
    from gan_fast.training import Trainer, latest_run, load_config, make_config, stop_signals

    console = Console(highlight=False)
    if resume is not None:
        if config is not None or outdir is not None:
            raise ValueError(
                "--resume: a resumed run keeps its settings and its folder; give no --config and no --outdir"
            )
        trainer = Trainer.resume(latest_run() if resume == "latest" else resume, **given)
        if trainer.step >= trainer.config.steps:
            raise ValueError(f"--resume: {trainer.run_folder} has its {trainer.kimg:g} kimg; ask for more with --kimg")
        console.print(f"Resuming {trainer.run_folder} at {trainer.kimg:.1f} kimg", soft_wrap=True)
    else:
        settings = make_config(**{**(load_config(config) if config else {}), **given})
        if print_config:
            typer.echo(_as_toml(settings))
            return
        trainer = Trainer(settings, outdir)
    _describe(console, trainer)
    with stop_signals() as stopped, _progress(console, trainer) as report:
        finished = trainer.run(report, lambda: stopped() is not None)
    if not finished:
        console.print(f"Stopped by {stopped().name} at {trainer.kimg:.1f} kimg; the state is saved. To go on:")
        console.print(f"gan-fast train --resume {trainer.run_folder}", soft_wrap=True)
        raise typer.Exit(128 + stopped())
    _summarise(console, trainer)


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
        if "fd_digits" in v:
            parts.append(f"FD_digits {v['fd_digits']:.2f}  recall {v['recall']:.3f}")
        return "  ".join(parts)

    def _eta(self) -> str:
        if "seconds_per_kimg" not in self.values:
            return ""
        left = (self.trainer.config.kimg - self.values["kimg"]) * self.values["seconds_per_kimg"]
        return f"  ETA {int(left) // 60}:{int(left) % 60:02d}"


def _summarise(console: Any, trainer: Trainer) -> None:
    from rich.table import Table

    from gan_fast.training.stats import evaluations

    run = trainer.run_folder
    records = evaluations(run)
    if trainer.metrics is not None:
        first, last, halves = records[0], records[-1], trainer.metrics.real_halves
        table = Table(title=f"{last['kimg']:g} kimg")
        for column in ("", "first", "last", "real halves"):
            table.add_column(column, justify="right" if column else "left")
        for key, name, form in METRICS:
            if key in last:
                table.add_row(name, *(form.format(values[key]) for values in (first, last, halves)))
        console.print(table)
        console.print(f"Curves over the run: {run / 'curves.png'}", soft_wrap=True)
        console.print("real halves: one half of the real digits measured against the other, as the generated ones are.")
    else:
        console.print("No metrics: there is no feature network for these data; judge by the grids and the losses.")
    console.print(
        f"Grid: {trainer.evaluation.grid_path(trainer.step)}   (real images: {run / 'reals.png'}; log: {run / 'log.jsonl'})",
        soft_wrap=True,
    )
    names = trainer.data.class_names
    choice = f" --classes {names[min(3, len(names) - 1)]}" if trainer.network.c_dim else ""
    console.print(f"Next: gan-fast generate {run}{choice} --psi 0.7", soft_wrap=True)
