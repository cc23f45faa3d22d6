"""The settings of a training run: read from TOML, from a checkpoint, or from the command line, and checked here."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gan_fast.models import stylegan2

_PAPER = {
    "beta2": 0.99,
    "r1_interval": 16,
    "class_group": 1,
    "mode_seeking": 0.0,
    "translate": 0.0,
    "checkpoint_kimg": 200,
    "eval_kimg": 200,
}
_STYLEGAN2 = {**_PAPER, "kimg": 25000, "g_lr": 2e-3, "d_lr": 2e-3, "gamma": 10, "ema_kimg": 10, "ema_ramp": 1000}
# What differs, for a preset, from the defaults below, which are the digits demo's. Published settings: StyleGAN2
# (arXiv 1912.04958, configuration F, for a batch of 32) and ADA (arXiv 2006.06676, appendix, without its augmentation).
RECIPES: dict[str, dict[str, Any]] = {
    "digits": {},
    "cifar": {
        **_PAPER,
        "kimg": 100000,
        "batch": 64,
        "g_lr": 2.5e-3,
        "d_lr": 2.5e-3,
        "gamma": 0.01,
        "ema_kimg": 500,
        "ema_ramp": 0.05,
        "style_mixing": 0.0,
    },
    "paper256": {
        **_PAPER,
        "kimg": 25000,
        "batch": 64,
        "g_lr": 2.5e-3,
        "d_lr": 2.5e-3,
        "gamma": 1,
        "ema_kimg": 20,
        "ema_ramp": 1000,
        "style_mixing": 0.9,
    },
    "stylegan2-256": {**_STYLEGAN2, "style_mixing": 0.9},
    "stylegan2-512": {**_STYLEGAN2, "style_mixing": 0.9},
    "stylegan2-1024": {**_STYLEGAN2, "style_mixing": 0.9},
}


class TrainConfig(BaseModel):
    """Everything that decides the weights of a run, bar the machine. The defaults are the digits demo.

    Unknown keys and bad values raise `pydantic.ValidationError`; `load_config` and `make_config` turn that into a
    `ValueError` which names the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field("digits", description="'digits', or the path of an image folder")
    preset: str = Field("digits", description="network by name: see gan_fast.models.stylegan2.PRESETS")
    model: dict[str, Any] = Field({}, description="fields of the preset to replace, e.g. channel_base")
    conditional: bool = Field(True, description="give the networks the class where the data has classes")
    seed: int = Field(0, ge=0, description="with the other settings it fixes the run")
    kimg: float = Field(48.0, gt=0, description="length: thousands of real images shown to D")
    batch: int = Field(32, ge=1, description="images in a step")
    g_lr: float = Field(6e-3, gt=0, description="Adam's learning rate, generator")
    d_lr: float = Field(6e-3, gt=0, description="Adam's learning rate, discriminator")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's beta1")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's beta2")
    gamma: float = Field(25.0, ge=0, description="weight of R1: gamma / 2 * |dD/dx|^2")
    r1_interval: int = Field(4, ge=1, description="R1 is computed every so many steps, and weighted by as much")
    ema_kimg: float = Field(3.0, ge=0, description="half-life of the generator's average, in kimg")
    ema_ramp: float = Field(0.1, gt=0, description="the half-life is at most this share of the images shown so far")
    mode_seeking: float = Field(0.003, ge=0, description="weight of the mode-seeking term, against collapse in a class")
    style_mixing: float = Field(0.5, ge=0, le=1, description="probability that a batch mixes two w")
    class_group: int = Field(2, ge=1, description="images of one class that stand together in a minibatch-stddev group")
    translate: float = Field(0.0, ge=0, lt=1, description="random translation before D, as a share of the side")
    eval_kimg: float = Field(4.0, gt=0, description="metrics and a grid every so many kimg")
    checkpoint_kimg: float = Field(12.0, gt=0, description="a checkpoint every so many kimg")
    keep_checkpoints: int = Field(2, ge=1, description="older checkpoints are deleted")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is one")
    threads: int = Field(0, ge=0, description="CPU threads; 0: one up to 32x32, else one a core")

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.preset not in stylegan2.PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(stylegan2.PRESETS)}, got {self.preset!r}")
        if self.batch % self.class_group:
            raise ValueError(f"class_group: must divide batch = {self.batch}, got {self.class_group}")
        if self.mode_seeking and self.class_group % 2:
            raise ValueError(
                f"class_group: mode_seeking pairs images of one class: must be even, got {self.class_group}"
            )
        try:
            network = self.network()
        except (TypeError, ValueError) as error:
            raise ValueError(f"model: {error}") from error
        if not isinstance(network.img_resolution, int):
            raise ValueError(f"model: img_resolution must be one number for training, got {network.img_resolution}")
        return self

    def network(self, num_classes: int | None = None) -> stylegan2.Config:
        """The networks' configuration, for data of `num_classes` classes (None: as the preset has it)."""
        overrides = dict(self.model)
        if num_classes is not None:
            overrides["c_dim"] = num_classes if self.conditional else 0
        return stylegan2.preset(self.preset, **overrides)

    @property
    def steps(self) -> int:
        """Optimisation steps in the run: kimg * 1000 / batch, rounded up."""
        return -int(-self.kimg * 1000 // self.batch)


def make_config(**settings: Any) -> TrainConfig:
    """Settings over the recipe of their preset, over the defaults.

    Raises:
        ValueError: names each unknown key or bad value, what it got and what it takes.
    """
    recipe = RECIPES.get(settings.get("preset", "digits"), {})
    try:
        return TrainConfig(**{**recipe, **settings})
    except ValidationError as error:
        raise ValueError("; ".join(_explain(e) for e in error.errors())) from None


def load_config(path: str | Path) -> dict[str, Any]:
    """The settings in a TOML file, checked. They are returned as written, for other settings to be laid over.

    Raises:
        ValueError: the file cannot be read, is no TOML, or holds a key or value that `make_config` refuses.
    """
    try:
        settings = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"config: cannot read {path}: {error}") from error
    try:
        make_config(**settings)
    except ValueError as error:
        raise ValueError(f"config: {path}: {error}") from None
    return settings


def _explain(error: dict) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown setting; there are {', '.join(TrainConfig.model_fields)}"
    if not key:
        return error["msg"].removeprefix("Value error, ")
    return f"{key}: {error['msg']}, got {error['input']!r}"


def network_from(fields: dict[str, Any]) -> stylegan2.Config:
    """The networks' configuration from the fields that a checkpoint holds."""
    return stylegan2.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def network_fields(network: stylegan2.Config) -> dict[str, Any]:
    """The fields of a networks' configuration, as a checkpoint holds them."""
    return dataclasses.asdict(network)
