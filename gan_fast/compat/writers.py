"""Networks written as files of each dialect: `WRITERS[dialect](model, file)`."""

from __future__ import annotations

import json
import pickle
import sys
import types
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from gan_fast import models
from gan_fast.compat import dialects
from gan_fast.compat.files import LUCIDRAINS_MODULES, LUCIDRAINS_WRAPPER
from gan_fast.models import stylegan2

if TYPE_CHECKING:
    from gan_fast.compat.checkpoints import Model

BASICSR_NAMES = {"G_ema": "params_ema", "G": "params"}
MODEL_FORMAT = "gan_fast model 1"
LUCIDRAINS_VERSION = "1.8.9"  # a release whose names these are


def _states(model: Model) -> dict[str, dict[str, Tensor]]:
    modules = {"G_ema": model.generator, "G": model.trained, "D": model.discriminator}
    return {
        role: {k: v.detach().cpu().contiguous() for k, v in m.state_dict().items()}
        for role, m in modules.items()
        if m is not None
    }


def _write_gan_fast(model: Model, file: IO[bytes]) -> None:
    tensors = {f"{role}.{name}": x for role, state in _states(model).items() for name, x in state.items()}
    metadata = {
        "format": MODEL_FORMAT,
        "network": json.dumps(models.to_fields(model.config)),
        "class_names": json.dumps(model.class_names),
    }
    file.write(save_safetensors(tensors, metadata))


def _foreign_states(dialect: str, model: Model) -> dict[str, dict[str, Tensor]]:
    """The networks under the names of a dialect of rosinality's family."""
    config, default = model.config, stylegan2.Config(4)
    wanted = {"c_dim": 0, "z_dim": config.w_dim, "architecture": "skip"}
    if model.discriminator is not None:
        wanted |= {"d_architecture": "resnet", "mbstd_group_size": 4, "mbstd_num_channels": 1}
    if dialect == "basicsr":
        wanted["resample_filter"] = default.resample_filter
    for key, value in wanted.items():
        if getattr(config, key) != value:
            raise ValueError(f"dialect: {dialect} cannot express {key} {getattr(config, key)!r}, only {value!r}")
    if not isinstance(config.img_resolution, int):
        raise ValueError(f"dialect: {dialect} cannot express images that are not square")
    blocks = config.img_resolution.bit_length() - 2
    states = {}
    for role, state in _states(model).items():
        if role == "D":
            rows = dialects.discriminator_rows(dialect, blocks)
        else:
            rows = dialects.generator_rows(dialect, blocks, config.num_layers)
        states[role] = {row.theirs: row.export(state[row.ours]).contiguous() for row in rows}
    return states


def _write_rosinality(model: Model, file: IO[bytes]) -> None:
    states = _foreign_states("rosinality", model)
    names = {"G_ema": "g_ema", "G": "g", "D": "d"}
    contents: dict[str, Any] = {names[role]: state for role, state in states.items()}
    if model.generator is not None:
        contents["latent_avg"] = model.generator.mapping.w_avg.detach().cpu()
    torch.save(contents, file)


def _write_basicsr(model: Model, file: IO[bytes]) -> None:
    states = _foreign_states("basicsr", model)
    if "G_ema" not in states:
        torch.save({"params": states["D"]}, file)
        return
    torch.save({BASICSR_NAMES[role]: state for role, state in states.items() if role in BASICSR_NAMES}, file)


def _write_gfpgan(model: Model, file: IO[bytes]) -> None:
    """What StyleGAN2GeneratorClean takes, and GFPGAN as decoder_load_path."""
    states = _states(model)
    if "G_ema" not in states:
        raise ValueError("dialect: gfpgan takes a generator")
    rows = dialects.gfpgan_generator_rows(model.config.img_resolution.bit_length() - 2, model.config.num_layers)
    contents = {
        name: {row.theirs: row.export(states[role][row.ours]).contiguous() for row in rows}
        for role, name in BASICSR_NAMES.items()
        if role in states
    }
    torch.save(contents, file)


def _write_mmgen(model: Model, file: IO[bytes]) -> None:
    names = {"G_ema": "generator_ema", "G": "generator", "D": "discriminator"}
    tensors = {
        f"{names[role]}.{name}": x
        for role, state in _foreign_states("mmgen", model).items()
        for name, x in state.items()
    }
    torch.save({"meta": {}, "state_dict": tensors}, file)


def _write_lucidrains(model: Model, file: IO[bytes]) -> None:
    """All that that project's loader wants: a generator in training, its average, D, and D again in its wrapper."""
    states = _states(model)
    if states.keys() < {"G_ema", "D"}:
        raise ValueError("dialect: lucidrains takes a generator and a discriminator")
    states.setdefault("G", states["G_ema"])
    blocks = model.config.img_resolution.bit_length() - 2
    tensors = {}
    for role, state in states.items():
        if role == "D":
            rows = dialects.lucidrains_discriminator_rows(blocks + 1)
        else:
            rows = dialects.lucidrains_generator_rows(blocks, model.config.num_layers)
        for row in (row for row in rows if row.ours in state):
            for theirs, named in LUCIDRAINS_MODULES[role].items():
                if row.theirs.startswith(named):
                    tensors[theirs + row.theirs.removeprefix(named)] = row.export(state[row.ours]).contiguous()
    wrapped = {f"{LUCIDRAINS_WRAPPER}{name}": x for name, x in tensors.items() if name.startswith("D.")}
    torch.save({"GAN": tensors | wrapped, "version": LUCIDRAINS_VERSION}, file)


_ADA_GLOBAL = ("torch_utils.persistence", "_reconstruct_persistent_obj")
_ADA_SOURCE = """# The classes of this pickle; it takes the package gan_fast to unpickle them with NVlabs' loader.
from torch.nn import Identity
from gan_fast.layers import Conv2d, EqualizedLinear, FromRGB, MinibatchStdDev, ModulatedConv2d, ToRGB
from gan_fast.models.stylegan2 import (
    Discriminator, DiscriminatorBlock, DiscriminatorEpilogue, Generator, Mapping, Synthesis, SynthesisBlock
)
"""


def _write_ada(model: Model, file: IO[bytes]) -> None:
    """A pickle as NVlabs' persistent classes make it, of our modules under their loader's name for them."""
    module = types.ModuleType(_ADA_GLOBAL[0])

    def reconstruct(meta: dict[str, Any]) -> None:
        """Stands for the loader's function while its name is written."""

    reconstruct.__module__, reconstruct.__qualname__ = _ADA_GLOBAL
    setattr(module, _ADA_GLOBAL[1], reconstruct)

    class Pickler(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, nn.Module):
                return NotImplemented
            state = {**vars(value), "_init_args": (), "_init_kwargs": {}}
            name = type(value).__name__
            meta = {"type": "class", "version": 6, "module_src": _ADA_SOURCE, "class_name": name, "state": state}
            return reconstruct, (meta,)

    networks = {"G": model.trained or model.generator, "D": model.discriminator, "G_ema": model.generator}
    before = sys.modules.copy()
    sys.modules |= {"torch_utils": types.ModuleType("torch_utils"), _ADA_GLOBAL[0]: module}
    try:
        Pickler(file, protocol=4).dump({**networks, "training_set_kwargs": None, "augment_pipe": None})
    finally:
        for name in ("torch_utils", _ADA_GLOBAL[0]):
            del sys.modules[name]
            if name in before:
                sys.modules[name] = before[name]


WRITERS: dict[str, Callable[[Model, IO[bytes]], None]] = {
    "gan_fast": _write_gan_fast,
    "ada": _write_ada,
    "rosinality": _write_rosinality,
    "basicsr": _write_basicsr,
    "gfpgan": _write_gfpgan,
    "mmgen": _write_mmgen,
    "lucidrains": _write_lucidrains,
}
