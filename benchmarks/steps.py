"""Times the phases of a StyleGAN2 training step on a CPU, our ops and the reference in turn.

    MALLOC_MMAP_MAX_=0 python benchmarks/steps.py --resolution 32 --rounds 5

G and D are the main phases (forward, backward, D's with a generated and a real batch), R1 is over as many reals, path
length over half a batch. Ratios are of neighbours in time: median (least to most). No optimizer runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from gan_fast import ops
from gan_fast.losses import logistic_discriminator, logistic_generator
from gan_fast.models.stylegan2 import build

BATCH = {32: 8, 64: 4, 128: 2}
BACKENDS = ("auto", "reference")


def phases(resolution: int, batch: int) -> dict[str, Callable[[], None]]:
    torch.manual_seed(0)
    generator, discriminator = build("paper256", img_resolution=resolution, channel_base=8192, conv_clamp=None)
    z, x = torch.randn(batch, generator.z_dim), torch.randn(batch, 3, resolution, resolution)

    def g_main() -> None:
        generator.zero_grad()
        discriminator.requires_grad_(False)
        logistic_generator(discriminator(generator(z))).mean().backward()
        discriminator.requires_grad_(True)

    def d_main() -> None:
        discriminator.zero_grad()
        with torch.no_grad():
            fake = generator(z)
        logistic_discriminator(discriminator(x), discriminator(fake)).mean().backward()

    def r1() -> None:
        discriminator.zero_grad()
        real = x.clone().requires_grad_()
        ops.r1(real, discriminator(real)).mean().backward()

    def path_length() -> None:
        generator.zero_grad()
        ws = generator.mapping(z[: max(batch // 2, 1)])
        lengths = ops.path_length(ws, generator.synthesis(ws), torch.tensor([1, 2]))
        ops.path_length_penalty(lengths, torch.zeros([]))[0].mean().backward()

    return {"G": g_main, "D": d_main, "R1": r1, "path length": path_length}


def spread(over: Sequence[float], under: Sequence[float]) -> str:
    ratios = sorted(a / b for a, b in zip(over, under, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32, choices=BATCH)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    calls = phases(arguments.resolution, BATCH[arguments.resolution])
    times: dict[tuple[str, str], list[float]] = {(name, backend): [] for name in calls for backend in BACKENDS}
    for i in range(arguments.rounds + 1):
        for name, call in calls.items():
            for backend in BACKENDS[:: 1 if i % 2 else -1]:
                with ops.use_backend(backend):
                    start = time.perf_counter()
                    call()
                if i:  # the first round warms up
                    times[name, backend].append(time.perf_counter() - start)
    print("| phase | ours, ms | reference over ours | ours over its main phase |\n|---|---|---|---|")
    for name in calls:
        ours, reference = (times[name, backend] for backend in BACKENDS)
        main_phase = {"R1": "D", "path length": "G"}.get(name)
        share = "" if main_phase is None else spread(ours, times[main_phase, "auto"])
        print(f"| {name} | {statistics.median(ours) * 1e3:.0f} | {spread(reference, ours)} | {share} |")


if __name__ == "__main__":
    main()
