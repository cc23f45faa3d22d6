"""gan_fast: fast layers, models and training for StyleGAN-family networks.

`gan_fast.load(path)` reads StyleGAN2 and StyleGAN3 checkpoints of every common dialect, `gan_fast.save(path, model)`
writes them; `gan_fast.patch(module)` swaps the layers of other people's networks for fast ones.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_fast.compat.checkpoints import load, save
    from gan_fast.compat.patch import patch

__all__ = ["load", "patch", "save"]

_HOMES = {"load": "checkpoints", "save": "checkpoints", "patch": "patch"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gan_fast.compat.{_HOMES[name]}"), name)
