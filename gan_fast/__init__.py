"""gan_fast: fast layers, models and training for StyleGAN-family networks.

`gan_fast.load(path)` reads StyleGAN2 checkpoints of every common dialect, `gan_fast.save(path, model)` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_fast.compat.checkpoints import load, save

__all__ = ["load", "save"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from gan_fast.compat import checkpoints

        return getattr(checkpoints, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
