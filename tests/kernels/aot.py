"""Compiles Triton kernels for GPUs that are not there, exactly as their launcher would: run me without the interpreter.

    python aot.py FOLDER <calls.json

Each call is {"op", "primitive", "args", "capabilities"}, a tensor being {"shape", "dtype", "channels_last"}. Writes one
cubin a kernel and capability, and prints a list of {"primitive", "kernel", "capability", "file", "shared"}.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, mangle_type


class Recorder:
    """Takes a kernel's place in its module and keeps what it is launched with."""

    def __init__(self, kernel: JITFunction, launches: list) -> None:
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: tuple) -> Any:
        return lambda *args, **options: self.launches.append((self.kernel, args, options))


def source(kernel: JITFunction, args: tuple, options: dict) -> ASTSource:
    signature, constants, attributes = {}, {}, {}
    given = dict(zip(kernel.arg_names, args, strict=False)) | {k: options[k] for k in kernel.arg_names if k in options}
    for i, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[parameter.name], constants[parameter.name] = "constexpr", value
            continue
        signature[parameter.name] = parameter.annotation_type or mangle_type(value)
        if isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0):
            attributes[(i,)] = [["tt.divisibility", 16]]
    return ASTSource(kernel, signature, constants, attributes)


def argument(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    t = torch.empty(value["shape"], dtype=getattr(torch, value["dtype"]), device="meta")
    return t.to(memory_format=torch.channels_last) if value.get("channels_last") else t


def main(folder: Path, calls: list[dict]) -> list[dict]:
    compiled = []
    for call in calls:
        module = importlib.import_module(f"gan_fast.kernels.{call['op']}")
        launches: list = []
        kernels = {name: k for name, k in vars(module).items() if isinstance(k, JITFunction)}
        for name, kernel in kernels.items():
            if name.endswith("_kernel"):
                setattr(module, name, Recorder(kernel, launches))
        getattr(module, call["primitive"])(*map(argument, call["args"]))
        vars(module).update(kernels)
        for kernel, args, options in launches:
            for capability in call["capabilities"]:
                launch_options = {k: options[k] for k in ("num_warps", "num_stages", "maxnreg") if k in options}
                target = GPUTarget("cuda", capability, 32)
                result = triton.compile(source(kernel, args, options), target=target, options=launch_options)
                path = folder / f"{len(compiled)}.cubin"
                path.write_bytes(result.asm["cubin"])
                compiled.append(
                    {
                        "primitive": call["primitive"],
                        "kernel": kernel.fn.__name__,
                        "capability": capability,
                        "file": str(path),
                        "shared": result.metadata.shared,
                    }
                )
    return compiled


if __name__ == "__main__":
    json.dump(main(Path(sys.argv[1]), json.load(sys.stdin)), sys.stdout)
