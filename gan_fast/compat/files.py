"""A checkpoint file as names and tensors, and the networks that are in it, under our names."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gan_fast.compat import dialects, pickles
from gan_fast.compat.pickles import CheckpointError

STYLEGAN3 = "synthesis.input.freqs"
# The name by which a network is known: dialect, generator's, discriminator's.
SIGNATURES = (
    ("gan_fast", "synthesis.b4.const", "b4.out.weight"),
    ("gan_fast", STYLEGAN3),  # its discriminator is StyleGAN2's
    ("rosinality", "input.input", "convs.0.0.weight"),
    ("basicsr", "constant_input.weight", "conv_body.0.0.weight"),
    ("mmgen", "constant_input.input", "convs.0.0.conv.weight_orig"),
)
# Generators that are not loaded: the name by which each is known, and what it is.
REFUSED = (
    (
        "initial_conv.weight",
        "a generator of lucidrains/stylegan2-pytorch, another architecture than StyleGAN2's here: it scales features"
        " bilinearly and by no FIR filter, adds noise with a strength for each channel, modulates by style + 1 without"
        " equalised learning rates, and normalises z to length 1",
    ),
    (
        "stylegan_decoder.style_conv1.bias",
        "GFPGAN's clean decoder, another architecture than StyleGAN2's here: it scales features bilinearly and by no"
        " FIR filter",
    ),
)


@dataclass(frozen=True)
class Network:
    """A network in a file: its role ("G_ema", "G" or "D"), dialect, the prefix of its names, their tensors."""

    role: str
    dialect: str
    prefix: str
    tensors: dict[str, Any]


@dataclass(frozen=True)
class File:
    """A file as names and tensors; tensors have dtype, shape, nbytes and tensor().

    Numbers and texts of an object of NVlabs' pickles are `attributes`; under its name and `_init_kwargs` is what it was
    made with. The others are `extras`.
    """

    path: Path
    nbytes: int
    container: str
    tensors: dict[str, Any]
    extras: dict[str, Any]
    sources: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _InSafetensors:
    """A tensor of a safetensors file, still in the file."""

    file: Any
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def tensor(self) -> Tensor:
        return self.file.get_tensor(self.name)


_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def open_file(path: str | Path) -> File:
    """Read names, shapes, numbers and texts; raises CheckpointError, which names the file."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    # A safetensors file starts with the length of its header, which is JSON.
    if path.suffix == ".safetensors" or start[8:] == b"{":
        return _open_safetensors(path)
    return _open_pickle(path)


def _open_safetensors(path: Path) -> File:
    try:
        file = safe_open(path, framework="pt")
        tensors = {}
        for name in file.keys():  # noqa: SIM118
            view = file.get_slice(name)
            tensors[name] = _InSafetensors(file, name, _SAFETENSORS_DTYPES[view.get_dtype()], tuple(view.get_shape()))
        extras = {key: _json(value) for key, value in (file.metadata() or {}).items()}
        return File(path, path.stat().st_size, "safetensors", tensors, extras)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    except KeyError as error:
        raise CheckpointError(f"cannot read {path}: it has tensors of type {error}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _open_pickle(path: Path) -> File:
    contents = pickles.read(path)
    tensors: dict[str, pickles.Stored] = {}
    extras: dict[str, Any] = {}
    sources: dict[str, int] = {}
    attributes: dict[str, dict[str, Any]] = {}
    for name, value in contents.values:
        # nn.Module keeps its tensors and parts in dicts of these names
        name = re.sub(r"(^|\.)_(modules|parameters|buffers)(?=\.)", "", name).lstrip(".")
        owner, _, key = name.rpartition(".")
        if isinstance(value, pickles.Stored):
            tensors[name] = value
        elif isinstance(value, pickles.Persistent):
            attributes[name] = {}
            sources[name] = len(value.source)
        elif isinstance(value, dict) and key == "_init_kwargs" and owner in attributes:
            attributes[name] = {}
        elif isinstance(value, (str, int, float, NoneType)):
            if owner in attributes:
                attributes[owner][key] = value
            elif not key.isdigit() and "optim" not in name and name.partition(".")[0] not in attributes:
                extras[name] = value
    return File(path, contents.nbytes, contents.container, tensors, extras, sources, attributes)


# ---------------------------------------------------------------- networks in a file


def find_networks(file: File) -> list[Network]:
    """The networks in the order G_ema, G, D; a generator that stands alone is G_ema."""
    found: dict[str, Network] = {}
    for dialect, *signatures in SIGNATURES:
        for kind, signature in zip("GD", signatures, strict=False):
            for name in file.tensors:
                if name != signature and not name.endswith(f".{signature}"):
                    continue
                prefix = name[: len(name) - len(signature)]
                role = "D" if kind == "D" else "G_ema" if "ema" in prefix.lower() else "G"
                if role in found:
                    raise CheckpointError(f"it holds two networks {role}: {found[role].prefix!r} and {prefix!r}")
                tensors = {n.removeprefix(prefix): x for n, x in file.tensors.items() if n.startswith(prefix)}
                named_as_ours = "gan_fast" if file.container == "safetensors" else "ada"
                found[role] = Network(role, named_as_ours if dialect == "gan_fast" else dialect, prefix, tensors)
    if not {"G", "G_ema"} & found.keys():
        for signature, what in REFUSED:
            if any(name.endswith(signature) for name in file.tensors):
                raise CheckpointError(f"it holds {what}")
    if not found:
        raise CheckpointError("it holds no network of a dialect that gan_fast knows")
    if "G" in found and "G_ema" not in found:
        found["G_ema"] = dataclasses.replace(found.pop("G"), role="G_ema")
    return [found[role] for role in ("G_ema", "G", "D") if role in found]


def check_size(file: File, networks: Iterable[Network]) -> None:
    """Raises CheckpointError where tensors overlap, so that their copies would take more memory than the file has."""
    if sum(x.nbytes for network in networks for x in network.tensors.values()) > file.nbytes:
        raise CheckpointError("its tensors overlap: together they are larger than the file")


def our_tensors(network: Network, load: bool) -> dict[str, Tensor]:
    """The tensors of a network under our names, in float32; on the meta device unless `load`."""
    tensors = {}
    for name, x in network.tensors.items():
        if not x.dtype.is_floating_point:
            raise CheckpointError(f"{network.prefix}{name} holds {x.dtype}, no weights")
        tensors[name] = x.tensor().float() if load else torch.empty(x.shape, device="meta")
    if network.dialect in ("gan_fast", "ada"):
        return tensors
    rows = _rows(network.dialect, network.role, tensors)
    given = {row.theirs: row for row in rows}
    unknown = tensors.keys() - given.keys()
    if unknown:
        raise CheckpointError(f"{network.role} has {some(unknown)}, which {network.dialect}'s StyleGAN2 has not")
    try:
        return {given[name].ours: given[name].import_(x) for name, x in tensors.items()}
    except ValueError as error:
        raise CheckpointError(f"{network.role}: {error}, which {network.dialect}'s StyleGAN2 has not") from None


def _rows(dialect: str, role: str, names: Mapping[str, Any]) -> list[dialects.Row]:
    """The table for a network that has these names."""

    def count(theirs: str, first: int) -> int:
        n = first
        while dialects.rename(dialect, theirs.format(n)) in names:
            n += 1
        return n - first

    if role == "D":
        return dialects.discriminator_rows(dialect, 1 + count("convs.{}.conv1.1.bias", 1))
    return dialects.generator_rows(dialect, 1 + count("to_rgbs.{}.bias", 0), count("style.{}.bias", 1))


def some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
