"""Results files: what is written is read, and what is no results file is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_fast.benchmarks import record
from gan_fast.benchmarks.record import Results


def test_round_trip(make_results: Callable[..., Results], tmp_path: Path) -> None:
    results = make_results(0)
    path = tmp_path / "a" / "results.json"
    record.write(results, path)
    assert record.read(path) == results
    assert len(path.read_text().splitlines()) == len(results.rows) + 3  # a row a line


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "Expecting value"),
        ("{}", "machine: missing"),
        ('{"format": "another", "machine": {}, "rows": []}', "format"),
        ('{"machine": {}, "rows": [{"case": "x"}]}', "machine.cpus: missing"),
    ],
)
def test_what_is_no_results_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=named) as error:
        record.read(path)
    assert str(path) in str(error.value)


def test_an_unknown_field_is_refused(make_results: Callable[..., Results], tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    record.write(make_results(0), path)
    path.write_text(path.read_text().replace('"mode"', '"mood"', 1))
    with pytest.raises(ValueError, match="mode"):
        record.read(path)


FIGURES = sorted((record.FOLDER / "figures").glob("*.json"))
RESULTS = sorted(record.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", FIGURES, ids=lambda p: p.stem)
def test_figures_keep_their_schema(path: Path) -> None:
    figures = record.read_figures(path)
    assert path.name.startswith(figures.date)
    assert figures.rows
    assert figures.how
    with pytest.raises(ValueError, match="gan_fast figures 2"):
        record.read(path)


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_the_reference_machines_files_keep_the_schema(path: Path) -> None:
    results = record.read(path)
    assert results.rows
    assert path.name.startswith(results.machine.date)
    for row in results.rows:
        assert row.ours in row.times
        assert not row.refused


def test_figures_round_trip(tmp_path: Path) -> None:
    values = {"what": "a", "ms": 1.5, "seeds": [1.0, 2.0]}
    written = record.figures(torch.device("cpu"), "by hand", [record.Figure(kind="demo", values=values)])
    path = tmp_path / "figures.json"
    record.write_figures(written, path)
    assert record.read_figures(path) == written
    path.write_text(path.read_text().replace("1.5", "true"))
    with pytest.raises(ValueError, match=r"rows.0.values.ms: got True, takes str \| float \| list"):
        record.read_figures(path)
