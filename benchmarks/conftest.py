"""Options and the results file of `pytest benchmarks`."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import torch
from race import tune_malloc

from gan_fast.ops.autotune import device_name

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="a few cases, two minutes")
    parser.addoption("--results", default="", help="results file (benchmarks/results/<date>-<device>.json)")


def pytest_configure(config: pytest.Config) -> None:
    config.malloc = tune_malloc()
    config.rows = []


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _machine() -> dict[str, object]:
    try:
        from gan_fast import _cpu

        isa = _cpu.isa
    except ImportError:
        isa = "not built"
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        "device": device_name(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "cpus": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "isa": isa,
        "torch": torch.__version__,
        "revision": revision.stdout.strip() or "unknown",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if not config.rows:
        return
    machine = _machine() | {"malloc": config.malloc, "unit": "ms", "quick": config.getoption("--quick")}
    slug = re.sub(r"[^a-z0-9]+", "-", str(machine["device"]).lower()).strip("-")
    path = Path(config.getoption("--results") or ROOT / "benchmarks" / "results" / f"{machine['date']}-{slug}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join("  " + json.dumps(row) for row in config.rows)
    text = json.dumps({"machine": machine})[:-1] + ',\n "rows": [\n' + rows + "\n]}\n"
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.replace(path)
    print(f"\nresults: {path}")
