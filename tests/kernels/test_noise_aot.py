"""What the compilers make of noise for GPUs that are not here: registers, spills, wide stores."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sass

ROOT = Path(__file__).resolve().parents[2]
REGISTERS = 64


def test_triton(tmp_path: Path) -> None:
    """In a process of its own: in this one its kernels may be bound to the interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    strength, seed = {"shape": [], "dtype": "bfloat16"}, {"shape": [2], "dtype": "int64"}
    y = {"shape": [8, 1, 64, 64], "dtype": "bfloat16"}
    call = {"op": "noise", "primitive": "noise", "args": [strength, seed, [8, 1, 64, 64], y]}
    command = [sys.executable, Path(__file__).with_name("aot.py"), tmp_path]
    wanted = json.dumps([call | {"capabilities": [80, 90, 100, 120]}])
    done = subprocess.run(command, env=environment, input=wanted, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout)
    assert {c["capability"] for c in compiled} == {80, 90, 100, 120}
    for c in compiled:
        (kernel,) = sass.read_cubin(Path(c["file"]))
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
def test_cuda_sm90(tmp_path: Path) -> None:
    cubin = tmp_path / "noise.cubin"
    flags = ["-std=c++17", "-O3", "--expt-relaxed-constexpr", "-arch=sm_90", "-cubin"]
    subprocess.run(["nvcc", *flags, ROOT / "csrc/cuda/noise.cu", "-o", cubin], check=True)
    kernels = sass.read_cubin(cubin)
    assert len(kernels) == 4
    for kernel in kernels:
        assert kernel.registers <= REGISTERS, kernel
        assert kernel.local_bytes == 0, kernel
    assert any(k.instructions["STG.E.128"] for k in kernels), "four float32 numbers at once"
