"""Imports run downwards only, importing costs nothing that was not asked for, and only one file knows backends."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "kernels": 0,
    "ops": 1,
    "layers": 2,
    "models": 2,
    "losses": 2,
    "updates": 2,
    "latents": 2,
    "projection": 2,
    "augment": 2,
    "data": 2,
    "metrics": 2,
    "testing": 2,
    "training": 3,
    "explorer": 3,
    "lab": 3,
    "claims": 3,
    "cli": 4,
    "compat": 4,
    "benchmarks": 4,
    "__main__": 4,
}
FILES = [p for folder in ("gan_fast", "kernels", "benchmarks") for p in sorted((ROOT / folder).rglob("*.py"))]


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "gan_fast" else parts[1] if len(parts) > 1 else "gan_fast"


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found += [f"{node.module}.{a.name}" for a in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in FLOORS, f"{room} has no floor: name it here and in docs/architecture.md"
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "gan_fast" and len(parts) > 1 and parts[1] in FLOORS:
            assert FLOORS[parts[1]] <= FLOORS[room], f"{path}: imports {name}, which is on a floor above"
            assert room != "kernels", f"{path}: kernels import torch and triton only"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_backends_knows_backends(path: Path) -> None:
    compiles_only = path == ROOT / "gan_fast/testing/static.py"
    if path.name == "backends.py" or room_of(path) in ("kernels", "cli", "benchmarks") or compiles_only:
        return
    code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    tree = ast.parse(code)
    names = {n for n in imports_of(path) if n.startswith(("gan_fast._c", "gan_fast.kernels", "triton"))}
    assert not names, f"{path}: imports {names}"
    if room_of(path) == "ops":
        asked = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
        assert "torch.cuda.is_available" not in asked, f"{path}: asks for CUDA"


def test_models_call_public_ops_only() -> None:
    for path in FILES:
        if room_of(path) in ("layers", "models", "losses"):
            for name in imports_of(path):
                assert not re.match(r"gan_fast\.ops\.(primitive|backends)|.*\._", name), f"{path}: {name}"


def test_import_is_light() -> None:
    """No subprocess, no compiler, no GPU probe, no heavy module; and less than torch's own import on top of torch."""
    script = """
import json, subprocess, sys, time, os
import torch
before = set(sys.modules)
def forbidden(*args, **kwargs): raise AssertionError("import starts a subprocess")
subprocess.Popen.__init__ = forbidden
os.system = forbidden
torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = forbidden
start = time.process_time()
import gan_fast, gan_fast.ops, gan_fast.ops.autotune, gan_fast.layers, gan_fast.models
import gan_fast.compat.nvlabs, gan_fast.compat.rosinality
seconds = time.process_time() - start
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    heavy = {"pydantic", "typer", "rich", "sklearn", "torchmetrics", "triton", "PIL", "scipy"}
    assert not heavy & {m.split(".")[0] for m in report["modules"]}
    assert report["seconds"] < 0.5


def test_public_names_are_documented() -> None:
    import gan_fast.layers
    import gan_fast.ops

    for module in (gan_fast.ops, gan_fast.layers):
        for name in module.__all__:
            assert len(getattr(module, name).__doc__ or "") > 60, f"{module.__name__}.{name} has no docstring"
