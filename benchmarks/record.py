"""Results files: what was measured, on which machine, at which revision. docs/benchmarks.md describes the schema."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch

from gan_fast.ops.autotune import device_name
from gan_fast.training.checkpoint import write_atomically

T = TypeVar("T")

FOLDER = Path(__file__).resolve().parent / "results"
FORMAT = "gan_fast benchmark 1"
FIGURES = "gan_fast figures 2"

Cell = str | float | list[float]  # a list: of several runs


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds of one contender over its rounds, and its time over ours: medians of neighbours in time."""

    median: float
    q1: float
    q3: float
    rounds: int
    ratio: float  # this contender's time over ours
    low: float | None = None  # 95 % interval of the ratio, by ranks
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case in one mode."""

    case: str
    mode: str
    threads: int  # 0 on a GPU
    network: str = ""  # whose layer this is, or which network
    ours: str  # the contender that is ours, to which ratios and shares refer
    times: dict[str, Timing]
    refused: dict[str, str] = field(default_factory=dict)  # contenders that were wrong here, and how: not timed
    bytes: int | None = None  # moved at least
    flops: int | None = None  # in sums of products, at least
    floor_ms: float | None = None  # what bytes and FLOPs take at this machine's measured ceilings
    fraction: float | None = None  # floor over our time
    memory: dict[str, int] = field(default_factory=dict)  # bytes at the peak, beside what there was before


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What this machine reached at best."""

    threads: int
    dtype: str
    copy_gbs: dict[int, float]  # GB/s of a copy, by the bytes that it reads and writes
    products_gflops: float  # GFLOP/s of a matrix product


@dataclass(frozen=True, kw_only=True)
class Machine:
    device: str
    driver: str = ""
    cpus: int
    load: float  # of the last minute, before the run
    isa: str
    python: str = ""
    torch: str
    triton: str = ""
    gan_fast: str = ""
    revision: str
    date: str
    malloc: str
    quick: bool
    ceilings: list[Ceiling] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Results:
    machine: Machine
    rows: list[Row]
    format: str = FORMAT


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A row of a table: what it holds by the names of the columns."""

    kind: str  # the table
    values: dict[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured outside of a benchmark, and how: tables of whatever columns, less than `Results` knows.

    What is absent is not known.
    """

    format: str = FIGURES
    device: str
    driver: str = ""
    isa: str = ""
    cpus: int | None = None
    torch: str
    triton: str = ""
    python: str = ""
    revision: str
    date: str
    how: str
    rows: list[Figure]


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


def _facts(device: torch.device) -> dict[str, Any]:
    """What `Machine` and `Figures` both say of where something was measured."""
    try:
        from gan_fast import _cpu

        isa = _cpu.isa
    except ImportError:
        isa = "not built"
    return {
        "device": device_name(device),
        "driver": _driver() if device.type == "cuda" else "",
        "cpus": len(os.sched_getaffinity(0)),
        "isa": isa,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "revision": revision(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def machine(device: torch.device, malloc: str, quick: bool, ceilings: list[Ceiling]) -> Machine:
    return Machine(
        **_facts(device),
        load=round(os.getloadavg()[0], 1),
        gan_fast=_version("gan-fast"),
        malloc=malloc,
        quick=quick,
        ceilings=ceilings,
    )


def figures(device: torch.device, how: str, rows: list[Figure]) -> Figures:
    return Figures(**_facts(device), how=how, rows=rows)


def default_path(machine: Machine) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", machine.device.lower()).strip("-")
    return FOLDER / f"{machine.date}-{slug}{'-quick' if machine.quick else ''}.json"


def write(results: Results, path: Path) -> None:
    """A row a line."""
    _write(path, {"format": results.format, "machine": _plain(results.machine)}, results.rows)


def write_figures(figures: Figures, path: Path) -> None:
    """A row a line."""
    head = {"format": figures.format, **_plain(replace(figures, rows=[]))}
    del head["rows"]
    _write(path, head, figures.rows)


def _write(path: Path, head: dict[str, Any], rows: Sequence[Any]) -> None:
    lines = (json.dumps(_plain(row)) for row in rows)
    text = json.dumps(head)[:-1] + ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def read(path: Path) -> Results:
    """Raises ValueError that names the file and what is wrong in it."""
    return _read(path, Results, FORMAT)


def read_figures(path: Path) -> Figures:
    """Raises ValueError that names the file and what is wrong in it."""
    return _read(path, Figures, FIGURES)


def _read(path: Path, kind: type[T], expected: str) -> T:
    try:
        value = json.loads(path.read_text())
        if isinstance(value, dict) and value.get("format", expected) != expected:
            raise ValueError(f"format: got {value['format']!r}, takes {expected!r}")
        return _made(kind, value, "")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path} holds no benchmark results: {error}") from None


def _plain(value: Any) -> Any:
    """What JSON has for a value: of a dataclass the fields that are not at their defaults."""
    if is_dataclass(value):
        return {f.name: _plain(v) for f in fields(value) if (v := getattr(value, f.name)) != _default(f)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _default(f: Any) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


def _made(kind: Any, value: Any, place: str) -> Any:
    """What JSON had as `value`, as a `kind`. Raises ValueError that names the place of what does not fit."""
    where, inner = place or "the file", get_args(kind)
    if is_dataclass(kind):
        hints, needed = get_type_hints(kind), {f.name for f in fields(kind) if _default(f) is MISSING}
        found = _made(dict, value, place)
        inside = {name: f"{place}.{name}".lstrip(".") for name in {*hints, *found}}
        for name in sorted(found.keys() - hints.keys()):
            raise ValueError(f"{inside[name]}: unknown; there are {', '.join(hints)}")
        for name in sorted(needed - found.keys()):
            raise ValueError(f"{inside[name]}: missing")
        return kind(**{name: _made(hints[name], v, inside[name]) for name, v in found.items()})
    if get_origin(kind) is list:
        return [_made(inner[0], v, f"{where}.{i}") for i, v in enumerate(_made(list, value, place))]
    if get_origin(kind) is dict:
        return {inner[0](k): _made(inner[1], v, f"{where}.{k}") for k, v in _made(dict, value, place).items()}
    if isinstance(kind, UnionType):
        for one in inner:
            with contextlib.suppress(ValueError):
                return _made(one, value, place)
        raise ValueError(f"{where}: got {value!r}, takes {kind}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{where}: got {value!r}, takes {kind.__name__}")
    return value
