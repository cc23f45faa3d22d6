"""Fixtures that all tests share. Where there is no GPU, Triton kernels run in Triton's interpreter."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session", autouse=True)
def _autotuning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every op takes its default, whatever this machine has timed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GAN_FAST_AUTOTUNE", "0")
        environment.setenv("GAN_FAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _process_state() -> None:
    """Each test starts from the same random numbers, and with subnormal numbers, which a training run flushes."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a checkpoint, after one step, of a very small generator of 8x8 digits with strong noise."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from gan_fast.training import Trainer, make_config
    from gan_fast.training.checkpoint import find_checkpoint

    model = {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    config = make_config(model=model, batch=8, threads=1, device="cpu", seed=1)
    trainer = Trainer(config, tmp_path_factory.mktemp("runs") / "00000-digits")
    trainer.run(should_stop=lambda: True)
    file = find_checkpoint(trainer.run_folder)
    with safe_open(file, framework="pt") as stored:
        metadata, tensors = stored.metadata(), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if name.endswith("noise_strength"):
            tensor.fill_(0.3)
    save_file(tensors, file, metadata)
    return trainer.run_folder
