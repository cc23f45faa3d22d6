"""Networks and phases: verified like ops, and counted on fake tensors."""

from dataclasses import replace

import pytest
import torch

from gan_fast import models
from gan_fast.benchmarks import measure, steps
from gan_fast.benchmarks.measure import Bench
from gan_fast.benchmarks.steps import Network, wrong
from gan_fast.training.recipe import Recipe

TINY = Network("tiny", "digits", 4, {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "c_dim": 2})


def test_phases_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "NETWORKS", (TINY,))
    monkeypatch.setattr(measure, "OTHERS", ("tiny",))
    monkeypatch.setattr(measure.roofline, "SECONDS", 0.0)
    bench = Bench(torch.device("cpu"), ops=["tiny"])
    bench.seconds = 0.0
    jobs = bench.jobs()
    assert [str(job) for job in jobs] == [f"{name} of tiny" for name in steps.PHASES]
    main, penalty, step = bench.run([jobs[steps.PHASES.index(name)] for name in ("G", "R1", "step")]).rows
    for row in (main, penalty, step):
        assert row.times.keys() == {"auto", "reference"}, row.refused
        assert row.memory.keys() == {"auto", "reference"}
        assert row.bytes > 0
    assert (main.case, main.mode, main.network) == ("phase-G-tiny", "phase", "tiny")
    assert step.flops > main.flops > 0


def test_training_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds a thousand images of a period of two steps with four images each."""
    network = replace(TINY, quick=True, recipe=Recipe(penalty_interval=2, class_group=2))
    monkeypatch.setattr(steps, "NETWORKS", (network, TINY, replace(network, gpu=True)))
    bench = Bench(torch.device("cpu"), quick=True, ops=["training"])
    monkeypatch.setattr(
        measure, "race", lambda calls, *_, **__: {way: [0.5, call() or 1.0] for way, call in calls.items()}
    )
    (job,) = bench.jobs()
    assert str(job) == "training of tiny"
    row, times = job.run()
    assert times == {"auto": [62.5, 125.0], "reference": [62.5, 125.0]}
    assert (row.case, row.mode, row.times["reference"].ratio) == ("training-tiny", "training", 1.0)


@pytest.mark.parametrize("preset", ["stylegan3-t-digits", "r3gan-digits"])
def test_other_families_than_stylegan2(preset: str) -> None:
    fields = steps.STYLEGAN3 if "stylegan3" in preset else {}
    network = Network("tiny", preset, 2, fields, path_length=False)
    assert network.phases == tuple(name for name in steps.PHASES if name != "path length")
    single, half = (steps.phases(network, torch.device("cpu"), bfloat16) for bfloat16 in (False, True))
    assert tuple(single) == network.phases
    found = single["D"]()
    assert wrong(single["D"](), [g.double() for g in found], found) is None
    assert 0 < max(float((a - b).abs().max()) for a, b in zip(found, half["D"](), strict=True)) < 0.5


def test_networks_are_presets() -> None:
    for network in steps.NETWORKS:
        assert models.preset(network.preset, **network.fields).img_resolution >= 16


def test_a_wrong_phase_is_refused() -> None:
    true = [torch.ones(100, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)]
    own = [t.float() for t in true]
    assert wrong(own, true, own) is None
    assert wrong([1.002 * own[0], own[1]], true, own) == "error 0.002 > 0.001"
    assert "nan" in wrong([own[0] * float("nan"), own[1]], true, own)
