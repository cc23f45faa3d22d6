"""Results files: what was measured, on which machine, at which revision."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
from pathlib import Path

import torch

from gan_fast.ops.autotune import device_name

ROOT = Path(__file__).resolve().parents[1]


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


def write(rows: list[dict], about: dict[str, object], path: str = "", suffix: str = "") -> Path:
    """A row a line, to `path` or benchmarks/results/<date>-<device><suffix>.json."""
    machine = _machine() | about | {"unit": "ms"}
    slug = re.sub(r"[^a-z0-9]+", "-", str(machine["device"]).lower()).strip("-")
    to = Path(path or ROOT / "benchmarks" / "results" / f"{machine['date']}-{slug}{suffix}.json")
    to.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    unfinished = to.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"machine": machine})[:-1] + ',\n "rows": [\n' + lines + "\n]}\n")
    unfinished.replace(to)
    return to
