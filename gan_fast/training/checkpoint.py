"""Checkpoints: weights as safetensors with the run's settings inside, the rest of the engine's state beside them.

    checkpoint-<step>.state.pt       Adam's state, ADA's p, ...: written by torch.save, read with weights_only=True
    checkpoint-<step>.safetensors    G.*, G_ema.*, D.*; written last, so a step is complete when this file is there

Every file is written under another name, flushed to the disk, and then renamed: a crash leaves the old files whole, and
at most a hidden temporary file, which `sweep` deletes. Random numbers and the order of the images are functions of the
seed and the step, so that a checkpoint needs neither.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT = "gan_fast checkpoint 2"
STATE, TEMPORARY = ".state.pt", ".part"
NAME = re.compile(r"checkpoint-(\d{8})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's safetensors file holds.

    Attributes:
        step: steps done.
        config: the run's settings.
        network: the networks' configuration, of `gan_fast.models.to_fields`.
        class_names: of the data.
        data: what they were, as `gan_fast.data.Images.describe` says; empty in files from before it was kept.
        weights: for "G", "D", "G_ema" and further averages: the state dict.
    """

    step: int
    config: dict[str, Any]
    network: dict[str, Any]
    class_names: tuple[str, ...]
    data: dict[str, Any]
    weights: dict[str, dict[str, Tensor]]


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Run `write` on a temporary file beside `path`, flush it to the disk, and rename it to `path`.

    Raises:
        OSError: full disk, read-only folder, ...; it names `path`, which is as it was.
    """
    try:
        _write_atomically(path, write)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write {path}: {reason}; what was there is unharmed") from error


def _write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, state: dict[str, Any], keep: int, best: int | None = None
) -> Path:
    """Write a checkpoint into `folder` and return the safetensors file's path; then delete older ones.

    Args:
        folder: of the run.
        checkpoint: what the safetensors file holds.
        state: the rest of the engine's state.
        keep: how many of the newest checkpoints stay.
        best: the step whose checkpoint stays, too.

    Raises:
        ValueError: a weight is NaN or infinite; nothing is written.
        OSError: full disk, read-only folder, ...; the older checkpoints are whole.
    """
    tensors = {f"{name}.{k}": v.cpu() for name, weights in checkpoint.weights.items() for k, v in weights.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"checkpoint: {name} holds NaN or infinity at step {checkpoint.step}; not saved")
    metadata = {
        "format": FORMAT,
        "step": str(checkpoint.step),
        "config": json.dumps(checkpoint.config),
        "network": json.dumps(checkpoint.network),
        "class_names": json.dumps(checkpoint.class_names),
        "data": json.dumps(checkpoint.data),
    }
    data = save({k: v.detach().contiguous() for k, v in tensors.items()}, metadata)
    # Into memory first: torch.save turns the error of a full disk into one that no longer says so.
    state_data = io.BytesIO()
    torch.save({**state, "step": checkpoint.step}, state_data)
    path = folder / f"checkpoint-{checkpoint.step:08d}.safetensors"
    write_atomically(_state_path(path), lambda file: file.write(state_data.getbuffer()))
    write_atomically(path, lambda file: file.write(data))
    for old in list_checkpoints(folder)[:-keep]:
        if step_of(old) != best:
            old.unlink()
            _state_path(old).unlink(missing_ok=True)
    return path


def sweep(folder: Path) -> None:
    """Delete what a process that was killed while writing has left: temporary files, and state without weights."""
    whole = {_state_path(p).name for p in list_checkpoints(folder)}
    for path in folder.iterdir():
        if path.name.endswith(TEMPORARY) or (path.name.endswith(STATE) and path.name not in whole):
            path.unlink(missing_ok=True)


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(NAME.fullmatch(path.name)[1])


def list_checkpoints(folder: Path) -> list[Path]:
    """The safetensors files of the checkpoints in `folder`, oldest first."""
    return sorted(p for p in folder.iterdir() if NAME.fullmatch(p.name))


def find_checkpoint(path: str | Path) -> Path:
    """A checkpoint file from its own path, or the newest one in a run's folder.

    Raises:
        ValueError: neither is there.
    """
    path = Path(path)
    if path.is_dir():
        found = list_checkpoints(path)
        if not found:
            raise ValueError(f"no checkpoint in {path} (looked for checkpoint-<step>.safetensors)")
        return found[-1]
    if not path.is_file():
        raise ValueError(f"no such run or checkpoint: {path}")
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read the safetensors file of a checkpoint.

    Raises:
        ValueError: the file is missing, damaged, or no checkpoint; it is named.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read the checkpoint {path}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no checkpoint of gan_fast: its format is {metadata.get('format')!r}, not {FORMAT!r}"
        )
    weights: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        network, _, key = name.partition(".")
        weights.setdefault(network, {})[key] = tensor
    config, network, names = (json.loads(metadata[name]) for name in ("config", "network", "class_names"))
    data = json.loads(metadata.get("data", "{}"))
    return Checkpoint(int(metadata["step"]), config, network, tuple(names), data, weights)


def load_state(path: Path, step: int) -> dict[str, Any]:
    """Read the rest of the engine's state that belongs to the checkpoint file `path`.

    Raises:
        ValueError: the file is missing, damaged, or of another step; it is named.
    """
    path = _state_path(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise ValueError(f"cannot read the training state {path}: {error}") from error
    if state.get("step") != step:
        raise ValueError(f"{path} belongs to step {state.get('step')}, but its checkpoint to step {step}")
    return state


def _state_path(path: Path) -> Path:
    return path.with_suffix(STATE)
