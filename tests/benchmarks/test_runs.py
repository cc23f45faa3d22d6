"""Figures of trainings are those of their logs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_fast.benchmarks import hotspots, runs, small, traffic
from gan_fast.training import stats
from gan_fast.training.checkpoint import Checkpoint, save_checkpoint


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """The folder of a run of 8 kimg, evaluated every 4, whose distance is 10 at the start and 1 at the end."""

    def make(seed: int, **config: object) -> Path:
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        config = {"seed": seed, "kimg": 8.0, "device": "cpu", "gamma": 1.0, **config}
        for kimg, fd, seconds in ((0.0, 10.0, 0.0), (4.0, 5.0, 2.0), (8.0, 1.0 + seed, 3.0)):
            common = {"step": int(kimg), "kimg": kimg}
            if kimg:
                stats.append(folder, {"kind": "progress", **common, "seconds_per_kimg": seconds})
            real = {"fd_digits": 0.5, "recall": 0.75}
            scores = {"fd_digits": fd, "recall": 0.5, "class_accuracy": 0.25, "real_halves": real}
            stats.append(folder, {"kind": "evaluation", **common, **scores})
        weights = {"G": {"w": torch.zeros(1)}}
        save_checkpoint(folder, Checkpoint(8, config, {}, (), {}, weights), {}, keep=1)
        return folder

    return make


def test_one_run(make_run: Callable[..., Path]) -> None:
    scores = {"recall": 0.5, "class accuracy": 0.25}
    assert runs.rows([make_run(0)]) == [
        {"kimg, seed 0": 0.0, "FD_digits": 10.0, **scores},
        {"kimg, seed 0": 8.0, "FD_digits": 1.0, **scores, "training, s": 20.0, "s/kimg": 2.5},
        {"kimg, seed 0": "real halves", "FD_digits": 0.5, "recall": 0.75},
    ]


def test_runs_of_several_seeds_share_their_rows(make_run: Callable[..., Path]) -> None:
    rows = runs.rows([make_run(0), make_run(2)], kimg=(4, 8))
    assert [row["FD_digits"] for row in rows] == [[5.0, 5.0], [1.0, 3.0], 0.5]
    assert [row["kimg, seeds 0, 2"] for row in rows] == [4, 8, "real halves"]


def test_what_are_no_such_runs_is_named(make_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gamma: differs"):
        runs.rows([make_run(0), make_run(1, gamma=2.0)])
    with pytest.raises(ValueError, match="holds no run with metrics"):
        runs.rows([tmp_path])


def test_small_tables_begin_with_what_real_images_get(tmp_path: Path) -> None:
    row = next(small.TABLES["digit_sets"](tmp_path))
    assert row["set"] == "real halves"
    assert row["class accuracy"] == 1.0


def test_drift_has_the_first_and_the_last_tenth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "LONG", 80)
    first, last = small.TABLES["drift"](tmp_path)
    assert [row["tenth of 80 steps"] for row in (first, last)] == ["first", "last"]
    assert all(0 < row["quartiles"][0] <= row["CPU ms a step, median"] <= row["quartiles"][1] for row in (first, last))


def test_hotspots_are_the_ops_of_a_phase() -> None:
    x = torch.ones(256, 256)
    rows = [f.values for f in hotspots.rows(lambda: [x @ x + x], "G", torch.device("cpu"), most=1)]
    assert [row["op"] for row in rows] == ["aten::mm", "all others", "all"]
    assert rows[0]["calls"] == 1
    assert rows[0]["ms"] + rows[1]["ms"] == pytest.approx(rows[2]["ms"])
    assert rows[2]["%"] == 100


def test_traffic_has_a_row_a_step() -> None:
    found = {("G step", "ours"): traffic.Traffic(), ("G step", "theirs"): traffic.Traffic()}
    found["G step", "ours"].launches["a"] = 3
    found["G step", "ours"].bytes["a"] = 2_500_000_000
    values = {"step": "G step", "ours": "3 launches, 2.5 GB", "theirs": "0 launches, 0.0 GB"}
    assert [figure.values for figure in traffic.rows(found)] == [values]
