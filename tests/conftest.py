"""Fixtures that all tests share. Where there is no GPU, Triton kernels run in Triton's interpreter."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def _process_state() -> None:
    """Each test starts from the same random numbers, and with subnormal numbers, which a training run flushes."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)
