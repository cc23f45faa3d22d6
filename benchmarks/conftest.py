"""Options and the results file of `pytest benchmarks`."""

from __future__ import annotations

import pytest
import record
import torch
from race import tune_malloc


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="a few cases, two minutes")
    parser.addoption("--results", default="", help="results file (benchmarks/results/<date>-<device>.json)")


def pytest_configure(config: pytest.Config) -> None:
    config.malloc = tune_malloc()
    config.rows = []


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if config.rows:
        about = {"malloc": config.malloc, "quick": config.getoption("--quick")}
        print(f"\nresults: {record.write(config.rows, about, config.getoption('--results'))}")
