"""Fixtures that all tests share. Where there is no GPU, Triton kernels run in Triton's interpreter."""

import os
from collections.abc import Iterator

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
