"""Training runs: settings, phases, loop, checkpoints."""

from gan_fast.training.config import TrainConfig, load_config, make_config
from gan_fast.training.loop import Trainer, load_generator, new_run_folder, stop_signals

__all__ = ["TrainConfig", "Trainer", "load_config", "load_generator", "make_config", "new_run_folder", "stop_signals"]
