"""Stands in for the folder benchmarks/ when gan_fast runs from its source tree (an installed package holds it)."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[1] / "benchmarks")]
