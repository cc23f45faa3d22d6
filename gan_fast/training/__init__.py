"""Training runs: settings, phases, loop, checkpoints."""

from gan_fast.training.config import TrainConfig, load_config, make_config
from gan_fast.training.loop import Trainer, latest_run, load_generator, stop_signals

__all__ = ["TrainConfig", "Trainer", "latest_run", "load_config", "load_generator", "make_config", "stop_signals"]
