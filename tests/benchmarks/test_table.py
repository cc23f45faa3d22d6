"""The tables of the pages are those of the results files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gan_fast.benchmarks import record
from gan_fast.benchmarks.record import Figure, Figures, Results, Row, Timing
from gan_fast.benchmarks.table import (
    BLOCK,
    behind_table,
    figures_table,
    floors_table,
    phases_table,
    rewritten,
    training_table,
)

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("page", PAGES)
def test_pages_keep_step_with_the_results(page: str) -> None:
    text = (ROOT / page).read_text()
    assert len(BLOCK.findall(text)) == text.count("<!-- end -->")
    assert rewritten(text) == text, f"run: python benchmarks/table.py --write {page}"


def test_figures_have_the_columns_that_their_rows_have() -> None:
    where = {"device": "Abacus", "isa": "beads", "torch": "2.0", "revision": "r0", "date": "2026-01-01"}
    values = [{"what": "a", "ms": 0.12345, "seeds": [12345.6, 7]}, {"what": "b", "": "slow"}]
    rows = [*(Figure(kind="demo", values=v) for v in values), Figure(kind="other", values={"x": 1.0})]
    figures = Figures(**where, how="by hand", rows=rows)
    assert figures_table(figures, "demo").splitlines() == [
        "| what | ms | seeds |  |",
        "|---|---|---|---|",
        "| a | 0.123 | 12346 7 |  |",
        "| b |  |  | slow |",
        "",
        "Abacus (beads), torch 2.0, revision r0, 2026-01-01.",
    ]
    with pytest.raises(ValueError, match="phase"):
        figures_table(figures, "phase")


def test_a_block_is_made_from_the_file_that_is_given(make_results: Callable[..., Results], tmp_path: Path) -> None:
    file = tmp_path / "results" / "new.json"
    record.write(make_results(3), file)
    text = "before\n<!-- phases:  -->\nold\n<!-- end -->\nafter\n"
    assert rewritten(text, root=tmp_path) == text
    made = rewritten(text, [file], tmp_path)
    assert made.startswith("before\n<!-- phases: results/new.json -->\n| phase | 32px |")
    assert "old" not in made
    assert made.endswith("<!-- end -->\nafter\n")
    assert rewritten(made, root=tmp_path) == made


def test_what_is_faster_than_ours(make_results: Callable[..., Results]) -> None:
    assert behind_table(make_results(0)).count("|") == 12  # no row
    slow = behind_table(make_results(0, slower={"bias_act-demo-8x64x16x16": 5.0})).splitlines()
    assert slow[2].startswith("| bias_act demo | forward | torch.compile | 1 of 2 | 0.")
    assert [line.split(" | ")[2] for line in slow[2:4]] == ["torch.compile", "plain PyTorch"]


def test_phases(make_results: Callable[..., Results]) -> None:
    assert phases_table(make_results(0)).splitlines() == [
        "| phase | 32px | ours over its main phase |",
        "|---|---|---|",
        "| D | 1.50x (1.50 to 1.50); 0.50 |  |",
        "| R1 | 1.50x (1.50 to 1.50); 0.50 | 1.00 of D |",
        "",
        "Abacus (beads, 2 cores), torch 2.0, revision r0, 2026-01-01.",
    ]


def test_floors(make_results: Callable[..., Results]) -> None:
    lines = floors_table(make_results(0)).splitlines()
    assert lines[0].startswith("| case | mode | ours, ms | of floor | reference | torch.compile | plain PyTorch | ")
    assert lines[2].startswith("| upsample2d-demo-4x128x32x32 | forward | ")
    assert len(lines) == 2 + 18 + 2


def test_training(make_results: Callable[..., Results]) -> None:
    times = {"auto": Timing(median=1500, q1=1400, q3=1600, rounds=5, ratio=1.0)}
    row = Row(case="training-demo", mode="training", threads=1, network="demo", ours="auto", times=times)
    assert training_table(replace(make_results(0), rows=[row])).splitlines()[:3] == [
        "| network | auto |",
        "|---|---|",
        "| demo | 1.50 (1.40 to 1.60) |",
    ]
