"""The arguments that build StyleGAN2 networks, from the names and shapes of their tensors, under our names.

Those of StyleGAN3's generator are in the file, as shapes do not tell its bands; they are checked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gan_fast.compat.files import LUCIDRAINS, some
from gan_fast.compat.pickles import CheckpointError
from gan_fast.models import stylegan2, stylegan2_clean, stylegan2_lucidrains, stylegan3

MAX_SIDE = 4096
# What NVlabs' layers and ours keep under the same name, and images depend on.
_ATTRIBUTES = (
    "activation",
    "up",
    "down",
    "padding",
    "conv_clamp",
    "weight_gain",
    "bias_gain",
    "group_size",
    "output_scale",
)
# What NVlabs' StyleGAN3 generator calls fields of `stylegan3.Config`; the others have the same names and defaults.
_RELEASED = {"channel_base": "g_channel_base", "channel_max": "g_channel_max"}
_KINDS = {"int": (int,), "float": (int, float), "bool": (bool,)}


def of_generator(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `stylegan2.Config` for a generator with these tensors; "channels" at each resolution; "filter"."""
    layers = _mapping_layers(state)
    sides = _sides(state, "synthesis.b{}.conv1.weight", 4)
    (const, first, last, rgb) = _shapes(
        state,
        ("synthesis.b4.const", 3),
        ("mapping.fc0.weight", 2),
        (f"mapping.fc{layers - 1}.weight", 2),
        (f"synthesis.b{sides[-1]}.torgb.weight", 4),
    )
    c_dim = _c_dim(state)
    z_dim = first[1] - (last[0] if c_dim else 0)
    if z_dim < 0:
        raise CheckpointError(f"its mapping.fc0.weight has shape {list(first)}, too small for labels")
    size = (const[1] * sides[-1] // 4, const[2] * sides[-1] // 4)
    if max(size) > MAX_SIDE:
        raise CheckpointError(f"its images would have {size[0]} x {size[1]} pixels, more than {MAX_SIDE} x {MAX_SIDE}")
    return {
        "img_resolution": size[0] if size[0] == size[1] else size,
        "img_channels": rgb[0],
        "c_dim": c_dim,
        "z_dim": z_dim,
        "w_dim": last[0],
        "num_layers": layers,
        "architecture": _architecture(state, "synthesis.b4.torgb.weight", "synthesis.b8.skip.weight"),
        "channels": {r: _shapes(state, (f"synthesis.b{r}.conv1.weight", 4))[0][0] for r in sides},
        "filter": state.get("synthesis.b8.conv0.resample_filter"),
    }


def of_discriminator(state: Mapping[str, Tensor], size: int | tuple[int, int] | None = None) -> dict[str, Any]:
    """As `of_generator`. Only where images are not square must their size be given: tensors tell their area alone."""
    sides = [4, *_sides(state, "b{}.conv0.weight", 8)]
    conv, fc, out, rgb = _shapes(
        state, ("b4.conv.weight", 4), ("b4.fc.weight", 2), ("b4.out.weight", 2), (f"b{sides[-1]}.fromrgb.weight", 4)
    )
    if conv[1] < conv[0]:
        raise CheckpointError(f"its b4.conv.weight has shape {list(conv)}")
    square = fc[1] == 16 * conv[0]
    if not square and size is None:
        raise CheckpointError(
            "its discriminator is for images that are not square, and the file does not tell their size"
        )
    layers = _mapping_layers(state)
    labels: dict[str, Any] = {"c_dim": _c_dim(state)}
    if layers:
        labels |= {"d_num_layers": layers, "cmap_dim": None if out[0] == conv[0] else out[0]}
    channels = {r: _shapes(state, (f"b{r}.conv0.weight", 4))[0][0] for r in sides[1:]}
    return {
        "img_resolution": sides[-1] if square else size,
        "img_channels": rgb[1],
        **labels,
        "d_architecture": _architecture(state, "b4.fromrgb.weight", "b8.skip.weight") if channels else "resnet",
        "mbstd_num_channels": conv[1] - conv[0],
        "channels": {4: conv[0], **channels},
        "filter": state.get("b8.conv1.resample_filter"),
    }


def of_stylegan3(state: Mapping[str, Tensor], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `stylegan3.Config`, as the file has them in `fields`, for a generator with these tensors.

    Raises CheckpointError for what no configuration has, or is out of range; building shows whether shapes agree.
    """
    kinds = {f.name: f.type for f in dataclasses.fields(stylegan3.Config)}
    if unknown := fields.keys() - kinds.keys():
        raise CheckpointError(f"its generator is made with {some(unknown)}, which gan_fast's StyleGAN3 has not")
    if "img_resolution" not in fields:
        raise CheckpointError("it does not say what its StyleGAN3 generator is made with, which shapes do not tell")
    for key, value in fields.items():
        known = _KINDS.get(kinds[key])
        if known and not (type(value) in known and 0 <= value < 1e9):
            raise CheckpointError(f"its {key} is {value!r:.50}")
    layers = len({name.split(".")[1] for name in state if name.startswith("synthesis.L")}) - 1
    if layers != (said := fields.get("num_layers", stylegan3.Config.num_layers)):
        raise CheckpointError(f"its generator has {layers} layers, not {said}")
    if max(fields["img_resolution"], fields.get("margin_size", 0)) > MAX_SIDE:
        raise CheckpointError(f"its images, or their margins, would have more than {MAX_SIDE} x {MAX_SIDE} pixels")
    facts = {**fields, **checked_hints(fields), "num_mapping_layers": _mapping_layers(state), "num_lowprec_res": 0}
    facts.pop("lowprec_dtype", None)
    return facts


def released_stylegan3(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `stylegan3.Config` for the arguments of NVlabs' StyleGAN3 generator."""
    fields = {_RELEASED.get(key, key): value for key, value in arguments.items()}
    fields.pop("num_fp16_res", None)
    fields.pop("use_radial_filters", None)  # filters of R and T differ in shape
    if "conv_kernel" in fields:
        fields["rotation"] = fields.pop("conv_kernel") == 1
    return fields


def stylegan3_from(
    fields: Mapping[str, Any], discriminator: Mapping[str, Any] | None, hints: Mapping[str, Any]
) -> stylegan3.Config:
    """One configuration for `of_stylegan3`, and `of_discriminator` where there is one."""
    seen: dict[str, Any] = {}
    if discriminator is not None:
        seen["channel_base"], seen["channel_max"] = _channel_rule(discriminator["channels"])
        if "d_num_layers" in discriminator:
            seen["d_num_layers"] = discriminator["d_num_layers"]
    return stylegan3.Config(**{**fields, **seen, **hints})


def of_clean(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `stylegan2_clean.Config` for a generator with these tensors; "channels" at each resolution."""
    sides = _sides(state, "synthesis.b{}.conv1.weight", 4)
    (_, z_dim), rgb, *convs = _shapes(
        state,
        ("mapping.fc0.weight", 2),
        (f"synthesis.b{sides[-1]}.torgb.weight", 4),
        *((f"synthesis.b{r}.conv1.weight", 4) for r in sides),
    )
    return {
        "img_resolution": sides[-1],
        "img_channels": rgb[0],
        "z_dim": z_dim,
        "num_layers": _mapping_layers(state),
        "channels": {r: shape[0] for r, shape in zip(sides, convs, strict=True)},
    }


def clean_from(parts: list[dict[str, Any]], hints: Mapping[str, Any]) -> stylegan2_clean.Config:
    """As `config_from`, with `of_clean` in place of `of_generator`; building shows whether they agree in the rest."""
    known = {f.name for f in dataclasses.fields(stylegan2_clean.Config)}
    fields: dict[str, Any] = {key: value for key, value in hints.items() if key in known}
    channels: dict[int, int] = {}
    for part in parts:
        _join(fields, {key: value for key, value in part.items() if key in known})
        _join(channels, part["channels"])
    base, largest = _channel_rule(channels)
    return stylegan2_clean.Config(**fields, channel_base=base, channel_max=largest)


def of_lucidrains(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `stylegan2_lucidrains.Config` for a generator or a discriminator with these tensors."""
    is_generator = LUCIDRAINS[0] in state
    at, first, image = ("synthesis.b{}.", 4, "torgb") if is_generator else ("b{}.", 2, "skip")
    sides = _sides(state, f"{at}conv1.weight", first)
    names = [f"{at.format(sides[-1])}{image}.weight", *(f"{at.format(r)}conv1.weight" for r in sides)]
    rgb, *convs = _shapes(state, *((name, 4) for name in names))
    facts = {
        "img_resolution": sides[-1],
        "channel_max": max(shape[0] for shape in convs),
        "attention": tuple(r for r in sides if f"{at.format(r)}attention.0.q.weight" in state),
    }
    top = convs[-1][0]
    if not is_generator:
        quantized = tuple(r for r in sides if f"b{r}.quantizer.codes" in state)
        if quantized:
            ((_, codes),) = _shapes(state, (f"b{quantized[0]}.quantizer.codes", 2))
            facts |= {"quantized": quantized, "codes": codes}
        return {**facts, "img_channels": rgb[1], "d_capacity": -(-top // 4)}
    ((_, z_dim),) = _shapes(state, ("mapping.fc0.weight", 2))
    return {
        **facts,
        "img_channels": rgb[0],
        "capacity": -(-top // 2),
        "z_dim": z_dim,
        "num_layers": _mapping_layers(state),
        "const": "synthesis.const" in state,
    }


def lucidrains_from(parts: list[dict[str, Any]]) -> stylegan2_lucidrains.Config:
    """One configuration for networks whose geometries are given; building shows whether they agree in the rest."""
    fields: dict[str, Any] = {}
    for part in parts:
        _join(fields, {key: value for key, value in part.items() if key not in ("attention", "channel_max")})
    attention = tuple(sorted({side for part in parts for side in part["attention"]}))
    largest = max(part["channel_max"] for part in parts)
    return stylegan2_lucidrains.Config(**fields, attention=attention, channel_max=largest)


def config_from(parts: list[dict[str, Any]], hints: Mapping[str, Any]) -> stylegan2.Config:
    """One configuration for networks whose geometries are given; hints: what shapes do not show."""
    fields: dict[str, Any] = {}
    channels: dict[int, int] = {}
    for part in parts:
        _join(fields, {key: value for key, value in part.items() if key not in ("channels", "filter")})
        _join(channels, part["channels"])
    filters = [part["filter"] for part in parts if part["filter"] is not None]
    if filters:
        fields["resample_filter"] = _taps(filters[0])
    base, largest = _channel_rule(channels)
    return stylegan2.Config(**fields, channel_base=base, channel_max=largest, **hints)


def _join(known: dict[Any, Any], new: Mapping[Any, Any]) -> None:
    for key, value in new.items():
        if known.setdefault(key, value) != value:
            raise CheckpointError(
                f"its networks differ in {key}, {known[key]} and {value}; discriminator=False loads one alone"
            )


def attributes_of(module: nn.Module) -> dict[str, dict[str, Any]]:
    """What `check_attributes` compares, for each layer of ours."""
    return {name: {k: v for k, v in vars(m).items() if k in _ATTRIBUTES} for name, m in module.named_modules()}


def check_attributes(module: nn.Module, attributes: Mapping[str, Mapping[str, Any]], prefix: str) -> None:
    """Raises CheckpointError where a layer's attributes in the file are not those of ours, as far as they are there."""
    for name, ours in attributes_of(module).items():
        theirs = attributes.get(f"{prefix}{name}", {})
        for key in ours.keys() & theirs.keys():
            a, b = ours[key], theirs[key]
            close = isinstance(a, float) and _is_number(b) and abs(a - b) <= 1e-6 * abs(a)
            if a != b and not close:
                raise CheckpointError(f"{prefix}{name} has {key} {b!r:.50}, where gan_fast has {a!r}")


def hints_from(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of a configuration that are attributes of layers."""
    hints: dict[str, Any] = {}
    for name, values in attributes.items():
        if name.endswith((".conv1", "b4.conv")) and "conv_clamp" in values:
            hints["conv_clamp"] = values["conv_clamp"]
        if name.endswith("mbstd") and "group_size" in values:
            hints["mbstd_group_size"] = values["group_size"]
    return checked_hints(hints)


def checked_hints(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the fields of a configuration that shapes do not show.

    Raises CheckpointError for one that is out of range.
    """
    allowed = {
        "conv_clamp": lambda x: x is None or (_is_number(x) and x > 0),
        "mbstd_group_size": lambda x: x is None or (type(x) is int and 0 < x < 1e9),
    }
    hints = {key: fields[key] for key in allowed if key in fields}
    for key, value in hints.items():
        if not allowed[key](value):
            raise CheckpointError(f"its {key} is {value!r:.50}")
    return hints


def _is_number(x: Any) -> bool:
    return type(x) in (int, float) and abs(x) < 1e9


def _mapping_layers(state: Mapping[str, Tensor]) -> int:
    layers = 0
    while f"mapping.fc{layers}.weight" in state:
        layers += 1
    return layers


def _sides(state: Mapping[str, Tensor], name: str, first: int) -> list[int]:
    """The resolutions first, 2 first, ... for which the state has `name`."""
    sides = []
    side = first
    while name.format(side) in state and side <= MAX_SIDE:
        sides.append(side)
        side *= 2
    return sides or [first] if first < 8 else sides


def _shapes(state: Mapping[str, Tensor], *wanted: tuple[str, int]) -> list[tuple[int, ...]]:
    for name, ndim in wanted:
        if name not in state:
            raise CheckpointError(f"it lacks {name}")
        if state[name].ndim != ndim or 0 in state[name].shape:
            raise CheckpointError(f"its {name} has shape {list(state[name].shape)}")
    return [tuple(state[name].shape) for name, _ in wanted]


def _c_dim(state: Mapping[str, Tensor]) -> int:
    return _shapes(state, ("mapping.embed.weight", 2))[0][1] if "mapping.embed.weight" in state else 0


def _architecture(state: Mapping[str, Tensor], skip: str, resnet: str) -> str:
    return "skip" if skip in state else "resnet" if resnet in state else "orig"


def _taps(f: Tensor) -> tuple[float, ...]:
    """Taps whose normalised (outer) product is the filter f, whole numbers where there are such."""
    taps = (f.sum(0) if f.ndim == 2 else f).double()
    if taps.ndim != 1 or not taps.isfinite().all() or not taps.any():
        raise CheckpointError(f"its resampling filter has shape {list(f.shape)}, or no taps")
    ratios = taps / taps[taps != 0].abs().min()
    whole = ratios.round()
    if (ratios - whole).abs().max() < 1e-4:
        return tuple(int(n) for n in whole.tolist())
    return tuple(taps.tolist())


def _channel_rule(channels: Mapping[int, int]) -> tuple[int, int]:
    """channel_base and channel_max, with min(channel_base // r, channel_max) channels at each resolution r."""
    largest, top = max(channels.values()), max(channels)
    base = max([channels[top] * top, *(r * n for r, n in channels.items() if n < largest)])
    if any(min(base // r, largest) != n for r, n in channels.items()):
        raise CheckpointError(f"its channels at each resolution, {channels}, are no min(base // resolution, max)")
    return base, largest
