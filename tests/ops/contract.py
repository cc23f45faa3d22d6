"""Which backends the contract is held against: those whose source file bears the op's name."""

import zlib
from pathlib import Path

import pytest
import torch

from gan_fast.ops.backends import BACKENDS, COMPOSED
from gan_fast.testing import Sample, parts_of, samples

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"cpu": "csrc/cpu/{}.cpp", "triton": "kernels/{}.py", "cuda": "csrc/cuda/{}.cu"}
CUDA = torch.cuda.is_available()


def backends_of(op: str) -> list[str]:
    """CUDA kernels need a GPU here; without one tests/csrc/test_cuda_on_cpu.py executes them on the CPU."""

    found = [b for b in SOURCES if _has(b, parts_of(op)) or _has(b, COMPOSED.get(op, parts_of(op)))]
    return [b for b in found if b != "cuda" or CUDA]


def is_interpreted(backend: str) -> bool:
    return backend == "triton" and not CUDA


def marks_of(backend: str) -> tuple[pytest.MarkDecorator, ...]:
    """Of what is tried on a backend only to be thorough."""
    return (pytest.mark.exhaustive,) if is_interpreted(backend) else ()


def samples_of(op: str, backend: str) -> tuple[Sample, ...]:
    """All; or a few: of an op that a backend composes of others, which have all of theirs, and of convolutions in

    Triton's interpreter, whose launchers tests/kernels holds against all shapes.
    """
    if op == "modulated_conv2d" and is_interpreted(backend):
        return samples(op)[::4]
    return samples(op) if _has(backend, parts_of(op)) else samples(op)[::8]


def _has(backend: str, parts: tuple[str, ...]) -> bool:
    return all((ROOT / SOURCES[backend].format(part)).exists() for part in parts)


def device_of(backend: str) -> torch.device:
    return torch.device("cuda" if CUDA and backend != "cpu" else "cpu")


def dtypes_of(backend: str) -> tuple[torch.dtype, ...]:
    return BACKENDS[backend].dtypes()


def dtypes_for(sample: Sample, backend: str) -> tuple[torch.dtype, ...]:
    """All that the backend takes; of an interpreted call, which takes long, one of them, another for each sample."""
    dtypes = dtypes_of(backend)
    if not is_interpreted(backend):
        return dtypes
    return (dtypes[zlib.crc32(str(sample).encode()) % len(dtypes)],)
