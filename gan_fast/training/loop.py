"""The training loop: every step is a function of the settings, the step's number and the state before it."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gan_fast.data import BatchSampler, open_data, seeded_generator
from gan_fast.metrics import DigitsMetrics
from gan_fast.models import stylegan2
from gan_fast.training import checkpoint as checkpoints
from gan_fast.training import sample, stats
from gan_fast.training.config import TrainConfig, make_config, network_fields, network_from
from gan_fast.training.curves import draw_curves
from gan_fast.training.ema import averaged
from gan_fast.training.phases import Phases, lazy_adam

RUNS = Path("runs")
GRID_COLUMNS = 10
LOG_STEPS = 20


class Trainer:
    """A training run: its networks, data and state.

    `Trainer(config, run)` starts at step 0; `Trainer.resume(path)` continues from a checkpoint, to the same weights,
    bit for bit, as if the run had never stopped (same machine, same number of threads).

    Args:
        config: the settings.
        run: folder for the log, checkpoints and grids, absent or empty; None: the next free runs/NNNNN-DATA.

    Raises:
        ValueError: `run` holds files already, or the data cannot be read.

    Attributes:
        step: steps done; kimg: thousands of real images shown.
        generator, average, discriminator: G, its moving average (`average.module`), D.
        metrics: digit metrics, where the data are the digits; otherwise None.
    """

    def __init__(self, config: TrainConfig, run: Path | None = None, *, start: checkpoints.Checkpoint | None = None):
        self.config = config
        if run is not None and start is None and run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise ValueError(f"run: {run} exists and is not an empty folder; runs are never overwritten")
        self.device = _device(config.device)
        if self.device.type == "cpu":
            torch.set_num_threads(config.threads or _threads(config.network().img_resolution))
        else:
            # cuDNN's fastest weight gradients add up in no fixed order.
            torch.backends.cudnn.deterministic = True
        network = config.network()
        self.data, self.held_out = open_data(config.data, network.img_resolution, network.img_channels)
        network = config.network(self.data.num_classes) if start is None else network_from(start.network)
        self.network = network
        self.sampler = BatchSampler(
            self.data.labels, config.batch, config.seed, config.class_group if network.c_dim else 1
        )
        self.step = 0
        with torch.random.fork_rng():
            torch.manual_seed(seeded_generator(config.seed, 0, "weights").initial_seed())
            generator, discriminator = stylegan2.build(network)
        self.generator = generator.to(self.device, memory_format=torch.channels_last)
        self.discriminator = discriminator.to(self.device, memory_format=torch.channels_last)
        self.average = averaged(self.generator, config.batch, config.ema_kimg, config.ema_ramp)
        betas = (config.beta1, config.beta2)
        self.g_adam = lazy_adam(self.generator, config.g_lr, betas, None)
        self.d_adam = lazy_adam(self.discriminator, config.d_lr, betas, config.r1_interval if config.gamma else None)
        self.phases = Phases(
            self.generator,
            self.discriminator,
            config.seed,
            config.gamma,
            config.r1_interval,
            config.mode_seeking,
            config.style_mixing,
            config.translate,
        )
        self.metrics = DigitsMetrics() if config.data == "digits" else None
        if self.device.type == "cpu":
            # Values near 1e-40 come up in Adam's moments and cost a hundred times a normal addition. NumPy, which the
            # data import, warns about the switch: hence at the end.
            torch.set_flush_denormal(True)
        # Made last, so that bad settings leave no folder behind.
        self.run_folder = new_run_folder(config.data) if run is None else run
        self.run_folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def resume(cls, path: str | Path, **changes: object) -> Trainer:
        """Continue from a checkpoint file, or from the newest one in a run's folder.

        Args:
            path: the file or the folder.
            changes: settings to change: kimg, device and threads may.

        Raises:
            ValueError: no such file, a damaged one (named), or a change of another setting.
        """
        fixed = changes.keys() - {"kimg", "device", "threads"}
        if fixed:
            raise ValueError(
                f"{', '.join(sorted(fixed))}: a resumed run keeps its settings; only kimg, device, threads may change"
            )
        file = checkpoints.find_checkpoint(path)
        start = checkpoints.load_checkpoint(file)
        optimizers = checkpoints.load_optimizers(file, start.step)
        config = make_config(**{**start.config, **changes})
        trainer = cls(config, file.parent, start=start)
        trainer.generator.load_state_dict(start.weights["G"])
        trainer.average.module.load_state_dict(start.weights["G_ema"])
        trainer.discriminator.load_state_dict(start.weights["D"])
        trainer.g_adam.load_state_dict(optimizers["G"])
        trainer.d_adam.load_state_dict(optimizers["D"])
        trainer.step = start.step
        trainer.average.n_averaged.fill_(start.step)
        stats.rewind(trainer.run_folder, start.step)
        return trainer

    @property
    def kimg(self) -> float:
        return self.step * self.config.batch / 1000

    def train_step(self) -> dict[str, float]:
        """One step: Gmain, Dmain and, when due, Dr1, each with its own step of Adam, then the average.

        Returns:
            the mean loss of each phase that ran.

        Raises:
            FloatingPointError: a loss is NaN or infinite; the error names phase and step.
        """
        step, phases = self.step, self.phases
        x, c = self.data.batch(self.sampler(step), self.device)
        c = c[:, : self.network.c_dim]
        losses = {}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            self.discriminator.requires_grad_(False)
            losses["Gmain"] = _update(self.g_adam, phases.g_main(step, c))
            self.discriminator.requires_grad_(True)
            losses["Dmain"] = _update(self.d_adam, phases.d_main(step, x, c))
            if self.config.gamma and step % self.config.r1_interval == 0:
                losses["Dr1"] = _update(self.d_adam, phases.d_r1(step, x, c))
        values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
        for phase, value in values.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss of {phase} is {value} at step {step} ({self.kimg:.2f} kimg)")
        self.average.update_parameters(self.generator)
        self.step += 1
        return values

    def run(
        self,
        report: Callable[[stats.Record], None] = lambda record: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the end, with evaluations, grids, checkpoints and the log.

        Args:
            report: gets each record of the log as it is written.
            should_stop: asked after each step; True saves a checkpoint and ends the run early.

        Returns:
            whether the run came to its end.
        """
        config, started, first = self.config, time.perf_counter(), self.step
        sums: dict[str, list[float]] = {}
        if self.step == 0:
            self._save_reals()
            self._evaluate(report)
        while self.step < config.steps:
            for phase, value in self.train_step().items():
                sums.setdefault(phase, []).append(value)
            done = self.step == config.steps
            if self.step % LOG_STEPS == 0 or done:
                means = {phase: sum(v) / len(v) for phase, v in sums.items()}
                # As R1 is weighted by its interval; the log has the penalty itself.
                if "Dr1" in means:
                    means["r1"] = means.pop("Dr1") * 2 / (config.gamma * config.r1_interval)
                seconds = (time.perf_counter() - started) / ((self.step - first) * config.batch / 1000)
                self._record(report, kind="progress", seconds_per_kimg=seconds, **means)
                sums.clear()
            if done or self._every(config.eval_kimg):
                self._evaluate(report)
            if done or self._every(config.checkpoint_kimg):
                self.save()
            if not done and should_stop():
                self.save()
                return False
        return True

    def save(self) -> Path:
        """Write a checkpoint of the state as it is, and return its path."""
        weights = {"G": self.generator, "G_ema": self.average.module, "D": self.discriminator}
        return checkpoints.save_checkpoint(
            self.run_folder,
            checkpoints.Checkpoint(
                self.step,
                self.config.model_dump(),
                network_fields(self.network),
                self.data.class_names,
                {name: module.state_dict() for name, module in weights.items()},
            ),
            {"G": self.g_adam.state_dict(), "D": self.d_adam.state_dict()},
            self.config.keep_checkpoints,
        )

    def grid_path(self) -> Path:
        """Where the grid of the present step is."""
        return self.run_folder / f"fakes-{self.step:08d}.png"

    def _every(self, kimg: float) -> bool:
        return self.step % max(1, round(kimg * 1000 / self.config.batch)) == 0

    def _record(self, report: Callable[[stats.Record], None], **values: object) -> None:
        record = {"kind": values.pop("kind"), "step": self.step, "kimg": self.kimg, **values}
        stats.append(self.run_folder, record)
        report(record)

    def _evaluate(self, report: Callable[[stats.Record], None]) -> None:
        generator = self.average.module
        labels, columns = _grid_labels(self.network.c_dim)
        images = sample.draw(generator, range(len(labels)), labels)
        sample.save_png(sample.grid(images, columns), self.grid_path())
        values: dict[str, object] = {"grid": self.grid_path().name}
        if self.metrics is not None:
            labels = self.metrics.labels
            images = sample.draw(generator, range(len(labels)), labels)
            values |= self.metrics(images, labels if self.network.c_dim else None)
        self._record(report, kind="evaluation", **values)
        if self.metrics is not None:
            picture = draw_curves(stats.evaluations(self.run_folder), self.metrics.real_halves)
            sample.save_png(picture, self.run_folder / "curves.png")

    def _save_reals(self) -> None:
        # The grid has a row for each class: a member a column, the first again where a class has too few.
        labels, columns = _grid_labels(self.data.num_classes)
        members = [torch.nonzero(self.data.labels == k)[:, 0] for k in range(max(self.data.num_classes, 1))]
        picks = [members[k][i % len(members[k])] for i, k in enumerate(labels.tolist())]
        sample.save_png(sample.grid(self.data.images[torch.stack(picks)], columns), self.run_folder / "reals.png")


def new_run_folder(data: str, root: Path = RUNS) -> Path:
    """Make and return root/<number>-<name of the data>, with the lowest number above all those there."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = [int(p.name[:5]) for p in _numbered(root)]
    folder = root / f"{max(numbers, default=-1) + 1:05d}-{Path(data).name}"
    folder.mkdir()
    return folder


def latest_run(root: Path = RUNS) -> Path:
    """The run under `root` with the highest number among those that hold a checkpoint.

    Raises:
        ValueError: there is none.
    """
    for run in sorted(_numbered(root), reverse=True) if root.is_dir() else []:
        if checkpoints.list_checkpoints(run):
            return run
    raise ValueError(f"latest: no run with a checkpoint in {root.resolve()}")


def _numbered(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if p.is_dir() and p.name[:5].isdigit() and p.name[5:6] == "-"]


@contextmanager
def stop_signals() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within the block SIGINT and SIGTERM are noted, not obeyed; the value tells which came, or None."""
    caught: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, lambda number, _: caught.append(signal.Signals(number))) for s in numbers]
    try:
        yield lambda: caught[0] if caught else None
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def load_generator(path: str | Path) -> tuple[stylegan2.Generator, checkpoints.Checkpoint]:
    """The averaged generator of a run's newest checkpoint, or of a checkpoint file, on the CPU.

    Raises:
        ValueError: no such file, or a damaged one; it is named.
    """
    checkpoint = checkpoints.load_checkpoint(checkpoints.find_checkpoint(path))
    generator, _ = stylegan2.build(network_from(checkpoint.network))
    generator.load_state_dict(checkpoint.weights["G_ema"])
    return generator.eval().requires_grad_(False), checkpoint


def _update(adam: torch.optim.Adam, loss: torch.Tensor) -> torch.Tensor:
    loss = loss.mean()
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()
    return loss.detach()


def _grid_labels(num_classes: int) -> tuple[torch.Tensor, int]:
    rows = min(num_classes, 20) or GRID_COLUMNS
    labels = torch.arange(rows) if num_classes else torch.zeros(rows, dtype=torch.int64)
    return labels.repeat_interleave(GRID_COLUMNS), GRID_COLUMNS


def _threads(resolution: int) -> int:
    # Small layers gain little from a second thread (a third at 16x16), and lose everything to waiting at barriers
    # as soon as something else wants the cores.
    return 1 if resolution <= 32 else os.cpu_count() or 1


def _device(name: str) -> torch.device:
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator()
        return torch.device("cuda" if accelerator is not None and accelerator.type == "cuda" else "cpu")
    return torch.device(name)
