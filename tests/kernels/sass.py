"""Reads compiled GPU code with the tools in Triton's wheel: what a kernel costs, and what it is made of."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import triton

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
