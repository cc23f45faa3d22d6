"""Makes the rows of a results file: verifies every contender on the very case, then times those that are right.

A `Bench` knows the device and the options; its `jobs()` are what it can measure, each a name and a function that
returns a row. `gan-fast bench` runs them behind a progress bar, `pytest benchmarks` as pytest-benchmark's tests.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from gan_fast import ops
from gan_fast.benchmarks import contenders, record, roofline, steps
from gan_fast.benchmarks.cases import CASES, MODES, Case
from gan_fast.benchmarks.costs import Cost, cost_of
from gan_fast.benchmarks.race import Call, copies_of, race, rotating, timings, tune_malloc
from gan_fast.benchmarks.roofline import floor_ms, threads_set

OPS = tuple(dict.fromkeys(case.op for case in CASES))
OTHERS = (
    "host",
    "cold",
    "networks",
    "training",
    *(network.name for network in steps.NETWORKS),
)  # what --ops takes besides
SECONDS, QUICK_SECONDS = 0.3, 0.15  # that a race takes at least
CAPTURED = {"auto": "captured", "reference": "reference captured"}  # phases as CUDA graphs
CALLS = 50  # in a row, to time what the host does for one
# What a process does first, each stage after those before it, with a backend and an empty autotune cache.
COLD = """
import json, sys, time
seconds, begin = [], time.perf_counter()
def stage():
    global begin
    seconds.append(time.perf_counter() - begin)
    begin = time.perf_counter()
import torch
stage()
from gan_fast import ops
stage()
with ops.use_backend(sys.argv[1]):
    x = torch.zeros(4, 64, 16, 16, device=sys.argv[2])
    w, s = torch.ones(64, 64, 3, 3, device=x.device), torch.ones(4, 64, device=x.device)
    begin = time.perf_counter()
    ops.bias_act(x, act="lrelu").sum().item()
    stage()
    ops.modulated_conv2d(x, w, s, padding=1).sum().item()
    stage()
print(json.dumps(seconds))
"""
STAGES = ("import torch", "import gan_fast.ops", "first bias_act", "first modulated_conv2d, autotuned")
PROCESSES = 3


def _host_calls(device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """Calls on tensors so small that the host is what takes the time."""
    x = torch.randn(2, 8, 4, 4, device=device)
    w, s, f = torch.randn(8, 8, 3, 3, device=device), torch.ones(2, 8, device=device), ops.setup_filter([1, 3, 3, 1])
    b, f = torch.randn(8, device=device), f.to(device)
    return {
        "bias_act": lambda: ops.bias_act(x, b, act="lrelu"),
        "upsample2d": lambda: ops.upsample2d(x, f),
        "modulated_conv2d": lambda: ops.modulated_conv2d(x, w, s, b=b, act="lrelu", padding=1),
        "minibatch_stddev": lambda: ops.minibatch_stddev(x),
    }


Measured = tuple[record.Row, dict[str, list[float]]]  # a row, and the seconds of each contender in each round


@dataclass(frozen=True)
class Job:
    """A row to be."""

    name: str
    run: Callable[[], Measured]

    def __str__(self) -> str:
        return self.name


def load_contender(path: Path) -> ModuleType:
    """A third party's module: functions named like ops, of the tensors and settings that docs/benchmarks.md lists."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None:
        raise ValueError(f"--contender: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not any(callable(getattr(module, op, None)) for op in OPS):
        raise ValueError(f"--contender: {path} has no function named like an op: {', '.join(OPS)}")
    return module


def _dtype(case: str) -> torch.dtype:
    return torch.bfloat16 if case.endswith("bfloat16") else torch.float32


def _again(t: Tensor) -> Tensor:
    return t.detach().clone().requires_grad_(t.requires_grad)


def _refusal(call: Call, wrong: Callable[[list[Tensor]], str | None]) -> str | None:
    try:
        return wrong(call())
    except Exception as error:  # of whoever wrote the contender
        return f"{type(error).__name__}: {error}".splitlines()[0]


class Bench:
    """What is measured here, and how long for.

    ops: names of OPS and OTHERS; none: all. match: only jobs whose name has these words. third_parties: modules of
    `load_contender`.
    """

    def __init__(
        self,
        device: torch.device,
        quick: bool = False,
        ops: Sequence[str] = (),
        third_parties: Sequence[ModuleType] = (),
        match: Sequence[str] = (),
    ) -> None:
        if unknown := set(ops) - {*OPS, *OTHERS}:
            raise ValueError(f"--ops: got {', '.join(sorted(unknown))}, takes {', '.join((*OPS, *OTHERS))}")
        self.device, self.quick, self.ops = device, quick, ops
        self.third_parties, self.match = third_parties, match
        gpu = device.type == "cuda"
        kept = [c for c in CASES if not quick or (c.quick_on_gpu if gpu else c.quick)]
        self.cases = [c for c in kept if (gpu or not c.gpu) and self._wants(c.op)]
        if quick:
            self.cases = [replace(c, compiled="never") if c.compiled == "full" else c for c in self.cases]
        self.malloc = tune_malloc()
        self.seconds = QUICK_SECONDS if quick else SECONDS
        self.ceiling = functools.cache(functools.partial(roofline.measure, device))
        self._phases = functools.lru_cache(2)(lambda network, *kind: steps.phases(network, device, *kind))

    def _wants(self, name: str) -> bool:
        return not self.ops or name in self.ops

    def results(self, rows: Sequence[record.Row]) -> record.Results:
        ceilings = [
            self.ceiling(*key) for key in dict.fromkeys((r.threads, _dtype(r.case)) for r in rows if r.floor_ms)
        ]
        return record.Results(machine=record.machine(self.device, self.malloc, self.quick, ceilings), rows=[*rows])

    def jobs(self) -> list[Job]:
        gpu = self.device.type == "cuda"
        found = []
        for case, mode, threads in itertools.product(self.cases, MODES, (0,) if gpu else (1, 2)):
            if threads > 1 and (self.quick or mode == "second_order" or case.channels_last or case.network):
                continue  # one thread only, to keep a run short
            run = functools.partial(self.op_row, case, mode, threads)
            found.append(Job(f"{case} {mode}" + (f" {threads} threads" if threads > 1 else ""), run))
        if self._wants("host"):
            found += [
                Job(f"host {name}", functools.partial(self.host_row, name, call))
                for name, call in _host_calls(self.device).items()
            ]
        if self._wants("cold"):
            found += [Job(f"cold {stage}", functools.partial(self.cold_row, stage)) for stage in STAGES[1:]]
        for network in steps.NETWORKS:
            fits = (network.quick or not self.quick) and (gpu or not network.gpu)
            if "training" in self.ops and network.recipe and fits:  # takes minutes, hence only if asked for
                found.append(Job(f"training of {network.name}", functools.partial(self.training_row, network)))
            if network.name in self.ops or (self._wants("networks") and fits):
                for bfloat16, name in itertools.product((False, True) if gpu else (False,), network.phases):
                    kind = "-bfloat16" if bfloat16 else ""
                    run = functools.partial(self.phase_row, network, name, bfloat16)
                    found.append(Job(f"{name} of {network.name}{kind}", run))
        return [job for job in found if all(word in job.name for word in self.match)]

    def run(self, jobs: Sequence[Job], tell: Callable[[Job], None] = lambda job: None) -> record.Results:
        """Runs jobs, each of which is told; interrupted, it returns what there is."""
        rows = []
        try:
            for job in jobs:
                tell(job)
                rows.append(job.run()[0])
        except KeyboardInterrupt:
            if not rows:
                raise
        return self.results(rows)

    def op_row(self, case: Case, mode: str, threads: int) -> Measured:
        with threads_set(threads):
            tensors = contenders.inputs(case, self.device)
            found = contenders.contenders(case, mode, self.device)
            ours, reference = next(iter(found)), found["reference"]
            for module in self.third_parties:
                if (function := getattr(module, case.op, None)) is not None:
                    settings = contenders.settings_of(case, self.device)
                    found[module.__name__] = functools.partial(function, **settings)
            with torch.no_grad():
                y = reference(*tensors)
            dy = torch.empty_like(y).copy_(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
            dy.requires_grad_(mode == "second_order")
            double = [t.detach().double().requires_grad_(t.requires_grad) for t in (*tensors, dy)]
            true = contenders.task(mode, "reference", reference, double[:-1], double[-1])()
            own = contenders.task(mode, "reference", reference, tensors, dy)()
            sets = [(tensors, dy)]
            for _ in range(copies_of(sum(t.nbytes for t in tensors), self.device) - 1):
                sets.append(([_again(t) for t in tensors], _again(dy)))
            turn = itertools.count()
            calls, refused = {}, {}
            for name, function in found.items():
                copies = [contenders.task(mode, name, function, *given) for given in sets]
                reason = _refusal(copies[0], functools.partial(contenders.wrong, true=true, own=own, case=case))
                for given, kept in zip((*tensors, dy), double, strict=True):
                    if not torch.equal(given.double(), kept):
                        reason = reason or "changes its inputs"
                        given.detach().copy_(kept)
                if reason is None:
                    calls[name] = rotating(copies, turn)
                else:
                    refused[name] = reason
            return self._row(str(case), mode, threads, ours, calls, refused, cost_of(case, mode), case.network)

    def phase_row(self, network: steps.Network, name: str, bfloat16: bool) -> Measured:
        threads = 0 if self.device.type == "cuda" else 1
        with threads_set(threads):
            call = self._phases(network, bfloat16)[name]
            true = steps.on("reference", self._phases(network, False, torch.float64)[name])()
            own = steps.on("reference", call)()
            ways = {way: steps.on(way, call) for way in ("auto", "reference")}
            if self.device.type == "cuda":
                ways |= {CAPTURED[way]: steps.on(way, steps.captured(call, self.device)) for way in CAPTURED}
            ours = CAPTURED["auto"] if self.device.type == "cuda" else "auto"
            calls, refused = {}, {}
            for way, run in ways.items():
                if (reason := _refusal(run, functools.partial(steps.wrong, true=true, own=own))) is None:
                    calls[way] = run
                else:
                    refused[way] = reason
            case = f"phase-{name}-{network.name}{'-bfloat16' if bfloat16 else ''}"
            cost = steps.count(network, name, bfloat16)
            return self._row(case, "phase", threads, ours, calls, refused, cost, network.name)

    def training_row(self, network: steps.Network) -> Measured:
        """Milliseconds a thousand images, of engines that train side by side."""

        def made(backend: str, capture: bool = False) -> tuple[Call, int]:
            with ops.use_backend(backend):
                period, images = steps.training(network, self.device, capture)
            return steps.on(backend, period), images

        with threads_set(0 if self.device.type == "cuda" else 1):
            ways = {way: made(way) for way in ("auto", "reference")}
            if self.device.type == "cuda":
                ways |= {CAPTURED[way]: made(way, capture=True) for way in CAPTURED}
            ours = CAPTURED["auto"] if self.device.type == "cuda" else "auto"
            times = race({way: call for way, (call, _) in ways.items()}, self.device, self.seconds, min_rounds=3)
        times = {way: [t * 1000 / ways[way][1] for t in seconds] for way, seconds in times.items()}
        found = timings(times, ours)
        about = {"case": f"training-{network.name}", "mode": "training", "network": network.name}
        return record.Row(threads=0 if self.device.type == "cuda" else 1, ours=ours, times=found, **about), times

    def host_row(self, name: str, call: Callable[[], Tensor]) -> Measured:
        def burst(way: str) -> Call:
            def run() -> None:
                with ops.use_backend(way), torch.no_grad():
                    for _ in range(CALLS):
                        call()

            return run

        with threads_set(0 if self.device.type == "cuda" else 1):
            times = race({way: burst(way) for way in ("auto", "reference")}, torch.device("cpu"), self.seconds)
        times = {way: [t / CALLS for t in seconds] for way, seconds in times.items()}
        found = timings(times, "auto")
        return record.Row(case=f"host-{name}", mode="host", threads=1, ours="auto", times=found), times

    def cold_row(self, stage: str) -> Measured:
        place = STAGES.index(stage)
        times = {way: [seconds[place] for seconds in found] for way, found in self._cold().items()}
        if stage == "import gan_fast.ops":
            times = {"auto": times["auto"], "import torch": [seconds[0] for seconds in self._cold()["auto"]]}
        return record.Row(
            case=f"cold-{stage}", mode="cold", threads=1, ours="auto", times=timings(times, "auto")
        ), times

    @functools.cache  # noqa: B019
    def _cold(self) -> dict[str, list[list[float]]]:
        """Seconds of each stage, in turn in processes of their own."""
        found: dict[str, list[list[float]]] = {"auto": [], "reference": []}
        source = str(Path(ops.__file__).resolve().parents[2])
        for way in [*found] * PROCESSES:
            with tempfile.TemporaryDirectory() as cache:
                path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
                environment = os.environ | {"GAN_FAST_CACHE": cache, "PYTHONPATH": path}
                command = [sys.executable, "-c", COLD, way, str(self.device)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found[way].append(json.loads(done.stdout))
        return found

    def _row(
        self,
        case: str,
        mode: str,
        threads: int,
        ours: str,
        calls: dict[str, Call],
        refused: dict[str, str],
        cost: Cost,
        network: str,
    ) -> Measured:
        about = {"case": case, "mode": mode, "threads": threads, "ours": ours, "network": network, "refused": refused}
        about |= {"bytes": cost.bytes, "flops": cost.flops}
        if ours not in calls:
            return record.Row(times={}, **about), {}
        times = race(calls, self.device, self.seconds)
        found = timings(times, ours)
        sources = {
            ours: "auto" if ours == CAPTURED["auto"] else ours,
            "reference": "reference",
        }  # a graph hides its own
        memory = {name: steps.peak_memory(calls[way], self.device) for name, way in sources.items() if way in calls}
        floor = floor_ms(self.ceiling(threads, _dtype(case)), cost)
        about |= {"floor_ms": float(f"{floor:.4g}"), "fraction": float(f"{floor / found[ours].median:.3g}")}
        return record.Row(times=found, memory=memory, **about), times


def main(given: Sequence[str] | None = None) -> None:
    """What `compare` runs in the source trees of revisions, which may know no `gan-fast bench`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ops", nargs="*", default=())
    parser.add_argument("--seconds", type=float, help="that a race takes at least")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args(given)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(device, arguments.quick, arguments.ops)
    bench.seconds = bench.seconds if arguments.seconds is None else arguments.seconds
    record.write(bench.run(bench.jobs()), arguments.json)


if __name__ == "__main__":
    main()
