"""Compiles kernels for GPUs that are not here and reads the code: what a kernel costs, and what it is made of."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import triton

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Kernel:
    """registers: of a thread. local_bytes: of stack and spills of a thread. shared_bytes: static, of a block."""

    name: str
    registers: int
    local_bytes: int
    shared_bytes: int
    instructions: Counter[str]


def read_cubin(path: Path) -> list[Kernel]:
    def run(*flags: str) -> str:
        return subprocess.run([TOOLS / "cuobjdump", *flags, path], check=True, capture_output=True, text=True).stdout

    code = {}
    for function in run("-sass").split("Function : ")[1:]:
        name, text = function.split("\n", 1)
        code[name.strip()] = Counter(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", text, re.M))
    usage = r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)"
    return [
        Kernel(name, int(registers), int(stack) + int(local), int(shared), code[name])
        for name, registers, stack, shared, local in re.findall(usage, run("--dump-resource-usage"))
    ]


needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is optional: it builds the CUDA module")


def compile_cuda(op: str, folder: Path, capability: int = 90) -> list[Kernel]:
    """The kernels of csrc/cuda/<op>.cu."""
    cubin = folder / f"{op}.cubin"
    flags = ["-std=c++17", "-O3", "--expt-relaxed-constexpr", f"-arch=sm_{capability}", "-cubin"]
    subprocess.run(["nvcc", *flags, ROOT / f"csrc/cuda/{op}.cu", "-o", cubin], check=True)
    return read_cubin(cubin)


def compile_triton(calls: list[dict], folder: Path) -> list[dict]:
    """What aot.py makes of calls, in a process of its own: in this one kernels may be bound to the interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, Path(__file__).with_name("aot.py"), folder]
    done = subprocess.run(command, env=environment, input=json.dumps(calls), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
