"""Claims are run once, and go on where a run stopped."""

import dataclasses
import math

import pytest
from toys import RUNS, TOYS, false_one, true_one

from gan_fast.claims import run
from gan_fast.claims.claim import Figure


@pytest.fixture(autouse=True)
def _no_runs():
    RUNS.clear()


@pytest.fixture
def ran(tmp_path):
    return lambda *claims, seeds=3: run.run(claims or TOYS, seeds, tmp_path)


def test_what_was_seen_is_judged_with_every_seed(ran):
    results = ran()
    assert results["true-one"].seen == (
        {"seed": 0, "its | square": 0},
        {"seed": 1, "its | square": 1},
        {"seed": 2, "its | square": 4},
    )
    assert run.holds(true_one, results["true-one"])
    assert not run.holds(false_one, results["false-one"])  # seed 0 alone kept the bound
    assert str(results["broken-one"]) == "it broke"
    assert [name for name, _ in RUNS] == ["true-one"] * 3 + ["false-one"] * 3 + ["broken-one"]


def test_a_run_goes_on_where_it_stopped(ran, tmp_path):
    first = ran(true_one)
    RUNS.clear()
    seen = []
    results = run.run(TOYS, 3, tmp_path, report=lambda claim: seen.append(claim.name))
    assert seen == ["true-one", "false-one", "broken-one"]
    assert results["true-one"] == first["true-one"]
    assert ("true-one", 0) not in RUNS
    RUNS.clear()
    ran()
    assert RUNS == [("broken-one", 0)]  # what failed is tried again


def test_what_has_changed_is_run_again(ran, tmp_path):
    ran(true_one)
    RUNS.clear()
    ran(true_one, seeds=4)
    assert len(RUNS) == 4
    RUNS.clear()
    assert run.load(dataclasses.replace(true_one, sentence="Else."), 4, tmp_path)  # words are no part of it
    renamed = (Figure("number"), *true_one.figures[1:])
    assert run.load(dataclasses.replace(true_one, figures=renamed), 4, tmp_path) is None
    assert run._key(true_one, 3) != run._key(false_one, 3)
    (tmp_path / "true-one.json").write_text("{")
    assert run.load(true_one, 4, tmp_path) is None
    ran(true_one, seeds=4)
    run.picture_of(true_one, tmp_path).unlink()
    assert run.load(true_one, 4, tmp_path) is None
    ran(true_one, seeds=4)
    run.forget([true_one], tmp_path)
    assert run.load(true_one, 4, tmp_path) is None


def test_bounds():
    assert Figure("x", at_least=1.0).expected == "at least 1"
    assert Figure("x", at_most=0.5).expected == "at most 0.5"
    assert Figure("x", 1.0, 2.0).expected == "1 to 2"
    assert Figure("x").expected == ""
    assert not Figure("x", at_least=1.0).holds(math.nan)
    assert not Figure("x").holds(math.nan)


def test_processes_run_claims_by_name(tmp_path):
    """Of the claims themselves, the quickest."""
    from gan_fast.claims import CLAIMS

    chosen = [CLAIMS["droplet-mechanism"]]
    results = run.run(chosen, 1, tmp_path, jobs=2)
    assert run.holds(chosen[0], results["droplet-mechanism"])
    assert run.load(chosen[0], 1, tmp_path) == results["droplet-mechanism"]
