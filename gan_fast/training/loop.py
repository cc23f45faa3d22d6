"""A run: the engine's steps with data, log, evaluations and checkpoints around them."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_fast import models
from gan_fast.data import BatchSampler, ImageSet, open_data, seeded_generator, share
from gan_fast.losses import Objective
from gan_fast.metrics import metrics_for
from gan_fast.training import checkpoint as checkpoints
from gan_fast.training import stats
from gan_fast.training.clock import START
from gan_fast.training.config import AUTO, TrainConfig, make_config
from gan_fast.training.engine import Engine
from gan_fast.training.evaluation import Evaluation, Stopped
from gan_fast.training.health import first_nonfinite
from gan_fast.training.objectives import check_objective
from gan_fast.training.prefetch import Prefetch
from gan_fast.training.progress import Progress
from gan_fast.training.ranks import Ranks
from gan_fast.training.report import write_report
from gan_fast.training.runs import new_run_folder
from gan_fast.training.tensorboard import load_writer, tensorboard_sink
from gan_fast.training.transfer import transfer

LOG_STEPS = 20
CHANGEABLE = {
    *("kimg", "device", "threads", "capture", "tensorboard"),
    *("eval_kimg", "eval_samples", "checkpoint_kimg", "keep_checkpoints", "keep_best"),
}

Report = Callable[[stats.Record], None]


class Trainer:
    """A training run: its networks, data and state.

    `Trainer(config, run)` starts at step 0; `Trainer.resume(path)` continues from a checkpoint, to the same weights,
    bit for bit, as if the run had never stopped (same machine, same number of threads and ranks).

    Args:
        config: the settings.
        run: folder for the log, checkpoints and grids, absent or empty; None: the next free runs/NNNNN-DATA.
        restart: `run` may hold a run that has not come to its first checkpoint; it begins anew.
        ranks: the processes that share the run; each makes its own Trainer, and rank 0 alone writes files.
        start: the checkpoint that `resume` goes on from.
        accept_data: go on where the data are not those of `start`.
        own_objective: what `config.objective` names, if that is none of `gan_fast.losses.OBJECTIVES`.

    Raises:
        ValueError: `run` holds files already, or the data cannot be read, or are others than those of `start`, or the
            batch cannot be shared among ranks.

    Attributes:
        engine: networks, averages, optimisers.
        evaluation: grids and metrics, on rank 0.
        transferred: what `transfer` did not find in the checkpoint it started from.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: Path | None = None,
        *,
        restart: bool = False,
        ranks: Ranks | None = None,
        start: checkpoints.Checkpoint | None = None,
        accept_data: bool = False,
        own_objective: Objective | None = None,
    ):
        self.config = config
        self.ranks = ranks = Ranks() if ranks is None else ranks
        if ranks.first and run is not None and start is None and not _is_free(run, restart):
            raise ValueError(f"run: {run} exists and is not an empty folder; runs are never overwritten")
        check_objective(config.objective, own_objective)
        self.device = _device(config.device, ranks)
        if self.device.type == "cpu":
            torch.set_num_threads(config.threads or _threads(config.network().img_resolution, ranks.count))
        else:
            # cuDNN's fastest weight gradients add up in no fixed order.
            torch.backends.cudnn.deterministic = True
        network = config.network()
        self.data, self.held_out = open_data(
            config.data, network.img_resolution, network.img_channels, crop=config.crop, on_error=config.on_error
        )
        if isinstance(self.data, ImageSet):
            self.data = self.data.to(self.device)
        self._described = self.data.describe()
        self.network = config.network(self.data.c_dim) if start is None else models.from_fields(start.network)
        if start is not None:
            _check_data(start.data, self._described, accept_data)
        if self.network.c_dim not in (0, self.data.c_dim):
            raise ValueError(
                f"data: the networks take conditions of width {self.network.c_dim}, and these have {self.data.c_dim}"
            )
        self._sampler = BatchSampler(
            self.data.labels, config.batch, config.seed, config.class_group if self.network.c_dim else 1
        )
        with torch.random.fork_rng():
            torch.manual_seed(seeded_generator(config.seed, 0, "weights").initial_seed())
            pair = models.build(self.network)
        generator, discriminator = (net.to(self.device, memory_format=torch.channels_last) for net in pair)
        self.transferred: list[str] = []
        if config.transfer and start is None:
            self.transferred = transfer(config.transfer, generator, discriminator)
        self.engine = Engine(
            generator,
            discriminator,
            config.recipe(on_gpu=self.device.type == "cuda"),
            config.seed,
            ranks=ranks,
            accumulate=_parts(config, ranks),
            compile=config.compile,
            capture=captures(config, self.device, ranks),
            objective=own_objective,
        )
        # A run that has done nothing has nothing to save.
        self._saved = 0 if start is None else start.step
        if self.device.type == "cpu":
            # Values near 1e-40 come up in Adam's moments and cost a hundred times a normal addition. NumPy, which the
            # data import, warns about the switch: hence at the end.
            torch.set_flush_denormal(True)
        if config.tensorboard:
            load_writer()
        # Made last, so that bad settings leave no folder behind.
        if ranks.first:
            run = new_run_folder(config.data) if run is None else run
            run.mkdir(parents=True, exist_ok=True)
            checkpoints.sweep(run)
            stats.rewind(run, -1 if start is None else start.step)
            metrics = functools.partial(metrics_for, config.data, self.data, config.eval_samples)
            self._sink = tensorboard_sink(run, self._saved) if config.tensorboard else None
            self.evaluation = Evaluation(run, metrics if config.eval_samples else None, self.data, self.network.c_dim)
        self.run_folder = run

    @classmethod
    def resume(
        cls,
        path: str | Path,
        *,
        ranks: Ranks | None = None,
        accept_data: bool = False,
        own_objective: Objective | None = None,
        **changes: object,
    ) -> Trainer:
        """Continue from a checkpoint file, or from the newest one in a run's folder.

        Args:
            path: the file or the folder.
            ranks: may be more or fewer than before.
            accept_data: go on where the data have changed; images and their order are then others.
            own_objective: needed where the run began with one.
            changes: settings; those in CHANGEABLE may differ from the run's.

        Raises:
            ValueError: no such file, a damaged one (named), a change of another setting, or data that have changed.
        """
        file = checkpoints.find_checkpoint(path)
        start = checkpoints.load_checkpoint(file)
        state = checkpoints.load_state(file, start.step)
        before, config = make_config(**start.config), make_config(**{**start.config, **changes})
        fixed = [k for k, v in before if v != getattr(config, k) and k not in CHANGEABLE]
        check_objective(before.objective, own_objective)
        if "objective" in fixed and before.objective.partition("@")[0] == config.objective.partition("@")[0]:
            raise ValueError(f"objective: the file of {before.objective} has changed since the run began")
        if fixed:
            raise ValueError(
                f"{', '.join(fixed)}: a resumed run keeps its settings; {', '.join(sorted(CHANGEABLE))} may change"
            )
        options = {"accept_data": accept_data, "own_objective": own_objective}
        trainer = cls(config, file.parent, ranks=ranks, start=start, **options)
        trainer.engine.load_state_dict({**state, "weights": start.weights})
        return trainer

    @property
    def step(self) -> int:
        """Steps done."""
        return self.engine.step_number

    @property
    def kimg(self) -> float:
        """Thousands of real images shown."""
        return self.step * self.config.batch / 1000

    def run(self, report: Report = lambda record: None, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end, with evaluations, grids, checkpoints and the log.

        Args:
            report: gets each record of the log as it is written.
            should_stop: asked after each step, or with several ranks at each line of the log, and while metrics are
                computed; True saves a checkpoint and ends the run early.

        Returns:
            whether the run came to its end.

        Raises:
            FloatingPointError: a loss is NaN or infinite; the error names phase, step and layer. The checkpoints, all
                from before that, stay.
        """
        config = self.config
        if self.step == 0 and self.ranks.first:
            self._record(report, "data", {"data": self._described})
            self.evaluation.save_reals()
        with Prefetch(self._batch, device=self.device) as batches:
            progress = Progress(self.engine, config.batch, batches)
            while True:
                done = self.step == config.steps
                logs = self.step % LOG_STEPS == 0 or done
                evaluates = done or self._every(config.eval_kimg)
                saves = done or self._every(config.checkpoint_kimg)
                if logs or evaluates or saves:
                    self._check(progress.losses)
                if logs and progress.losses:
                    self._record(report, "progress", progress.take())
                with progress.paused():
                    if evaluates and self.ranks.first and not self._is_evaluated():
                        saves |= self._evaluate(report, should_stop)
                    if saves:
                        self.save()
                if done:
                    if self.ranks.first:
                        write_report(self.run_folder)
                    return True
                if self.step and (self.ranks.count == 1 or logs) and self.ranks.any(should_stop(), self.device):
                    self._check(progress.losses)
                    self.save()
                    return False
                progress.clock(START)
                batch = batches(self.step)
                progress.clock("data")
                progress.losses.append((self.step, self.engine.step(*batch)))

    def save(self) -> None:
        """Write a checkpoint of this step, on rank 0, unless there is one."""
        if not self.ranks.first or self.step == self._saved:
            return
        state = self.engine.state_dict()
        checkpoints.save_checkpoint(
            self.run_folder,
            checkpoints.Checkpoint(
                self.step,
                self.config.model_dump(),
                models.to_fields(self.network),
                self.data.class_names,
                self._described,
                state.pop("weights"),
            ),
            state,
            self.config.keep_checkpoints,
            self._best(),
        )
        self._saved = self.step

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """This rank's share of the batch of a step, on the device."""
        config, ranks = self.config, self.ranks
        x, c = self.data.batch(share(self._sampler(step), ranks.index, ranks.count, config.class_group), self.device)
        if config.mirror:
            flips = torch.rand(config.batch, generator=seeded_generator(config.seed, step, "mirror")) < 0.5
            flips = share(flips, ranks.index, ranks.count, config.class_group).to(self.device)
            x = torch.where(flips[:, None, None, None], x.flip(3), x)
        return x, c[:, : self.network.c_dim]

    def _every(self, kimg: float) -> bool:
        return self.step % max(1, round(kimg * 1000 / self.config.batch)) == 0

    def _record(self, report: Report, kind: str, values: stats.Record) -> None:
        if self.ranks.first:
            record = {"kind": kind, "step": self.step, "kimg": self.kimg, **values}
            stats.append(self.run_folder, record)
            if self._sink:
                self._sink(record)
            report(record)

    def _is_evaluated(self) -> bool:
        records = stats.evaluations(self.run_folder)
        return bool(records) and records[-1]["step"] == self.step

    def _evaluate(self, report: Report, should_stop: Callable[[], bool]) -> bool:
        """Returns whether this is the best checkpoint so far."""
        try:
            values = self.evaluation(self.engine.averages.modules["G_ema"], self.step, should_stop)
        except Stopped:
            return False
        self._record(report, "evaluation", values)
        self.evaluation.draw_curves()
        return self._best() == self.step

    def _best(self) -> int | None:
        """The step with the lowest value of the metric that keep_best names, with or without its feature space."""
        metric = self.config.keep_best
        records = stats.evaluations(self.run_folder)
        found = [(r[name], r["step"]) for r in records for name in r if name == metric or name.startswith(f"{metric}_")]
        return min(found)[1] if found else None

    def _check(self, losses: list[tuple[int, dict[str, Tensor]]]) -> None:
        """Wait for the device, and raise where a loss is not finite."""
        for step, values in losses:
            for phase, value in values.items():
                if not math.isfinite(value):
                    layer = self._find_nonfinite(phase, step)
                    raise FloatingPointError(
                        f"the loss of {phase} is {float(value)} at step {step}"
                        f" ({step * self.config.batch / 1000:.2f} kimg); first: {layer}"
                    )

    def _find_nonfinite(self, phase: str, step: int) -> str:
        engine = self.engine
        phases = {p.name: p for p in engine.phases}
        engine.step_number = step
        x, c = self._batch(step)
        networks = {"G": engine.generator, "D": engine.discriminator}
        with torch.compiler.set_stance("force_eager"):  # compiled networks do not call hooks
            found = first_nonfinite(networks, lambda: engine.gradients(phases.get(phase, engine.phases[-1]), x, c))
        return found or "no layer, as the weights are by now"


def _is_free(run: Path, restart: bool) -> bool:
    if not run.exists():
        return True
    if not run.is_dir() or checkpoints.list_checkpoints(run):
        return False
    return not any(run.iterdir()) or (restart and (run / stats.LOG).exists())


def _check_data(before: dict[str, Any], now: dict[str, Any], accepted: bool) -> None:
    """Raise ValueError, naming what has changed, unless the data are as a checkpoint has them or `accepted`.

    Where they lie, and which of their files could not be read so far, may differ.
    """
    if accepted or not before:
        return
    changed = [key for key in before | now if key not in ("source", "skipped") and before.get(key) != now.get(key)]
    said = [f"{key} (was {before.get(key)}, is {now.get(key)})" for key in changed if key not in ("classes", "hash")]
    if "classes" in changed:
        classes = before["classes"] | now["classes"]
        said += [f"class {k}" for k in classes if before["classes"].get(k) != now["classes"].get(k)][:3]
    if changed:
        what = ", ".join(said) or "the pixels, or the files' names and sizes, or the labels"
        raise ValueError(
            f"data: changed since the checkpoint: {what}; accept_data (--accept-data) goes on all the same"
        )


def _parts(config: TrainConfig, ranks: Ranks) -> int:
    """How many parts a rank computes its share of the batch in."""
    parts, rest = divmod(config.batch, ranks.count)
    if rest or parts % config.class_group:
        raise ValueError(
            f"batch: {config.batch} images in groups of {config.class_group} cannot be shared among {ranks.count} ranks"
        )
    if config.micro_batch and parts % config.micro_batch:
        raise ValueError(f"micro_batch: must divide a rank's {parts} images of a batch, got {config.micro_batch}")
    return parts // (config.micro_batch or parts)


def captures(config: TrainConfig, device: torch.device, ranks: Ranks) -> bool:
    """Whether phases run as CUDA graphs: as the configuration says, or where that was tried and nothing forbids it.

    A graph takes a batch in one part and networks that stay as they are; all-reduces, torch.compile and unrolled steps
    in graphs are for those who ask for them.
    """
    if config.capture != AUTO:
        return config.capture
    plain = not (config.compile or config.grow_kimg or config.unroll)
    return device.type == "cuda" and ranks.count == 1 and _parts(config, ranks) == 1 and plain


def _threads(resolution: int, ranks: int) -> int:
    # Small layers gain little from a second thread (a third at 16x16), and lose everything to waiting at barriers
    # as soon as something else wants the cores.
    return 1 if resolution <= 32 else max((os.cpu_count() or 1) // ranks, 1)


def _device(name: str, ranks: Ranks) -> torch.device:
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator()
        name = "cuda" if accelerator is not None and accelerator.type == "cuda" else "cpu"
    return torch.device(name, int(os.environ.get("LOCAL_RANK", 0))) if name == "cuda" else torch.device(name)
