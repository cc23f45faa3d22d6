"""Networks, one file a paper: each is read top to bottom and stands on gan_fast.layers and gan_fast.ops alone.

A file here is a family. It has a frozen dataclass `Config`, `PRESETS: dict[str, Config]` and `build(config) -> (G, D)`.
G has z_dim, c_dim, img_resolution, img_channels and images = G(z, c); style-based ones also mapping, synthesis and
num_ws. D has logits = D(images, c). Families are found by listing this folder and imported when first asked for.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from torch import nn


def families() -> list[str]:
    """The names of the families: the files in this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def presets() -> dict[str, str]:
    """The names of all presets, and the family that each belongs to."""
    return {name: family for family in families() for name in _module(family).PRESETS}


def preset(name: str, **overrides: Any) -> Any:
    """The configuration called `name`, with some of its fields replaced: preset("digits", c_dim=0).

    Raises ValueError for a name that no family has and for an unknown field.
    """
    known = presets()
    if name not in known:
        raise ValueError(f"preset: got {name!r}, takes {', '.join(known)}")
    config = _module(known[name]).PRESETS[name]
    return dataclasses.replace(config, **_checked(type(config), overrides))


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
    return config(**{k: tuple(v) if isinstance(v, list) else v for k, v in _checked(config, fields).items()})


def _family(config: Any) -> str:
    return type(config).__module__.rpartition(".")[2]


def _module(family: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{family}")


def _checked(config: type, fields: dict[str, Any]) -> dict[str, Any]:
    names = [f.name for f in dataclasses.fields(config)]
    unknown = [name for name in fields if name not in names]
    if unknown:
        raise ValueError(f"fields: got {', '.join(map(repr, unknown))}, takes {', '.join(names)}")
    return fields
