import dataclasses
from types import SimpleNamespace

import pytest
import torch

from gan_fast import models
from gan_fast.training import Recipe, TrainConfig, load_config, make_config
from gan_fast.training.config import FAMILIES, RECIPES
from gan_fast.training.loop import captures


def test_defaults_are_the_digits_demo():
    config = make_config()
    assert (config.data, config.preset) == ("digits", "digits")
    assert config.network(10).c_dim == 10
    assert config.steps * config.batch >= config.kimg * 1000 > (config.steps - 1) * config.batch


@pytest.mark.parametrize("preset", [name for name, family in models.presets().items() if family != "mlp"])
def test_recipes_are_valid(preset):
    assert make_config(preset=preset).preset == preset


def test_recipes_belong_to_presets_and_families():
    assert set(RECIPES) <= set(models.presets())
    assert set(FAMILIES) <= set(models.families())
    assert make_config(preset="r3gan-digits").penalty == "r1+r2"


def test_every_field_of_the_recipe_is_a_setting():
    assert {f.name for f in dataclasses.fields(Recipe)} <= TrainConfig.model_fields.keys()


@pytest.mark.parametrize(
    ("side", "devices", "batch", "lr", "gamma", "base", "group"),
    [
        (32, 1, 32, 0.0025, 0.0064, 16384, 4),
        (256, 1, 16, 0.0025, 0.8192, 16384, 4),
        (256, 8, 64, 0.0025, 0.2048, 16384, 4),
        (1024, 8, 32, 0.002, 6.5536, 32768, 4),
        (1024, 1, 4, 0.002, 52.4288, 32768, 4),
    ],
)
def test_auto_goes_by_resolution_and_devices(side, devices, batch, lr, gamma, base, group):
    config = make_config(devices, preset="auto", model={"img_resolution": side})
    network = config.network()
    assert (config.batch, config.g_lr, network.img_resolution, network.channel_base) == (batch, lr, side, base)
    assert config.recipe(on_gpu=False).gamma == pytest.approx(gamma)
    assert (network.mbstd_group_size, config.augment, config.ema_kimg) == (group, "ada", batch * 10 / 32)
    assert (config.recipe(True).precision, config.recipe(False).precision) == ("bfloat16", "float32")


def test_settings_go_over_auto():
    config = make_config(preset="auto", model={"img_resolution": 64, "num_layers": 5}, gamma=3, batch=8)
    assert (config.network().num_layers, config.network().conv_clamp) == (5, 256)
    assert (config.batch, config.recipe(False).gamma) == (8, 3)
    with pytest.raises(ValueError, match="needs the side of the images"):
        make_config(preset="auto")


def test_settings_go_over_the_file_and_the_file_over_the_defaults(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("batch = 8\nseed = 5\n[model]\nchannel_base = 64\n")
    config = make_config(**{**load_config(file), "seed": 7})
    assert (config.batch, config.seed, config.network().channel_base) == (8, 7, 64)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"gama": 1.0}, "gama: unknown setting; there are .*gamma"),
        ({"gamma": -1.0}, "gamma: .*got -1"),
        ({"batch": "many"}, "batch: .*got 'many'"),
        ({"kimg": 0}, "kimg"),
        ({"preset": "nvidia"}, "preset: got 'nvidia', takes .*digits"),
        ({"model": {"chanel_base": 3}}, "model: .*chanel_base"),
        ({"model": {"img_resolution": [16, 32]}}, "model: img_resolution"),
        ({"batch": 8, "class_group": 3}, "class_group: must divide batch = 8, got 3"),
        ({"mode_seeking": 0.1, "class_group": 1}, "class_group: mode_seeking .* even, got 1"),
        ({"device": "tpu"}, "device: .*got 'tpu'"),
        ({"preset": "dcgan-digits", "precision": "float16"}, "precision: float16 takes networks of StyleGAN2"),
    ],
)
def test_bad_settings_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        make_config(**settings)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.toml"):
        load_config(tmp_path / "absent.toml")
    file = tmp_path / "run.toml"
    file.write_text("batch = \n")
    with pytest.raises(ValueError, match=r"run\.toml"):
        load_config(file)
    file.write_text("bath = 3\n")
    with pytest.raises(ValueError, match=r"run\.toml: bath: unknown"):
        load_config(file)


@pytest.mark.parametrize(("resolution", "half"), [(8, 1), (16, 2), (32, 3), (256, 4), (1024, 4)])
def test_float16_takes_the_published_guards(resolution, half):
    config = make_config(preset="paper256", precision="float16", model={"img_resolution": resolution})
    network = config.network()
    assert (network.num_lowprec_res, network.lowprec_dtype, network.conv_clamp) == (half, "float16", 256)
    assert config.recipe(on_gpu=True).precision == "float32"
    own = make_config(preset="paper256", precision="float16", model={"num_lowprec_res": 2, "conv_clamp": 64})
    assert (own.network().num_lowprec_res, own.network().conv_clamp) == (2, 64)


@pytest.mark.parametrize(
    ("settings", "device", "ranks", "expected"),
    [
        ({}, "cuda", 1, True),
        ({}, "cpu", 1, False),
        ({}, "cuda", 2, False),
        ({"micro_batch": 16}, "cuda", 1, False),
        ({"compile": True}, "cuda", 1, False),
        ({"capture": False}, "cuda", 1, False),
        ({"capture": True}, "cuda", 2, True),
    ],
)
def test_phases_are_captured_where_that_is_known_to_work(
    settings: dict, device: str, ranks: int, expected: bool
) -> None:
    assert captures(make_config(**settings), torch.device(device), SimpleNamespace(count=ranks)) is expected
