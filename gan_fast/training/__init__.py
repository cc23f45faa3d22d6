"""Training: the engine (a step in memory), and runs (settings, data, log, checkpoints) on top of it.

Names are imported when they are asked for, so that the engine needs nothing but torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Engine": "engine",
    "Recipe": "recipe",
    "TrainConfig": "config",
    "Trainer": "loop",
    "latest_run": "runs",
    "load_config": "config",
    "load_generator": "runs",
    "make_config": "config",
    "stop_signals": "runs",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
