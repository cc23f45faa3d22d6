"""Stands in for the folder kernels/ when gan_fast is imported from its source tree (an installed package holds it)."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[1] / "kernels")]
