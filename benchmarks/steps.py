"""Times the phases of a StyleGAN2 training step and measures their memory, our ops and the reference in turn.

    python benchmarks/steps.py --resolution 32 64

G and D are the main phases (forward, backward, D's with a generated and a real batch), R1 is over as many reals, path
length over half a batch. No optimizer runs. On the GPU if there is one, there in channels_last and bfloat16 too.
Results go to benchmarks/results/<date>-<device>-steps.json; benchmarks/table.py prints them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import record
import torch
from race import race, summary, tune_malloc
from torch.profiler import ProfilerActivity, profile

from gan_fast import ops
from gan_fast.losses import logistic_discriminator, logistic_generator
from gan_fast.models.stylegan2 import build

BATCH = {32: 8, 64: 4, 128: 2}
MAIN_PHASE = {"R1": "D", "path length": "G"}


def phases(resolution: int, batch: int, device: torch.device, bfloat16: bool = False) -> dict[str, Callable[[], None]]:
    torch.manual_seed(0)
    low = {"num_lowprec_res": 9} if bfloat16 else {}
    networks = build("paper256", img_resolution=resolution, channel_base=8192, conv_clamp=None, **low)
    layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
    generator, discriminator = (network.to(device, memory_format=layout) for network in networks)
    z = torch.randn(batch, generator.z_dim, device=device)
    x = torch.randn(batch, 3, resolution, resolution, device=device)
    seed = torch.tensor([1, 2], device=device)

    def g_main() -> None:
        discriminator.requires_grad_(False)
        logistic_generator(discriminator(generator(z))).mean().backward()
        discriminator.requires_grad_(True)
        generator.zero_grad()

    def d_main() -> None:
        with torch.no_grad():
            fake = generator(z)
        logistic_discriminator(discriminator(x), discriminator(fake)).mean().backward()
        discriminator.zero_grad()

    def r1() -> None:
        real = x.clone().requires_grad_()
        ops.r1(real, discriminator(real)).mean().backward()
        discriminator.zero_grad()

    def path_length() -> None:
        ws = generator.mapping(z[: max(batch // 2, 1)])
        lengths = ops.path_length(ws, generator.synthesis(ws), seed)
        ops.path_length_penalty(lengths, torch.zeros([], device=device))[0].mean().backward()
        generator.zero_grad()

    return {"G": g_main, "D": d_main, "R1": r1, "path length": path_length}


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that PyTorch's allocator hands out at once, above what there was before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def on(backend: str, call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        with ops.use_backend(backend):
            call()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, nargs="+", default=[32, 64], choices=BATCH)
    parser.add_argument("--seconds", type=float, default=30, help="for each phase at least")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", default="")
    arguments = parser.parse_args()
    malloc = tune_malloc()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    print("| phase | ours, ms | reference over ours | over its main phase | memory, of the reference's |")
    print("|---|---|---|---|---|")
    for resolution in arguments.resolution:
        for bfloat16 in (False, True) if device.type == "cuda" else (False,):
            medians: dict[str, float] = {}
            for name, call in phases(resolution, BATCH[resolution], device, bfloat16).items():
                calls = {"auto": on("auto", call), "reference": on("reference", call)}
                times = {way: summary(t) for way, t in race(calls, device, arguments.seconds).items()}
                memory = {way: peak_memory(run, device) for way, run in calls.items()}
                case = f"phase-{name}-{resolution}px{'-bfloat16' if bfloat16 else ''}"
                medians[name] = times["auto"]["median"]
                ratios = {"reference": round(times["reference"]["median"] / medians[name], 2)}
                rows.append({"case": case, "mode": "phase", "threads": arguments.threads, "times": times})
                rows[-1] |= {"ratios": ratios, "memory": memory}
                share = f"{medians[name] / medians[MAIN_PHASE[name]]:.2f}" if name in MAIN_PHASE else ""
                of_reference = f"{memory['auto'] / memory['reference']:.2f}"
                print(f"| {case} | {medians[name]:.0f} | {ratios['reference']:.2f}x | {share} | {of_reference} |")
    print(f"results: {record.write(rows, {'malloc': malloc}, arguments.results, '-steps')}")


if __name__ == "__main__":
    main()
