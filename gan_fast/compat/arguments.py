"""What the dialects write in other ways than gan_fast.ops."""

from __future__ import annotations

BACKENDS = {"cuda": None, "ref": "reference"}


def backend_of(impl: str) -> str | None:
    """`impl="ref"` is the reference; "cuda" leaves the choice to gan_fast, on a CPU too."""
    if impl not in BACKENDS:
        raise ValueError(f"impl: got {impl!r}, takes {', '.join(BACKENDS)}")
    return BACKENDS[impl]


def number(value: object) -> float | None:
    """Settings may be NumPy's numbers or tensors of one element."""
    return None if value is None else float(value)
