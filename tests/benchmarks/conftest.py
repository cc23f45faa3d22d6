"""Results that nobody measured."""

import random
from collections.abc import Callable

import pytest

from gan_fast.benchmarks.race import timings
from gan_fast.benchmarks.record import Ceiling, Machine, Results, Row


@pytest.fixture(scope="session")
def make_results() -> Callable[..., Results]:
    """A run of three ops and a phase on a machine whose every time is noisy; `slower`: factors of our time, by case."""

    def make(seed: int, slower: dict[str, float] | None = None, noise: float = 0.05) -> Results:
        rng = random.Random(seed)
        true = {"cpu": 1.0, "reference": 6.0, "compile": 4.0, "plain": 3.0}
        rows = []
        for op in ("upsample2d", "bias_act", "filtered_lrelu"):
            for shape in ("4x128x32x32", "8x64x16x16"):
                for mode in ("forward", "forward_backward", "second_order"):
                    case = f"{op}-demo-{shape}"
                    slow = 2 * rng.random() + 1  # everyone's
                    factor = {"cpu": (slower or {}).get(case, 1.0)}
                    run = {name: rng.gauss(1, noise / 2) for name in true}  # of one run
                    times = {
                        name: [
                            slow * t * run[name] * factor.get(name, 1) * rng.gauss(1, noise) / 1e3 for _ in range(20)
                        ]
                        for name, t in true.items()
                    }
                    about = {"bytes": 4_000_000, "flops": 64_000_000, "floor_ms": 0.5, "fraction": 0.5}
                    memory = {"cpu": 1_000_000, "reference": 3_000_000}
                    rows.append(
                        Row(
                            case=case,
                            mode=mode,
                            threads=1,
                            ours="cpu",
                            times=timings(times, "cpu"),
                            memory=memory,
                            **about,
                        )
                    )
        phase = {"auto": [0.1] * 8, "reference": [0.15] * 8}
        memory = {"auto": 50, "reference": 100}
        for name, network in (("D", "32px"), ("R1", "32px")):
            case = f"phase-{name}-{network}"
            rows.append(
                Row(
                    case=case,
                    mode="phase",
                    threads=1,
                    ours="auto",
                    network=network,
                    times=timings(phase, "auto"),
                    memory=memory,
                )
            )
        machine = Machine(
            device="Abacus",
            cpus=2,
            load=0.1,
            isa="beads",
            torch="2.0",
            revision=f"r{seed}",
            date=f"2026-01-{seed + 1:02}",
            malloc="default",
            quick=True,
            ceilings=[Ceiling(threads=1, dtype="float32", copy_gbs={65536: 40, 2**26: 10}, products_gflops=100)],
        )
        return Results(machine=machine, rows=rows)

    return make
