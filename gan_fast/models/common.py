"""What models share: named configurations, checks of what a network is given, twice the size bilinearly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

C = TypeVar("C")


def preset(presets: Mapping[str, C], name: str, **overrides) -> C:
    """The configuration called name, with some of its fields replaced.

    Raises ValueError for a name that presets lacks and for an unknown field.
    """
    if name not in presets:
        raise ValueError(f"preset: got {name!r}, takes {', '.join(presets)}")
    return dataclasses.replace(presets[name], **known(type(presets[name]), overrides))


def configure(kind: type[C], presets: Mapping[str, C], config: str | C | Mapping, overrides: Mapping) -> C:
    """A configuration from a preset's name, another one, or a mapping of its fields, with some fields replaced.

    Raises ValueError for a name that presets lacks and for an unknown field.
    """
    if isinstance(config, str):
        return preset(presets, config, **overrides)
    if not isinstance(config, kind):
        return kind(**known(kind, {**config, **overrides}))
    return dataclasses.replace(config, **known(kind, overrides))


def known(kind: type, fields: Mapping) -> dict:
    """The fields, all of which a configuration of this kind has; ValueError for one that it has not."""
    names = [f.name for f in dataclasses.fields(kind)]
    unknown = [name for name in fields if name not in names]
    if unknown:
        raise ValueError(f"fields: got {', '.join(map(repr, unknown))}, takes {', '.join(names)}")
    return dict(fields)


def rows(name: str, x: Tensor | None, dim: int, like: Tensor) -> Tensor:
    """x [N, dim], in the dtype of like."""
    if x is None or x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"{name}: got {None if x is None else list(x.shape)}, takes a tensor of shape [N, {dim}]")
    return x.to(like.dtype)


def labels(c: Tensor | None, c_dim: int, of: Tensor, name: str) -> Tensor | None:
    """c [N, c_dim] for the N rows of `of`, in its dtype; None where c_dim is 0."""
    if c_dim == 0:
        if c is not None and c.numel() > 0:
            raise ValueError(f"c: got shape {list(c.shape)}, takes None or [N, 0] as c_dim is 0")
        return None
    c = rows("c", c, c_dim, of)
    if len(c) != len(of):
        raise ValueError(f"c: got {len(c)} labels, takes one for each of the {len(of)} {name}")
    return c


def images(img: Tensor, channels: int, size: tuple[int, int], like: Tensor) -> Tensor:
    """img [N, channels, *size], in the dtype of like."""
    if img.ndim != 4 or img.shape[1:] != (channels, *size):
        raise ValueError(f"img: got shape {list(img.shape)}, takes [N, {channels}, {size[0]}, {size[1]}]")
    return img.to(like.dtype)


def check_ws(ws: Tensor, num_ws: int, w_dim: int) -> None:
    """Raises ValueError unless ws is [N, num_ws, w_dim]."""
    if ws.ndim != 3 or ws.shape[1:] != (num_ws, w_dim):
        raise ValueError(f"ws: got shape {list(ws.shape)}, takes [N, {num_ws}, {w_dim}]")


def styles(w: Tensor, w_avg: Tensor, num_ws: int, psi: float, cutoff: int | None) -> Tensor:
    """ws [N, num_ws, w_dim] of w [N, w_dim], the first cutoff of them (None: all) w_avg + psi (w - w_avg)."""
    ws = w[:, None].expand(-1, num_ws, -1)
    if psi == 1:
        return ws
    n = num_ws if cutoff is None else min(max(cutoff, 0), num_ws)
    return torch.cat([w_avg.lerp(ws[:, :n], psi), ws[:, n:]], 1)


def enlarged(x: Tensor) -> Tensor:
    """x [N, C, H, W] -> [N, C, 2 H, 2 W]: bilinear, along each axis 3/4 of the nearest and 1/4 of the next pixel.

    Borders repeat, where a FIR filter of the taps [1, 3, 3, 1] meets zeros.
    """
    return nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class StyleBased(nn.Module):
    """G(z, c) = synthesis(mapping(z, c)), which a generator that inherits from this has as its modules."""

    mapping: nn.Module
    synthesis: nn.Module

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "random",
        update_emas: bool = False,
    ) -> Tensor:
        """Draw images [N, img_channels, H, W], about [-1, 1], from z [N, z_dim] and c [N, c_dim].

        truncation_psi 1 leaves w as it is and 0 gives w_avg's image; truncation_cutoff limits it to the first layers;
        update_emas moves w_avg (for training steps).
        """
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_emas)
        return self.synthesis(ws, noise_mode)
