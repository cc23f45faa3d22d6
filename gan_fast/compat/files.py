"""A checkpoint file as names and tensors, and the networks that are in it, under our names."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gan_fast.compat import dialects, pickles
from gan_fast.compat.pickles import CheckpointError

STYLEGAN3 = "synthesis.input.freqs"
CLEAN = "synthesis.start"
LUCIDRAINS = ("synthesis.initial_conv.weight", "b2.skip.weight")  # the generator's and the discriminator's
LATENT = "latent_avg"  # rosinality's files keep the mean latent beside the networks
# Dialect, role, and the name by which a network is known; a G whose prefix says so is G_ema.
SIGNATURES = (
    ("gan_fast", "G", "synthesis.b4.const"),
    ("gan_fast", "D", "b4.out.weight"),
    ("gan_fast", "G", STYLEGAN3),  # its discriminator is StyleGAN2's
    ("gan_fast", "G", CLEAN),  # and so is its
    ("gan_fast", "G", LUCIDRAINS[0]),
    ("gan_fast", "D", LUCIDRAINS[1]),
    ("rosinality", "G", "input.input"),
    ("rosinality", "D", "convs.0.0.weight"),
    ("basicsr", "G", "style_conv1.activate.bias"),
    ("basicsr", "D", "conv_body.0.0.weight"),
    ("gfpgan", "G", "style_conv1.bias"),
    ("mmgen", "G", "constant_input.input"),
    ("mmgen", "D", "convs.0.0.conv.weight_orig"),
    ("lucidrains", "G", "G.initial_conv.weight"),
    ("lucidrains", "G_ema", "GE.initial_conv.weight"),
    ("lucidrains", "D", "D.to_logit.weight"),
)
# lucidrains' mapping and synthesis lie side by side, and so do their averages. (An augmenting wrapper lists D again.)
LUCIDRAINS_MODULES = {"G": {"S.": "S.", "G.": "G."}, "G_ema": {"SE.": "S.", "GE.": "G."}, "D": {"D.": ""}}
LUCIDRAINS_WRAPPER = "D_aug."
# Generators that are not loaded: the name by which each is known, and what it is.
REFUSED = (
    (
        "blocks.0.to_rgb.conv.weight",
        "a generator of an early version of lucidrains/stylegan2-pytorch, which had no initial_conv yet",
    ),
)
# Parts of lucidrains' networks that are not loaded: names that show them, and what a network with them does.
REFUSED_PARTS = (
    (
        r"quantize_blocks\.\d+\.fn\.(?!(embed|cluster_size|embed_avg)$)",
        "quantises its features (fq_layers) by a later version of vector_quantize_pytorch than that project's;"
        " discriminator=False loads the generator alone",
    ),
    (r"(G\.attns|attn_blocks)\.\d+\.\d\.fn\.g$", "has the attention of early versions, whose branches have a gate"),
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
    for dialect, kind, signature in SIGNATURES:
        for name in file.tensors:
            if name != signature and not name.endswith(f".{signature}"):
                continue
            prefix = name.removesuffix(signature)
            if prefix.endswith(LUCIDRAINS_WRAPPER):
                continue
            role = "G_ema" if kind == "G" and "ema" in prefix.lower() else kind
            if role in found:
                raise CheckpointError(f"it holds two networks {role}: {found[role].prefix!r} and {prefix!r}")
            tensors = {n.removeprefix(prefix): x for n, x in file.tensors.items() if n.startswith(prefix)}
            if dialect == "lucidrains":
                tensors = _lucidrains_modules(role, tensors)
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


def _lucidrains_modules(role: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of one network, under the names of G where it is its average."""
    return {
        ours + name.removeprefix(theirs): x
        for name, x in tensors.items()
        for theirs, ours in LUCIDRAINS_MODULES[role].items()
        if name.startswith(theirs)
    }


def left_out(file: File, networks: Iterable[Network]) -> dict[str, int]:
    """What no network of the file has: how many tensors begin with each of the shortest names that no network has."""
    taken = {id(x) for network in networks for x in network.tensors.values()}
    shared: set[str] = {LATENT}
    for name, x in file.tensors.items():
        if id(x) in taken:
            shared.update(_beginnings(name))
    rest = (name for name in file.tensors if name not in shared)
    return dict(Counter(next(start for start in _beginnings(name) if start not in shared) for name in rest))


def _beginnings(name: str) -> list[str]:
    """a, a.b and a.b.c of a.b.c; few of a name with many dots."""
    return list(accumulate(name.split(".", 8), "{}.{}".format))


def check_size(file: File, networks: Iterable[Network]) -> None:
    """Raises CheckpointError where tensors overlap, so that their copies would take more memory than the file has."""
    if sum(x.nbytes for network in networks for x in network.tensors.values()) > file.nbytes:
        raise CheckpointError("its tensors overlap: together they are larger than the file")


def our_tensors(network: Network, load: bool) -> dict[str, Tensor]:
    """The tensors of a network under our names, in float32; on the meta device unless `load`."""
    for pattern, what in REFUSED_PARTS if network.dialect == "lucidrains" else ():
        if any(re.match(pattern, name) for name in network.tensors):
            raise CheckpointError(f"{network.role} {what}")
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

    if dialect == "gfpgan":
        layers = sum(name.startswith("style_mlp.") and name.endswith(".weight") for name in names)
        return dialects.gfpgan_generator_rows(1 + count("to_rgbs.{}.bias", 0), layers)
    if dialect == "lucidrains":
        if role == "D":
            return dialects.lucidrains_discriminator_rows(count("blocks.{}.conv_res.weight", 0))
        layers = sum(name.startswith("S.net.") and name.endswith(".weight") for name in names)
        return dialects.lucidrains_generator_rows(count("G.blocks.{}.conv1.weight", 0), layers)
    if role == "D":
        return dialects.discriminator_rows(dialect, 1 + count("convs.{}.conv1.1.bias", 1))
    return dialects.generator_rows(dialect, 1 + count("to_rgbs.{}.bias", 0), count("style.{}.bias", 1))


def some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
