"""Timing in turn: what is computed from times, without any clock."""

import itertools

import pytest
import torch

from gan_fast.benchmarks.race import copies_of, rank_interval, rotating, timings


@pytest.mark.parametrize(("n", "first"), [(5, 0), (6, 0), (9, 1), (30, 9), (100, 39), (3000, 1445)])
def test_the_interval_of_a_median_is_the_usual_table_of_ranks(n: int, first: int) -> None:
    assert rank_interval(range(n)) == (first, n - 1 - first)


def test_ratios_are_of_neighbours_in_time() -> None:
    """A machine that slows down for everyone changes no ratio."""
    ours = [1.0, 1.0, 4.0, 4.0, 1.0, 1.0, 1.0]
    found = timings({"cpu": ours, "reference": [3 * t for t in ours]}, "cpu")
    assert (found["reference"].ratio, found["reference"].low, found["reference"].high) == (3, 3, 3)
    assert found["cpu"].ratio == 1
    assert (found["cpu"].median, found["cpu"].rounds) == (1000, 7)


def test_a_cpu_rotates_no_inputs_and_all_contenders_share_the_turn() -> None:
    assert copies_of(1 << 20, torch.device("cpu")) == 1
    turn, seen = itertools.count(), []
    first, second = (rotating([lambda i=i: seen.append(i) for i in range(3)], turn) for _ in range(2))
    for call in (first, second, second, first):
        call()
    assert seen == [0, 1, 2, 0]
