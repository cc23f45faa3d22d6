"""Results files: what was measured, on which machine, at which revision. docs/benchmarks.md describes the schema."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gan_fast.ops.autotune import device_name
from gan_fast.training.checkpoint import write_atomically

FOLDER = Path(__file__).resolve().parent / "results"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timing(_Strict):
    """Milliseconds of one contender over its rounds, and its time over ours: medians of neighbours in time."""

    median: float
    q1: float
    q3: float
    rounds: int
    ratio: float = Field(description="this contender's time over ours")
    low: float | None = Field(None, description="95 % interval of the ratio, by ranks")
    high: float | None = None


class Row(_Strict):
    """One case in one mode."""

    case: str
    mode: str
    threads: int = Field(description="0 on a GPU")
    network: str = Field("", description="whose layer this is, or which network")
    ours: str = Field(description="the contender that is ours, to which ratios and shares refer")
    times: dict[str, Timing]
    refused: dict[str, str] = Field({}, description="contenders that were wrong here, and how; they are not timed")
    bytes: int | None = Field(None, description="moved at least")
    flops: int | None = Field(None, description="in sums of products, at least")
    floor_ms: float | None = Field(None, description="what bytes and FLOPs take at this machine's measured ceilings")
    fraction: float | None = Field(None, description="floor over our time")
    memory: dict[str, int] = Field({}, description="bytes at the peak, beside what there was before")


class Ceiling(_Strict):
    """What this machine reached at best."""

    threads: int
    dtype: str
    copy_gbs: dict[int, float] = Field(description="GB/s of a copy, by the bytes that it reads and writes")
    products_gflops: float = Field(description="GFLOP/s of a matrix product")


class Machine(_Strict):
    device: str
    driver: str = ""
    cpus: int
    load: float = Field(description="of the last minute, before the run")
    isa: str
    python: str = ""
    torch: str
    triton: str = ""
    gan_fast: str = ""
    revision: str
    date: str
    malloc: str
    quick: bool
    ceilings: list[Ceiling] = []


class Results(_Strict):
    format: Literal["gan_fast benchmark 1"] = "gan_fast benchmark 1"
    machine: Machine
    rows: list[Row]


def revision() -> str:
    """The commit of the source tree, or the version of an installed package."""
    root = FOLDER.parents[1]
    if not (root / ".git").exists():
        return _version("gan-fast")
    command = ["git", "-C", root, "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]


def machine(device: torch.device, malloc: str, quick: bool, ceilings: list[Ceiling]) -> Machine:
    try:
        from gan_fast import _cpu

        isa = _cpu.isa
    except ImportError:
        isa = "not built"
    return Machine(
        device=device_name(device),
        driver=_driver() if device.type == "cuda" else "",
        cpus=len(os.sched_getaffinity(0)),
        load=round(os.getloadavg()[0], 1),
        isa=isa,
        python=platform.python_version(),
        torch=torch.__version__,
        triton=_version("triton"),
        gan_fast=_version("gan-fast"),
        revision=revision(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        malloc=malloc,
        quick=quick,
        ceilings=ceilings,
    )


def default_path(machine: Machine) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", machine.device.lower()).strip("-")
    return FOLDER / f"{machine.date}-{slug}{'-quick' if machine.quick else ''}.json"


def write(results: Results, path: Path) -> None:
    """A row a line."""
    head = results.model_dump(mode="json", exclude={"rows"}, exclude_defaults=False)
    rows = (json.dumps(row.model_dump(mode="json", exclude_defaults=True)) for row in results.rows)
    text = json.dumps(head)[:-1] + ',\n "rows": [\n  ' + ",\n  ".join(rows) + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def read(path: Path) -> Results:
    """Raises ValueError that names the file and what is wrong in it."""
    try:
        return Results.model_validate_json(path.read_text())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path} holds no benchmark results: {place}: {first['msg']}") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error}") from None
