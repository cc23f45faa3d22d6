"""Floors from ceilings."""

import pytest
import torch
from typer.testing import CliRunner

from gan_fast.benchmarks import roofline
from gan_fast.benchmarks.costs import Cost
from gan_fast.benchmarks.record import Ceiling
from gan_fast.cli import app

CEILING = Ceiling(threads=1, dtype="float32", copy_gbs={1000: 4, 10_000: 5, 100_000: 2}, products_gflops=10)


@pytest.mark.parametrize(
    ("cost", "seconds"),
    [
        (Cost(200_000, 0), 200_000 / 2e9),
        (Cost(20_000, 0), 20_000 / 5e9),  # between two sizes: the faster of what is as large, never too high a floor
        (Cost(2000, 0), 2000 / 5e9),
        (Cost(10, 0), 10 / 5e9),
        (Cost(200_000, 10_000_000), 1e-3),
    ],
)
def test_a_floor_is_the_longer_of_bytes_and_flops(cost: Cost, seconds: float) -> None:
    assert roofline.floor_ms(CEILING, cost) == pytest.approx(1e3 * seconds)


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), roofline.threads_set(before + 1):
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_the_command_shows_copies_and_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SECONDS", 0.0)
    result = CliRunner().invoke(app, ["roofline"])
    assert result.exit_code == 0, result.output
    for shown in ("copy of 256 MiB", "matrix product", "GFLOP/s", "float32, 1 threads"):
        assert shown in result.output
