"""gan_fast: fast layers, models and training for StyleGAN-family networks."""

from __future__ import annotations

import importlib

_LAZY = {"patch": "gan_fast.compat.patch"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
