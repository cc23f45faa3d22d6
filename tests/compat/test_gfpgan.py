"""The decoders in GFPGAN's checkpoints give the images that they give as generators, without conditions."""

import gfpgan_style as theirs
import pytest
import rosinality_style
import torch

import gan_fast
from gan_fast import models
from gan_fast.compat import checkpoints, dialects
from gan_fast.compat.export import export
from gan_fast.compat.pickles import CheckpointError
from gan_fast.models import stylegan2_clean

Z = 8
CHANNELS = [8, 8, 4]
PARTS = {
    "conv_body_first": 2,
    "conv_body_down": 4,
    "final_conv": 2,
    "conv_body_up": 2,
    "toRGB": 2,
    "final_linear": 2,
    "condition_scale": 2,
    "condition_shift": 2,
}


def assert_same(mine, true):
    assert (mine - true).abs().max() <= 1e-5 * true.abs().max()


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A checkpoint as those of versions 1.2 to 1.4: its path, and its decoder's state dict."""
    torch.manual_seed(0)
    state = theirs.state(CHANNELS, Z, layers=2)
    path = tmp_path_factory.mktemp("gfpgan") / "GFPGANv1.4.pth"
    torch.save({"params_ema": theirs.around(state)}, path)
    return path, state


def test_doubling_is_pytorchs_bilinear():
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(
        theirs.doubled(x), torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    )


def test_the_clean_decoder_gives_the_same_images(clean):
    path, state = clean
    model = gan_fast.load(path)
    z = torch.randn(3, Z)
    w = theirs.mapped(state, z)
    assert_same(model.generator.mapping(z)[:, 5], w)
    ws = torch.stack([w.roll(i, 0) + 0.1 * i for i in range(6)], 1)
    assert_same(model.generator.synthesis(ws, noise_mode="const"), theirs.drawn(state, ws))
    assert_same(model.generator.synthesis(ws, noise_mode="none"), theirs.drawn(state, ws, [0.0] * 5))
    mean = model.generator.mapping.w_avg
    drawn = theirs.drawn(state, (mean + 0.6 * (w - mean))[:, None].expand(-1, 6, -1))
    assert_same(model.generator(z, truncation_psi=0.6, noise_mode="const"), drawn)
    many = theirs.mapped(state, torch.randn(20000, Z))
    assert ((mean - many.mean(0)).abs() < 5 * many.std(0) / 4096**0.5).all()
    assert (model.dialect, model.trained, model.discriminator) == ("gfpgan", None, None)
    assert model.config == stylegan2_clean.Config(16, z_dim=Z, num_layers=2, channel_base=64, channel_max=8)


def test_the_first_version_gives_the_same_images(tmp_path):
    """Its decoder is StyleGAN2 with FIR filters, under BasicSR's names."""
    g = rosinality_style.Generator(CHANNELS)
    named = {dialects.rename("basicsr", name): x for name, x in g.state_dict().items()}
    decoder = {name: x for name, x in named.items() if name}
    torch.save({"params_ema": theirs.around(decoder)}, tmp_path / "GFPGANv1.pth")
    model = gan_fast.load(tmp_path / "GFPGANv1.pth")
    z = torch.randn(2, Z)
    assert_same(model.generator(z, noise_mode="const"), g(z))
    assert model.dialect == "basicsr"
    assert checkpoints.inspect(tmp_path / "GFPGANv1.pth").left_out == {f"params_ema.{n}": k for n, k in PARTS.items()}


def test_inspect_says_what_is_left_out(clean):
    summary = checkpoints.inspect(clean[0])
    (network,) = summary.networks
    assert (network.role, network.dialect, network.refused) == ("G_ema", "gfpgan", None)
    assert (network.geometry["img_resolution"], network.geometry["channels"]) == (16, {4: 8, 8: 8, 16: 4})
    assert summary.left_out == {f"params_ema.{name}": count for name, count in PARTS.items()}


def test_conversions_keep_every_bit(clean, tmp_path):
    """To gan_fast and back into a file of the decoder alone, with the network in training, and with a discriminator."""
    path, state = clean
    trained = theirs.state(CHANNELS, Z, layers=2)
    torch.save({"params_ema": state, "params": trained}, tmp_path / "net_g.pth")
    for source, kept in (
        (path, {"params_ema": state}),
        (tmp_path / "net_g.pth", {"params_ema": state, "params": trained}),
    ):
        model, error = checkpoints.convert(source, tmp_path / "there.safetensors")
        assert (model.dialect, error) == ("gan_fast", 0)
        assert model.config == gan_fast.load(source).config
        again, error = checkpoints.convert(tmp_path / "there.safetensors", tmp_path / "back.pth", dialect="gfpgan")
        assert (again.dialect, error) == ("gfpgan", 0)
        back = torch.load(tmp_path / "back.pth")
        assert back.keys() == kept.keys()
        for name, before in kept.items():
            assert back[name].keys() == before.keys()
            assert [n for n in before if not back[name][n].equal(before[n])] == []
    _, model.discriminator = models.build(model.config)
    gan_fast.save(tmp_path / "pair.safetensors", model)
    pair = gan_fast.load(tmp_path / "pair.safetensors")
    x = torch.randn(4, 3, 16, 16)
    assert pair.config == model.config
    assert pair.discriminator(x).equal(model.discriminator(x))
    assert [n.refused for n in checkpoints.inspect(tmp_path / "pair.safetensors").networks] == [None] * 3


def test_a_generator_alone_is_saved(tmp_path):
    generator, discriminator = stylegan2_clean.build(
        {"img_resolution": 8, "z_dim": Z, "num_layers": 1, "channel_max": 4}
    )
    gan_fast.save(tmp_path / "g.pth", generator, dialect="gfpgan")
    loaded = gan_fast.load(tmp_path / "g.pth").generator
    z = torch.randn(2, Z)
    assert loaded(z, noise_mode="const").equal(generator(z, noise_mode="const"))
    for dialect in ("ada", "rosinality", "basicsr", "mmgen", "lucidrains"):
        with pytest.raises(ValueError, match=rf"{dialect} cannot express clean StyleGAN2 .*, gfpgan can"):
            gan_fast.save(tmp_path / "x.pt", generator, dialect=dialect)
    model = checkpoints.Model(None, discriminator, generator.config)
    with pytest.raises(ValueError, match="gfpgan takes a generator"):
        gan_fast.save(tmp_path / "x.pth", model, dialect="gfpgan")
    assert export(tmp_path / "g.pt2", generator.requires_grad_(False), psi=0.7) < 1e-5


def test_what_does_not_fit_is_named(tmp_path):
    state = theirs.state(CHANNELS, Z, layers=1)

    def load(**changes):
        changed = {k: x for k, x in {**state, **changes}.items() if x is not None}
        torch.save({"params_ema": changed}, tmp_path / "g.pth")
        return gan_fast.load(tmp_path / "g.pth")

    load()
    load(**{"noises.noise1": None})
    for changes, named in (
        ({"constant_input.weight": None}, r"lacks synthesis\.start"),
        ({"style_mlp.1.weight": None}, r"G_ema has style_mlp\.1\.bias"),
        ({"style_mlp.1.weight": torch.zeros(Z, 4)}, r"affine\.weight has shape \[8, 8\], not \[8, 4\]"),
        ({"style_convs.1.bias": torch.zeros(4)}, r"style_convs\.1\.bias: got shape \[4\]"),
        ({"style_convs.1.activate.bias": torch.zeros(4)}, "style_convs.1.activate.bias"),
        ({"style_convs.3.modulated_conv.weight": torch.zeros(1, 9, 9, 3, 3)}, "channels at each resolution"),
        ({"to_rgbs.0.bias": torch.zeros(1, 4, 1, 1)}, r"b8\.torgb\.bias has shape \[4\], not \[3\]"),
    ):
        with pytest.raises(CheckpointError, match=named):
            load(**changes)
