"""scripts/gpu.sh where there is no GPU: what it says, keeps and returns."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU its parts take minutes")


def run(out: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "OUT": str(out)} | settings
    return subprocess.run([ROOT / "scripts/gpu.sh"], env=environment, capture_output=True, text=True)


def test_parts_fail_by_themselves_and_the_summary_keeps_earlier_ones(tmp_path: Path) -> None:
    first = run(tmp_path, PARTS="bench doctor", LIMIT="0.2")
    assert first.returncode == 1
    assert "not run: no CUDA device" in first.stdout
    again = run(tmp_path, PARTS="steps")
    assert again.returncode == 1
    lines = (tmp_path / "summary.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["doctor", "bench", "steps"]
    assert [line.split("  ")[-1] for line in lines] == ["out of time", "failed, exit 1", "failed, exit 1"]
    assert "not run" in (tmp_path / "steps.log").read_text()


def test_what_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    unknown = run(tmp_path, PARTS="tests benches")
    assert (unknown.returncode, "PARTS: got benches, takes build" in unknown.stdout) == (2, True)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    lacking = run(tmp_path, PYTHON=str(bare))
    assert (lacking.returncode, "lacks torch triton" in lacking.stdout) == (2, True)
