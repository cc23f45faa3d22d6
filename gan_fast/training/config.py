"""The settings of a training run: read from TOML, from a checkpoint, or from the command line, and checked here."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gan_fast import models
from gan_fast.training.recipe import Recipe

# What presets that come with no settings of their own get instead of the digits demo's.
_PLAIN = {
    "beta2": 0.99,
    "g_lr": 2e-3,
    "d_lr": 2e-3,
    "gamma": "auto",
    "penalty_interval": 16,
    "ema_kimg": 10,
    "ema_ramp": 0.05,
    "class_group": 1,
    "mode_seeking": 0.0,
    "style_mixing": 0.0,
    "kimg": 1000,
    "checkpoint_kimg": 200,
    "eval_kimg": 200,
    "precision": "auto",
}
_STYLE = {**_PLAIN, "style_mixing": 0.9, "path_length": 2.0, "kimg": 25000}
_STYLEGAN2 = {**_STYLE, "batch": 32, "gamma": 10, "ema_ramp": 1000}
_ADA = {**_STYLE, "batch": 64, "g_lr": 2.5e-3, "d_lr": 2.5e-3, "augment": "ada"}
_DIGITS = {**_PLAIN, "gamma": 1.0, "ema_kimg": 1, "ema_ramp": 0.1, "kimg": 16, "checkpoint_kimg": 4, "eval_kimg": 4}
_HINGE = {**_DIGITS, "objective": "hinge", "penalty": "none"}  # D is bounded by spectral normalisation
_ENERGY = {**_DIGITS, "penalty": "none", "g_lr": 1e-3, "d_lr": 1e-3, "beta1": 0.5}
_STYLE_DIGITS = {**_DIGITS, "gamma": 3.0, "penalty_interval": 4, "g_lr": 3e-3, "d_lr": 3e-3}
_STYLEGAN3_DIGITS = {**_STYLE_DIGITS, "gamma": 25.0, "g_lr": 6e-3, "d_lr": 6e-3}
# What differs, for a preset, from the defaults below, which are the digits demo's. Published settings: StyleGAN2
# (arXiv 1912.04958, configuration F, for a batch of 32) and ADA (arXiv 2006.06676, appendix). docs/models.md has what
# those for digits give.
RECIPES: dict[str, dict[str, Any]] = {
    "digits": {},
    "dcgan-digits": _DIGITS,
    "dcgan-digits-projection": {**_HINGE, "g_lr": 4e-3, "d_lr": 4e-3},
    "ebgan-digits": {**_ENERGY, "objective": "ebgan", "d_lr": 5e-4},
    "began-digits": {**_ENERGY, "objective": "began", "began_gamma": 0.9, "began_rate": 0.1, "d_lr": 2e-3},
    "progressive-digits": {**_STYLE_DIGITS, "grow_kimg": 1.0},
    "biggan-digits": {**_HINGE, "g_lr": 1e-3, "mode_seeking": 0.01, "class_group": 2},
    "stylegan-digits": {**_STYLE_DIGITS, "style_mixing": 0.5},
    "stylegan3-t-digits": _STYLEGAN3_DIGITS,
    "stylegan3-r-digits": _STYLEGAN3_DIGITS,
    "r3gan-digits": {**_DIGITS, "objective": "relativistic", "penalty": "r1+r2", "gamma": 2.0, "penalty_interval": 4},
    "cifar": {
        **_ADA,
        "kimg": 100000,
        "gamma": 0.01,
        "ema_kimg": 500,
        "ema_ramp": 0.05,
        "style_mixing": 0.0,
        "path_length": 0.0,
    },
    "paper256": {**_ADA, "gamma": 1, "ema_kimg": 20, "ema_ramp": 1000},
    "stylegan2-256": _STYLEGAN2,
    "stylegan2-512": _STYLEGAN2,
    "stylegan2-1024": _STYLEGAN2,
}
# What presets of a family get that have no entry above: the game and the rates of its paper; schedules
# other than growth are left out.
FAMILIES: dict[str, dict[str, Any]] = {
    "biggan": {"objective": "hinge", "penalty": "none", "n_critic": 2, "g_lr": 5e-5, "d_lr": 2e-4, "beta2": 0.999},
    "dcgan": {"penalty": "none", "g_lr": 2e-4, "d_lr": 2e-4, "beta1": 0.5, "beta2": 0.999},
    "progressive": {
        "objective": "wasserstein",
        "penalty": "wgan_gp",
        "gamma": 10,
        "penalty_interval": 1,
        "g_lr": 1e-3,
        "d_lr": 1e-3,
        "grow_kimg": 800,
        "kimg": 12000,
    },
    "r3gan": {"objective": "relativistic", "penalty": "r1+r2", "penalty_interval": 1},
    "stylegan": {"gamma": 10, "penalty_interval": 1, "style_mixing": 0.9, "g_lr": 1e-3, "d_lr": 1e-3},
}
AUTO = "auto"


class TrainConfig(BaseModel):
    """Everything that decides the weights of a run, bar the machine. The defaults are the digits demo.

    Unknown keys and bad values raise `pydantic.ValidationError`; `load_config` and `make_config` turn that into a
    `ValueError` which names the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field("digits", description="'digits', 'photos', or the path of a folder, zip or archive: docs/data.md")
    crop: Literal["center", "wide"] = Field("center", description="part of each image: docs/data.md")
    on_error: Literal["raise", "skip"] = Field("raise", description="what to do with files that cannot be read")
    preset: str = Field("digits", description="network by name, of gan_fast.models.presets(); or 'auto'")
    model: dict[str, Any] = Field({}, description="fields of the preset to replace, e.g. channel_base")
    conditional: bool = Field(True, description="give the networks the class where the data has classes")
    mirror: bool = Field(False, description="show real images also mirrored, left to right")
    transfer: str = Field("", description="checkpoint or run whose weights to start from, where they fit")
    seed: int = Field(0, ge=0, description="with the other settings it fixes the run")
    kimg: float = Field(32.0, gt=0, description="length: thousands of real images shown to D")
    batch: int = Field(32, ge=1, description="images in a step, over all ranks")
    micro_batch: int = Field(0, ge=0, description="images computed at once; 0: a rank's share of the batch")
    objective: str = Field("logistic", description="the game, of gan_fast.losses.OBJECTIVES")
    n_critic: int = Field(1, ge=1, description="G is trained at every so many steps of D")
    optimizer: str = Field("adam", description="adam, or optimistic_adam: against oscillation")
    g_lr: float = Field(6e-3, gt=0, description="Adam's learning rate, generator")
    d_lr: float = Field(6e-3, gt=0, description="Adam's learning rate, discriminator")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's beta1")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's beta2")
    unroll: int = Field(0, ge=0, description="G is judged by D as so many more steps would leave it; 0: as it is")
    unroll_lr: float = Field(0.01, gt=0, description="length of those steps")
    historical: float = Field(
        0.0, ge=0, description="weight of each network's distance from the mean of its past; 0: none"
    )
    began_gamma: float = Field(0.5, gt=0, description="began: diversity ratio; lower: better images, fewer kinds")
    began_rate: float = Field(0.001, gt=0, description="began: how fast its k moves, the paper's lambda_k")
    grow_kimg: float = Field(0.0, ge=0, description="progressive: kimg a resolution, and as many a fade; 0: no growth")
    penalty: str = Field("r1", description="gradient penalty: r1, r2, r1+r2, wgan_gp, dragan, zero_centred_gp, none")
    gamma: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        25.0, description="the penalty's weight (r1: gamma / 2 * |dD/dx|^2); auto: 0.0002 * side^2 / batch"
    )
    penalty_interval: int = Field(4, ge=1, description="it is computed every so many steps, and weighted by as much")
    penalty_sigma: float = Field(0.25, gt=0, description="dragan: standard deviation of the noise around real images")
    path_length: float = Field(0.0, ge=0, description="weight of path length regularisation; 0: none")
    path_length_interval: int = Field(4, ge=1, description="it is computed at every so many steps of G")
    path_length_decay: float = Field(0.01, gt=0, le=1, description="share by which the mean path length moves")
    path_length_shrink: int = Field(2, ge=1, description="it takes one over so many of the batch")
    style_mixing: float = Field(0.5, ge=0, le=1, description="probability that a batch mixes two w")
    mode_seeking: float = Field(0.003, ge=0, description="weight of the mode-seeking term, against collapse in a class")
    class_group: int = Field(2, ge=1, description="images of one class that stand together in a minibatch-stddev group")
    translate: float = Field(0.0, ge=0, lt=1, description="random translation before D, as a share of the side")
    augment: str = Field("none", description="none, ada, or DiffAugment's color,translation,cutout or some of them")
    ada_groups: str = Field("bgc", description="ada: its augmentations, of gan_fast.augment.PRESETS")
    ada_p: float = Field(0.0, ge=0, le=1, description="ada: probability at the start")
    ada_target: float = Field(0.6, ge=0, lt=1, description="ada: E[sign(D(x))] to steer to; 0: p stays as it is")
    ada_interval: int = Field(4, ge=1, description="ada: p moves at every so many steps")
    ada_kimg: float = Field(500.0, gt=0, description="ada: kimg in which p can go from 0 to 1")
    ema_kimg: float = Field(3.0, ge=0, description="half-life of the generator's average, in kimg")
    ema_extra_kimg: tuple[float, ...] = Field((), description="half-lives of further averages, in kimg")
    ema_ramp: float = Field(0.1, gt=0, description="the half-life is at most this share of the images shown so far")
    freeze_d: int = Field(0, ge=0, description="so many layers of D, from the image on, stay as they are")
    clip_weights: float = Field(0.0, ge=0, description="bound on D's weights; 0: none")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "float32", description="auto: bfloat16 on a GPU; float16: the four largest resolutions, StyleGAN2 and 3"
    )
    eval_kimg: float = Field(4.0, gt=0, description="metrics and a grid every so many kimg")
    eval_samples: int = Field(1000, ge=0, description="images that metrics compare; 0: no metrics. Digits: always 896")
    checkpoint_kimg: float = Field(8.0, gt=0, description="a checkpoint every so many kimg")
    keep_checkpoints: int = Field(2, ge=1, description="older checkpoints are deleted, but for the best")
    keep_best: str = Field("fd", description="metric, lower is better, whose best checkpoint stays; '': none")
    tensorboard: bool = Field(False, description="write the log's numbers for TensorBoard, too")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is one")
    compile: bool = Field(False, description="run G and D under torch.compile but for penalties, for long runs")
    capture: bool | Literal["auto"] = Field(
        "auto", description="run phases as CUDA graphs; auto: on one GPU, where the recipe allows it"
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0: one up to 32x32, else one a core")

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        for name, value in (("batch", self.batch), ("micro_batch", self.micro_batch)):
            if value % self.class_group:
                raise ValueError(f"class_group: must divide {name} = {value}, got {self.class_group}")
        if self.micro_batch and self.batch % self.micro_batch:
            raise ValueError(f"micro_batch: must divide batch = {self.batch}, got {self.micro_batch}")
        if self.mode_seeking and self.class_group % 2:
            raise ValueError(
                f"class_group: mode_seeking pairs images of one class: must be even, got {self.class_group}"
            )
        try:
            network = self.network()
        except (TypeError, ValueError) as error:
            raise ValueError(str(error) if str(error).startswith("preset:") else f"model: {error}") from error
        if not isinstance(network.img_resolution, int):
            raise ValueError(f"model: img_resolution must be one number for training, got {network.img_resolution}")
        return self

    def network(self, c_dim: int | None = None) -> Any:
        """The networks' configuration, for data with conditions of this width (None: as the preset has it)."""
        overrides = dict(self.model)
        if c_dim is not None:
            overrides["c_dim"] = c_dim if self.conditional else 0
        network = models.preset(self.preset, **overrides)
        if self.precision != "float16":
            return network
        if not hasattr(network, "lowprec_dtype"):
            raise ValueError(f"precision: float16 takes networks of StyleGAN2 and 3, got the preset {self.preset}")
        return models.preset(self.preset, **{**float16_fields(network.img_resolution), **overrides})

    def recipe(self, on_gpu: bool) -> Recipe:
        """What the engine computes at each step."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(Recipe)}
        if self.gamma == AUTO:
            fields["gamma"] = heuristic_gamma(self.network().img_resolution, self.batch)
        if self.precision == AUTO:
            fields["precision"] = "bfloat16" if on_gpu else "float32"
        elif self.precision == "float16":
            fields["precision"] = "float32"  # of what the networks leave: they choose their layers' themselves
        return Recipe(**fields)

    @property
    def steps(self) -> int:
        """Optimisation steps in the run: kimg * 1000 / batch, rounded up."""
        return -int(-self.kimg * 1000 // self.batch)


def heuristic_gamma(resolution: int, batch: int) -> float:
    """R1's weight where nothing better is known: 0.0002 * resolution^2 / batch. ADA's release (arXiv 2006.06676)."""
    return 0.0002 * resolution**2 / batch


def float16_fields(resolution: int) -> dict[str, Any]:
    """What keeps float16 in range in place of a loss that is scaled: ADA's release (arXiv 2006.06676, appendix D).

    The four largest resolutions run in it, but never 4x4, and what a layer puts out is clamped. Weights and styles are
    normalised first by `gan_fast.ops.modulated_conv2d`, and gradients made finite by the engine, in any case.
    """
    return {
        "num_lowprec_res": min(4, resolution.bit_length() - 3),
        "lowprec_dtype": "float16",
        "conv_clamp": 256,
    }


def auto_settings(resolution: int, devices: int) -> dict[str, Any]:
    """StyleGAN2 as ADA's release sets it up for unknown data (arXiv 2006.06676, "auto"), by resolution and devices."""
    batch = max(min(devices * min(4096 // resolution, 32), 64), devices)
    lr = 2e-3 if resolution >= 1024 else 2.5e-3
    return {
        **_ADA,
        "preset": "stylegan2-256",
        "batch": batch,
        "g_lr": lr,
        "d_lr": lr,
        "gamma": AUTO,
        "ema_kimg": batch * 10 / 32,
        "ema_ramp": 0.05,
        "model": {
            "img_resolution": resolution,
            "num_layers": 2,
            "channel_base": 32768 if resolution >= 512 else 16384,
            "conv_clamp": 256,
            "mbstd_group_size": min(batch // devices, 4),
        },
    }


def make_config(devices: int = 1, **settings: Any) -> TrainConfig:
    """Settings over the recipe of their preset, over the defaults.

    Args:
        devices: ranks that will share the run, for the preset "auto".
        settings: fields of `TrainConfig`.

    Raises:
        ValueError: names each unknown key or bad value, what it got and what it takes.
    """
    if settings.get("preset") == AUTO:
        model = settings.get("model", {})
        if not isinstance(model.get("img_resolution"), int):
            raise ValueError("model: the preset 'auto' needs the side of the images, model = {img_resolution = 64}")
        recipe = auto_settings(model["img_resolution"], devices)
        settings = {**settings, "preset": recipe["preset"], "model": {**recipe["model"], **model}}
    else:
        recipe = _recipe_of(settings.get("preset", "digits"))
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


def _recipe_of(preset: str) -> dict[str, Any]:
    return RECIPES[preset] if preset in RECIPES else {**_PLAIN, **FAMILIES.get(models.presets().get(preset, ""), {})}


def _explain(error: dict) -> str:
    key = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown setting; there are {', '.join(TrainConfig.model_fields)}"
    if not key:
        return error["msg"].removeprefix("Value error, ")
    return f"{key}: {error['msg']}, got {error['input']!r}"
