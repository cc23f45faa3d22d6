"""Checkpoints of StyleGAN2 and StyleGAN3, whoever wrote them: `load`, `save`, `inspect`, `convert`.

A file is read as names and tensors (`gan_fast.compat.pickles`, safetensors), networks are found in it by a name that
each dialect alone has, renamed by `gan_fast.compat.dialects`, and their geometry follows from shapes. What shapes do
not show (clamps, group sizes, the bands of StyleGAN3) is read from the attributes that NVlabs' pickles and our own
files keep; the other dialects fix it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_fast import models
from gan_fast.compat import geometry
from gan_fast.compat.files import (
    CLEAN,
    LATENT,
    LUCIDRAINS,
    STYLEGAN3,
    File,
    Network,
    check_size,
    find_networks,
    left_out,
    open_file,
    our_tensors,
    some,
)
from gan_fast.compat.pickles import CheckpointError
from gan_fast.compat.writers import WRITERS
from gan_fast.models import stylegan2, stylegan2_clean, stylegan2_lucidrains, stylegan3
from gan_fast.ops import setup_filter

W_SAMPLES = 4096
SELF_CHECK = 1e-5

Generator = stylegan2.Generator | stylegan3.Generator | stylegan2_clean.Generator | stylegan2_lucidrains.Generator
Discriminator = stylegan2.Discriminator | stylegan2_lucidrains.Discriminator
Config = stylegan2.Config | stylegan3.Config | stylegan2_clean.Config | stylegan2_lucidrains.Config
FAMILIES = ("stylegan2", "stylegan3", "stylegan2_clean", "stylegan2_lucidrains")

# What the networks of a family are called, and the dialects that express them besides gan_fast.
EXPRESSED_BY = {
    stylegan2.Config: ("StyleGAN2", ("ada", "rosinality", "basicsr", "mmgen")),
    stylegan3.Config: ("StyleGAN3", ()),
    stylegan2_clean.Config: ("clean StyleGAN2", ("gfpgan",)),
    stylegan2_lucidrains.Config: ("lucidrains' StyleGAN2", ("lucidrains",)),
}
SUFFIXES = {".safetensors": "gan_fast", ".pkl": "ada", ".pt": "rosinality", ".pth": "basicsr"}


@dataclass
class Model:
    """What `load` returns and `save` takes.

    Attributes:
        generator: the moving average where the file has one; None where it has no generator.
        discriminator: or None.
        config: arguments that build the same pair, of the generator's family.
        trained: the generator that was being trained, where the file has it beside its average.
        dialect: "gan_fast", "ada", "rosinality", "basicsr", "gfpgan", "mmgen" or "lucidrains".
        class_names: names of the classes; numbers where the file has no names.
        extras: what else the file says in numbers and texts: training arguments, steps.
    """

    generator: Generator | None
    discriminator: Discriminator | None
    config: Config
    trained: Generator | None = None
    dialect: str = "gan_fast"
    class_names: tuple[str, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A network that `inspect` finds.

    Attributes:
        role: "G_ema", "G" or "D".
        dialect, prefix: whose names its tensors have, and what stands before them.
        geometry: arguments of the family's Config; of StyleGAN2's also channels at each resolution.
        refused: why gan_fast does not build it, or None.
    """

    role: str
    dialect: str
    prefix: str
    geometry: dict[str, Any]
    refused: str | None = None


@dataclass(frozen=True)
class Summary:
    """What `inspect` finds.

    Attributes:
        path, nbytes, container: the file, its size, and "safetensors", "pickle", "torch zip" or "torch legacy".
        tensors: for each name the dtype and shape.
        networks: the networks that gan_fast knows.
        refused: why there are none, or None.
        left_out: for each part of the file that is in no network how many tensors it has: encoders, optimisers.
        extras: numbers and texts.
        sources: for each object whose source code the file embeds, how many characters. It is never executed.
    """

    path: Path
    nbytes: int
    container: str
    tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]]
    networks: list[Found]
    refused: str | None
    left_out: dict[str, int]
    extras: dict[str, Any]
    sources: dict[str, int]


# ---------------------------------------------------------------- the public functions


def load(path: str | Path, *, discriminator: bool = True) -> Model:
    """Read StyleGAN2 and StyleGAN3 networks from a file of any dialect, as our models, for evaluation.

    They are in float32 on the CPU; what else the file holds, such as encoders, is left out (`inspect` lists it).
    Nothing that the file contains is executed, and no package of its dialect is needed. Images are those of the code
    that wrote the file. A mean latent that it lacks is the mean over 4096 latents (of lucidrains' files of those of the
    network in training, as there, for the average too); noise planes that it lacks are drawn. Both are the same every
    time.

    Args:
        path: NVlabs' .pkl (stylegan2-ada-pytorch, stylegan3), rosinality's .pt, BasicSR's and GFPGAN's .pth (of GFPGAN
            the decoder, without conditions), mmgeneration's .pth, lucidrains' .pt, gan_fast's .safetensors.
        discriminator: read it too, where there is one.

    Raises:
        CheckpointError: the file cannot be read, or holds no network that gan_fast builds; it is named, with
            the reason.
    """
    file = open_file(path)
    family = _metadata(file).get("family", "stylegan2")
    if family not in FAMILIES:
        raise CheckpointError(
            f"cannot load {path}: it holds networks of the family {family!r:.50}; gan_fast.training.load_generator does"
        )
    try:
        networks = {n.role: n for n in find_networks(file) if discriminator or n.role != "D"}
        check_size(file, networks.values())
        states = {role: our_tensors(network, load=True) for role, network in networks.items()}
        return _model(file, networks, states)
    except CheckpointError as error:
        raise CheckpointError(f"cannot load {path}: {error}") from None


def inspect(path: str | Path) -> Summary:
    """List what a checkpoint holds, without loading a tensor or executing anything.

    Raises:
        CheckpointError: the file cannot be read; it is named.
    """
    file = open_file(path)
    tensors = {name: (x.dtype, tuple(x.shape)) for name, x in file.tensors.items()}
    found: list[Found] = []
    refused = None
    rest: dict[str, int] = {}
    try:
        networks = find_networks(file)
        found = [_describe(file, network) for network in networks]
        rest = left_out(file, networks)
    except CheckpointError as error:
        refused = str(error)
    return Summary(file.path, file.nbytes, file.container, tensors, found, refused, rest, file.extras, file.sources)


def _describe(file: File, network: Network) -> Found:
    try:
        state = our_tensors(network, load=False)
        if STYLEGAN3 in state:
            facts = geometry.of_stylegan3(state, _stylegan3_fields(file, network))
        elif _is_clean(network, state):
            facts = geometry.of_clean(state)
        elif _is_lucidrains(state):
            facts = geometry.of_lucidrains(state)
        else:
            facts = geometry.of_discriminator(state) if network.role == "D" else geometry.of_generator(state)
        facts.pop("filter", None)
        return Found(network.role, network.dialect, network.prefix, facts)
    except CheckpointError as error:
        return Found(network.role, network.dialect, network.prefix, {}, str(error))


def save(path: str | Path, model: Model | Generator, *, dialect: str | None = None) -> Path:
    """Write networks as a file of a dialect, so that `load` and that dialect's own code read it.

    Args:
        path: the file; replaced if there.
        model: what `load` returns, or a generator of `gan_fast.models.stylegan2`, `stylegan3`, `stylegan2_clean` or
            `stylegan2_lucidrains`.
        dialect: "gan_fast" (safetensors, configuration in its metadata), "ada" (a pickle whose embedded source imports
            gan_fast), "rosinality", "basicsr" (one network a file: the generator), "gfpgan" (the same), "mmgen" or
            "lucidrains"; None: by the suffix, .safetensors, .pkl, .pt, .pth. StyleGAN3 goes into "gan_fast" alone,
            clean networks into that and "gfpgan", lucidrains' networks into that and "lucidrains".

    Raises:
        ValueError: the dialect is unknown, or cannot express the networks; says what it cannot.
    """
    path = Path(path)
    dialect = dialect or SUFFIXES.get(path.suffix)
    if dialect not in WRITERS:
        raise ValueError(f"dialect: got {dialect!r}, takes {', '.join(WRITERS)}")
    if isinstance(model, nn.Module):
        model = Model(model, None, config_of(model))
    name, writers = EXPRESSED_BY[type(model.config)]
    if dialect not in ("gan_fast", *writers):
        able = ", ".join(("gan_fast (.safetensors)", *writers))
        raise ValueError(f"dialect: {dialect} cannot express {name} networks, only {able} can")
    from gan_fast.training.checkpoint import write_atomically  # loads what trains; reading needs none of it

    write_atomically(path, lambda file: WRITERS[dialect](model, file))
    return path


def convert(
    source: str | Path, target: str | Path, *, dialect: str | None = None, discriminator: bool = True
) -> tuple[Model, float]:
    """Load `source`, write it as `target`, read that again and compare the images of both.

    Returns the model that was read again and the largest difference of its images, as a share of the largest pixel.

    Raises:
        CheckpointError: `source` cannot be loaded, or the images differ by more than 1e-5.
        ValueError: the dialect cannot express the networks.
    """
    model = load(source, discriminator=discriminator)
    save(target, model, dialect=dialect)
    again = load(target, discriminator=discriminator)
    error = 0.0
    for mine, theirs in ((again.generator, model.generator), (again.discriminator, model.discriminator)):
        if mine is not None:
            error = max(error, _difference(mine, theirs, model.config))
    if not error <= SELF_CHECK:
        raise CheckpointError(
            f"{target}: its images differ from those of {source} by {error:.1e} of their range, so it is not the same"
            f" network{'' if getattr(model.config, 'conv_clamp', None) is None else ': that dialect has no conv_clamp'}"
        )
    return again, error


def config_of(generator: Generator, discriminator: Discriminator | None = None) -> Config:
    """The configuration that builds networks like these."""
    if not isinstance(generator, stylegan2.Generator):
        return generator.config
    parts = [geometry.of_generator(generator.state_dict())]
    hints = geometry.hints_from(geometry.attributes_of(generator))
    if discriminator is not None:
        parts.append(geometry.of_discriminator(discriminator.state_dict(), generator.img_resolution))
        hints |= geometry.hints_from(geometry.attributes_of(discriminator))
    return geometry.config_from(parts, hints)


# ---------------------------------------------------------------- our models from tensors


def _model(file: File, networks: Mapping[str, Network], states: dict[str, dict[str, Tensor]]) -> Model:
    config = _config(file, networks, states)
    try:
        with torch.device("meta"):
            built = {role: models.build(config)[role == "D"] for role in networks}
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise CheckpointError(f"its shapes are no StyleGAN's: {error}") from None
    for role, module in built.items():
        geometry.check_attributes(module, file.attributes, networks[role].prefix)
        _assign(role, module, states[role], config, _latent(file, config) if role == "G_ema" else None)
    names = file.extras.get("class_names")
    if not (isinstance(names, list) and len(names) == config.c_dim and all(isinstance(n, str) for n in names)):
        names = [str(i) for i in range(config.c_dim)]
    dialect = next(iter(networks.values())).dialect
    if dialect == "lucidrains" and "G" in built:  # that project truncates the average towards G's mean
        built["G_ema"].mapping.w_avg.copy_(built["G"].mapping.w_avg)
    return Model(built.get("G_ema"), built.get("D"), config, built.get("G"), dialect, tuple(names), dict(file.extras))


def _config(file: File, networks: Mapping[str, Network], states: Mapping[str, Mapping[str, Tensor]]) -> Config:
    hints = geometry.checked_hints(_metadata(file))
    for network in networks.values():
        of_network = {n: a for n, a in file.attributes.items() if n.startswith(network.prefix)}
        hints |= geometry.hints_from(of_network)
    if any(_is_lucidrains(state) for state in states.values()):
        return geometry.lucidrains_from([geometry.of_lucidrains(state) for state in states.values()])
    generators = [role for role in ("G_ema", "G") if role in states]
    if generators and STYLEGAN3 in states[generators[0]]:
        fields = geometry.of_stylegan3(states[generators[0]], _stylegan3_fields(file, networks[generators[0]]))
        discriminator = geometry.of_discriminator(states["D"]) if "D" in states else None
        return geometry.stylegan3_from(fields, discriminator, hints)
    clean = any(_is_clean(networks[role], states[role]) for role in generators)
    parts = [(geometry.of_clean if clean else geometry.of_generator)(states[role]) for role in generators]
    if "D" in states:
        parts.append(geometry.of_discriminator(states["D"], parts[0]["img_resolution"] if parts else None))
    return (geometry.clean_from if clean else geometry.config_from)(parts, hints)


def _is_clean(network: Network, state: Mapping[str, Tensor]) -> bool:
    return network.dialect == "gfpgan" or CLEAN in state


def _is_lucidrains(state: Mapping[str, Tensor]) -> bool:
    return any(name in state for name in LUCIDRAINS)


def _metadata(file: File) -> dict[str, Any]:
    """What our own files say of their configuration."""
    fields = file.extras.get("network")
    return fields if isinstance(fields, dict) else {}


def _stylegan3_fields(file: File, network: Network) -> dict[str, Any]:
    """What a file says of its StyleGAN3 generator's configuration."""
    fields = _metadata(file) or geometry.released_stylegan3(file.attributes.get(f"{network.prefix}_init_kwargs", {}))
    return {key: value for key, value in fields.items() if key != "family"}


def _assign(role: str, module: nn.Module, state: dict[str, Tensor], config: Config, latent: Any) -> None:
    """Give a module on the meta device its tensors, and those which dialects leave out."""
    draw = torch.Generator().manual_seed(0)
    wanted = module.state_dict()
    for name in wanted.keys() - state.keys():
        if name.endswith("resample_filter"):
            state[name] = setup_filter(stylegan2.Config.resample_filter)  # of those who store none
    for name, x in wanted.items():
        if name not in state and name.endswith("noise_const"):
            state[name] = torch.randn(x.shape, generator=draw)
    mean_wanted = "mapping.w_avg" in wanted.keys() - state.keys() and config.z_dim == config.w_dim
    if mean_wanted:
        state["mapping.w_avg"] = torch.zeros(config.w_dim)
    if missing := wanted.keys() - state.keys():
        raise CheckpointError(f"{role} lacks {some(missing)}")
    if unknown := state.keys() - wanted.keys():
        raise CheckpointError(f"{role} has {some(unknown)}, which gan_fast's network has not")
    for name, x in wanted.items():
        if x.shape != state[name].shape:
            raise CheckpointError(f"{role}: {name} has shape {list(state[name].shape)}, not {list(x.shape)}")
    module.load_state_dict(state, assign=True)
    module.eval().requires_grad_(False)
    if mean_wanted:
        module.mapping.w_avg.copy_(_mean_latent(module) if latent is None else latent)


def _latent(file: File, config: Config) -> Tensor | None:
    """The mean latent that rosinality's files keep beside the networks, [w_dim], or once for each layer."""
    latent = file.tensors.get(LATENT)
    if latent is None or latent.shape[-1:] != (config.w_dim,) or latent.nbytes > file.nbytes:
        return None
    return latent.tensor().float().reshape(-1, config.w_dim)[0]


@torch.no_grad()
def _mean_latent(generator: stylegan2.Generator) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return generator.mapping(torch.randn(W_SAMPLES, generator.z_dim, generator=draw))[:, 0].mean(0)


@torch.no_grad()
def _difference(mine: nn.Module, theirs: nn.Module, config: Config) -> float:
    """The largest difference of what two networks compute, as a share of the largest number."""
    draw = torch.Generator().manual_seed(0)
    n = 4
    c = torch.eye(config.c_dim)[torch.arange(n) % config.c_dim] if config.c_dim else None
    if isinstance(mine, Generator):
        z = torch.randn(n, config.z_dim, generator=draw) if config.z_dim else None
        a, b = (network(z, c, truncation_psi=1, noise_mode="none") for network in (mine, theirs))
    else:
        x = torch.randn(n, config.img_channels, *mine.size, generator=draw)
        a, b = (network(x, c) for network in (mine, theirs))
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
