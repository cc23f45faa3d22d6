"""Options and the results file of `pytest benchmarks`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_fast.benchmarks import record
from gan_fast.benchmarks.measure import Bench


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="a few cases, three minutes")
    parser.addoption("--results", default="", help="results file (benchmarks/results/<date>-<device>.json)")


def pytest_configure(config: pytest.Config) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config.bench = Bench(device, quick=config.getoption("--quick"))
    config.rows = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if config.rows:
        results = config.bench.results(config.rows)
        path = Path(config.getoption("--results") or record.default_path(results.machine))
        record.write(results, path)
        print(f"\nresults: {path}")
