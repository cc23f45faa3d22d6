import pytest

from gan_fast.training import load_config, make_config
from gan_fast.training.config import RECIPES


def test_defaults_are_the_digits_demo():
    config = make_config()
    assert (config.data, config.preset) == ("digits", "digits")
    assert config.network(10).c_dim == 10
    assert config.steps * config.batch >= config.kimg * 1000 > (config.steps - 1) * config.batch


@pytest.mark.parametrize("preset", RECIPES)
def test_recipes_are_valid(preset):
    assert make_config(preset=preset).preset == preset


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
