"""Where the time of a phase goes: its kernels, or on a CPU its ops, by the time that they take alone.

    python benchmarks/hotspots.py 64px [--phases G R1 "path length"] [--bfloat16] [--backend reference] [--json FILE]

Networks and phases are those of `gan-fast bench --ops networks`. On a CPU one thread runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gan_fast.benchmarks import record, steps
from gan_fast.benchmarks.record import Figure
from gan_fast.benchmarks.table import figures_table
from gan_fast.ops import use_backend

REPEATS = 3


def rows(phase: steps.Phase, kind: str, device: torch.device, most: int) -> list[Figure]:
    """A row a kernel, the most expensive first, then all others together."""
    on_gpu = device.type == "cuda"
    for _ in range(2):  # compiles, autotunes
        phase()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        for _ in range(REPEATS):
            phase()
        if on_gpu:
            torch.cuda.synchronize(device)
    events = [e for e in found.key_averages() if (e.device_type == DeviceType.CUDA) == on_gpu]
    spent = {e.key: (e.self_device_time_total if on_gpu else e.self_cpu_time_total) / 1e3 / REPEATS for e in events}
    calls = {e.key: e.count / REPEATS for e in events}
    total = sum(spent.values())
    names = sorted(spent, key=spent.__getitem__, reverse=True)
    table = [(name[:90], calls[name], spent[name]) for name in names[:most]]
    rest = names[most:]
    table += [
        ("all others", sum(calls[n] for n in rest), sum(spent[n] for n in rest)),
        ("all", sum(calls.values()), total),
    ]
    return [
        Figure(kind=kind, values={"kernel" if on_gpu else "op": n, "calls": c, "ms": ms, "%": 100 * ms / total})
        for n, c, ms in table
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=[n.name for n in steps.NETWORKS])
    parser.add_argument("--phases", nargs="+", choices=steps.PHASES, default=["G", "D", "R1", "path length"])
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rows", type=int, default=25)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    network = next(n for n in steps.NETWORKS if n.name == arguments.network)
    made = steps.phases(network, device, arguments.bfloat16)
    how = f"python benchmarks/hotspots.py {network.name}, backend {arguments.backend}, bfloat16 {arguments.bfloat16}"
    figures = record.figures(device, how, [])
    for name in arguments.phases:
        with use_backend(arguments.backend):
            figures.rows.extend(rows(made[name], name, device, arguments.rows))
        print(name, figures_table(figures, name), sep="\n\n", end="\n\n", flush=True)
        if arguments.json:
            record.write_figures(figures, arguments.json)


if __name__ == "__main__":
    main()
