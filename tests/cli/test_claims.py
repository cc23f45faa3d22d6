"""The command, on a claim that takes no time, as it is and with a bound that cannot be kept."""

import dataclasses

import pytest

from gan_fast import claims

QUICK = claims.CLAIMS["droplet-mechanism"]
ONE = ["claims", "--only", QUICK.name, "--jobs", 1]


@pytest.fixture
def impossible(monkeypatch):
    figures = tuple(dataclasses.replace(figure, at_least=7.0, at_most=8.0) for figure in QUICK.figures)
    monkeypatch.setitem(claims.CLAIMS, QUICK.name, dataclasses.replace(QUICK, figures=figures))


def test_a_claim_that_holds(call, tmp_path):
    result = call(*ONE, "--seeds", 2, "--page", "pages/some.md")
    assert result.exit_code == 0, result.output
    assert "1 of 1 claims hold; figures and pictures are in runs/claims" in result.output
    assert "at most 0.5" in result.output
    assert result.output.splitlines()[-1].startswith("Next: gan-fast ")
    assert (tmp_path / "pages" / "images" / "some" / f"{QUICK.name}.webp").is_file()
    kept = tmp_path / "runs" / "claims" / f"{QUICK.name}.json"
    before = kept.stat().st_mtime_ns
    assert call(*ONE, "--seeds", 2).exit_code == 0
    assert kept.stat().st_mtime_ns == before
    assert call(*ONE, "--seeds", 2, "--fresh").exit_code == 0
    assert kept.stat().st_mtime_ns != before


@pytest.mark.usefixtures("impossible")
def test_a_claim_that_does_not_is_reported(call, tmp_path):
    result = call(*ONE, "--seeds", 1, "--page", "some.md")
    assert result.exit_code == 1
    assert "does not show" in result.output
    assert result.output.splitlines()[-1] == f"Next: gan-fast claims --fresh --only {QUICK.name}"
    assert "**does not show**" in (tmp_path / "some.md").read_text()


def test_the_list_runs_nothing(call, tmp_path):
    result = call("claims", "--list")
    assert result.exit_code == 0
    assert all(name in result.output for name in claims.CLAIMS)
    assert not list(tmp_path.iterdir())


def test_an_unknown_claim_is_named(call):
    result = call("claims", "--only", "nonsense")
    assert result.exit_code == 2
    assert "--only: got nonsense, takes saturation" in result.stderr
