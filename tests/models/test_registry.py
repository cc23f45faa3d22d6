import dataclasses
import json

import pytest

from gan_fast import models


def test_every_preset_belongs_to_a_family():
    assert models.presets()["stylegan2-256"] == "stylegan2"
    assert set(models.presets().values()) <= set(models.families())


@pytest.mark.parametrize("name", models.presets())
def test_a_configuration_survives_json(name):
    config = models.preset(name, c_dim=3)
    fields = json.loads(json.dumps(models.to_fields(config)))
    assert fields["family"] == models.presets()[name]
    assert models.from_fields(fields) == config


def test_a_pair_is_built_as_the_configuration_says():
    config = models.preset("digits", img_resolution=8, channel_base=64)
    generator, discriminator = models.build(config)
    assert (generator.img_resolution, generator.c_dim, discriminator.img_channels) == (8, 10, 1)
    assert dataclasses.asdict(config)["channel_base"] == 64


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: models.preset("nvidia"), "preset: got 'nvidia', takes .*digits"),
        (lambda: models.preset("digits", chanel_base=3), "fields: got 'chanel_base', takes .*channel_base"),
        (lambda: models.from_fields({"img_resolution": 8}), "family: got None, takes .*stylegan2"),
        (lambda: models.from_fields({"family": "stylegan2", "img_resolution": 8, "x": 1}), "fields: got 'x'"),
    ],
)
def test_unknown_names_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
