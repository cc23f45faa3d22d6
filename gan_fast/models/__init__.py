"""Networks, one file a paper: each is read top to bottom and stands on gan_fast.layers and gan_fast.ops.

A file here is a family. It has a frozen dataclass `Config`, `PRESETS: dict[str, Config]` and `build(config) -> (G, D)`.
G has z_dim, c_dim, img_resolution, img_channels and images = G(z, c); style-based ones also mapping, synthesis and
num_ws. D has logits = D(images, c). Families are found by listing this folder and imported when first asked for.
`vae`, which GANs are compared with, is none, as it has an encoder and a loss of its own; `common` is what all share.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from torch import nn

from gan_fast.models.common import known


def families() -> list[str]:
    """The names of the families: the files in this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in ("common", "vae"))


def presets() -> dict[str, str]:
    """The names of all presets, and the family that each belongs to."""
    return {name: family for family in families() for name in _module(family).PRESETS}


def preset(name: str, **overrides: Any) -> Any:
    """The configuration called `name`, with some of its fields replaced: preset("digits", c_dim=0).

    Raises ValueError for a name that no family has and for an unknown field.
    """
    families_of = presets()
    if name not in families_of:
        raise ValueError(f"preset: got {name!r}, takes {', '.join(families_of)}")
    config = _module(families_of[name]).PRESETS[name]
    return dataclasses.replace(config, **known(type(config), overrides))


def build(config: Any) -> tuple[nn.Module, nn.Module]:
    """Make (G, D) from a family's Config."""
    return _module(_family(config)).build(config)


def to_fields(config: Any) -> dict[str, Any]:
    """A configuration as JSON holds it: its fields, and its family under "family"."""
    return {"family": _family(config), **dataclasses.asdict(config)}


def from_fields(fields: dict[str, Any]) -> Any:
    """The configuration that `to_fields` was given, also after JSON has made lists of its tuples.

    Raises ValueError for a family that is not here and for an unknown field.
    """
    fields = dict(fields)
    name = fields.pop("family", None)
    if name not in families():
        raise ValueError(f"family: got {name!r}, takes {', '.join(families())}")
    config = _module(name).Config
    return config(**{k: tuple(v) if isinstance(v, list) else v for k, v in known(config, fields).items()})


def _family(config: Any) -> str:
    return type(config).__module__.rpartition(".")[2]


def _module(family: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{family}")
