"""The verdict: a slow-down of 20 % is told, noise is not."""

from collections.abc import Callable

import pytest

from gan_fast.benchmarks.compare import compare
from gan_fast.benchmarks.record import Results

PLANTED = "bias_act-demo-4x128x32x32"


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_two_runs_of_one_revision_do_not_differ(make_results: Callable[..., Results], seed: int, runs: int) -> None:
    a, b = ([make_results(1000 * side + 10 * seed + run) for run in range(runs)] for side in (0, 1))
    found = compare(a, b)
    assert {change.verdict for change in found.changes} == {"same"}
    assert len(found.changes) == 20


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_slow_down_is_told(make_results: Callable[..., Results], seed: int) -> None:
    a = [make_results(10 * seed + run, noise=0.04) for run in range(3)]
    b = [make_results(1000 + 10 * seed + run, {PLANTED: 1.2}, noise=0.04) for run in range(3)]
    assert {change.row.case for change in compare(a, b).of("slower")} == {PLANTED}
    assert {change.row.case for change in compare(b, a).of("faster")} == {PLANTED}
    for change in compare(a, b).of("slower"):
        assert 1.1 < change.factor < 1.3
        assert change.low > 1


def test_noise_is_what_unchanged_contenders_do(make_results: Callable[..., Results]) -> None:
    """On a machine where plain PyTorch itself changes by a third, 20 % cannot be told."""
    found = compare([make_results(1, noise=0.3)], [make_results(2, {PLANTED: 1.2}, noise=0.3)])
    assert found.noise > 1.2
    assert not found.of("slower")
