"""gan-fast doctor."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def doctor(
    dtype: Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")] = "float32",
) -> None:
    """Show versions, compilers and devices, and which backend each op takes and why not the others.

    **Examples**

    gan-fast doctor

    gan-fast doctor --dtype bfloat16
    """
    import importlib.metadata
    import platform
    import shutil
    import subprocess

    import torch
    from rich.console import Console
    from rich.table import Table

    from gan_fast.ops import autotune, backends, primitive

    dtypes = {str(t).removeprefix("torch."): t for t in backends.FLOATS}
    if dtype not in dtypes:
        raise ValueError(f"--dtype: got {dtype}, takes {', '.join(dtypes)}")

    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    def compiler(command: str) -> str:
        if not (path := shutil.which(command)):
            return "not found"
        lines = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip().splitlines()
        return next((line for line in lines if "release" in line), lines[0] if lines else path)

    console = Console()
    facts = Table(title="This machine", show_header=False)
    facts.add_row("gan-fast", version("gan-fast"))
    facts.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in ("torch", "triton", "numpy"):
        facts.add_row(package, version(package))
    for command in ("g++", "nvcc"):
        facts.add_row(command, compiler(command))
    facts.add_row("CPU", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    for name, switch in backends.SWITCHES.items():
        facts.add_row(name, f"{os.environ.get(name, 'not set')} ({switch})")
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    for i, gpu in enumerate(gpus):
        memory = gpu.total_memory / 2**30
        facts.add_row(f"cuda:{i}", f"{gpu.name}, sm_{gpu.major}{gpu.minor}, {memory:.0f} GiB")
    if not gpus:
        facts.add_row("CUDA", "no device")
    devices = [torch.device("cpu"), *(torch.device("cuda", i) for i in range(len(gpus)))]
    for cache in dict.fromkeys(map(autotune.cache_file, devices)):  # equal GPUs share one
        facts.add_row("Autotuned", f"{cache.path}, entries: {len(cache.entries)}")
    console.print(facts)

    for device in ("cuda", "cpu") if gpus else ("cpu",):
        table = Table(title=f"Backends on {device}, {dtype}")
        table.add_column("op")
        for backend in (*backends.BACKENDS, "reference"):
            table.add_column(backend)
        for op in primitive.OPS:
            verdict = backends.explain(op, device, dtypes[dtype])
            colour = {"taken": "[green]taken[/]", "available": "available"}
            table.add_row(op, *(colour.get(v, f"[dim]{v}[/]") for v in verdict.values()))
        console.print(table)
    console.print("Next: gan-fast verify holds every kernel here against the reference.")
