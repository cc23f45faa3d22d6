"""Checkpoints of every dialect give the images of the networks that they were saved from."""

import argparse
import copy
import dataclasses
import json
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import nvlabs_style
import nvlabs_style3
import pytest
import rosinality_style
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import gan_fast
from gan_fast.compat import checkpoints, dialects
from gan_fast.compat.pickles import CheckpointError
from gan_fast.models import stylegan2, stylegan3
from gan_fast.training import checkpoint

CHANNELS = {4: 8, 8: 8, 16: 4}
LOPSIDED = (1, 4, 2, 1)


def assert_same(mine, true):
    assert (mine - true).abs().max() <= 1e-5 * true.abs().max()


def assert_same_networks(model, generator, discriminator, latents=(None,), psi=1.0):
    z, *c = latents
    assert_same(model.generator(z, *c, truncation_psi=psi, noise_mode="const"), generator)
    assert_same(model.discriminator(images(), *c), discriminator)


def images():
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    return tmp_path_factory.mktemp("canary") / "executed"


@pytest.fixture(scope="module")
def rosinality(tmp_path_factory):
    """A training checkpoint: its path, and the networks g, g_ema, d and the mean latent in it."""
    torch.manual_seed(3)
    g, g_ema = (rosinality_style.Generator([*CHANNELS.values()], taps=LOPSIDED) for _ in range(2))
    d = rosinality_style.Discriminator([*CHANNELS.values()], taps=LOPSIDED)
    mean = torch.randn(8)
    path = tmp_path_factory.mktemp("rosinality") / "000100.pt"
    contents = {
        "g": g.state_dict(),
        "d": d.state_dict(),
        "g_ema": g_ema.state_dict(),
        "g_optim": {"state": {0: {"exp_avg": torch.zeros(8, 8)}}, "param_groups": [{"lr": 0.002, "params": [0, 1]}]},
        "args": argparse.Namespace(size=16, r1=10.0, path="faces"),
        "ada_aug_p": 0.25,
        "latent_avg": mean,
    }
    torch.save(contents, path)
    return path, g, g_ema, d, mean


@pytest.fixture(scope="module")
def ada(tmp_path_factory, canary):
    """A network snapshot with labels, clamps and a group of 8: its path, and its networks."""
    torch.manual_seed(4)
    options = {"c": 3, "taps": LOPSIDED, "clamp": 2.0}
    g, g_ema = (nvlabs_style.Generator(CHANNELS, **options) for _ in range(2))
    d = nvlabs_style.Discriminator(CHANNELS, **options)
    contents = {
        "G": g,
        "D": d,
        "G_ema": g_ema,
        "training_set_kwargs": nvlabs_style.EasyDict(path="faces.zip", use_labels=True),
        "augment_pipe": nvlabs_style.MinibatchStdLayer(2),
    }
    source = f"open({str(canary)!r}, 'w').write('executed')"
    path = tmp_path_factory.mktemp("ada") / "network-snapshot-000100.pkl"
    return nvlabs_style.write(path, contents, source), g, g_ema, d


def test_rosinality_gives_the_same_images(rosinality):
    path, g, g_ema, d, mean = rosinality
    model = gan_fast.load(path)
    z = torch.randn(3, 8)
    assert_same(model.generator(z, truncation_psi=0.5, noise_mode="const"), g_ema(z, mean, 0.5))
    assert_same(model.trained(z, noise_mode="const"), g(z))
    assert_same(model.discriminator(images()), d(images()))
    assert model.extras == {"args.size": 16, "args.r1": 10.0, "args.path": "faces", "ada_aug_p": 0.25}
    assert model.config == stylegan2.Config(
        16, z_dim=8, w_dim=8, num_layers=2, channel_base=64, channel_max=8, resample_filter=LOPSIDED
    )


def test_ada_gives_the_same_images(ada, canary):
    path, g, g_ema, d = ada
    model = gan_fast.load(path)
    z, c = torch.randn(8, 6), torch.eye(3)[torch.arange(8) % 3]
    assert_same(model.generator(z, c, truncation_psi=0.5, noise_mode="const"), g_ema(z, c, 0.5))
    assert_same(model.trained(z, c, noise_mode="const"), g(z, c))
    assert_same(model.discriminator(images(), c), d(images(), c))
    assert (model.config.conv_clamp, model.config.mbstd_group_size, model.class_names) == (2.0, 8, ("0", "1", "2"))
    assert model.extras["training_set_kwargs.path"] == "faces.zip"
    assert not canary.exists()


@pytest.mark.parametrize("rotation", [False, True])
def test_stylegan3_gives_the_same_images(tmp_path, canary, rotation):
    torch.manual_seed(5)
    g, g_ema = (nvlabs_style3.Generator(rotation) for _ in range(2))
    d = nvlabs_style.Discriminator(CHANNELS, c=3, clamp=2.0)
    source = f"open({str(canary)!r}, 'w').write('executed')"
    path = nvlabs_style.write(tmp_path / "sg3.pkl", {"G": g, "D": d, "G_ema": g_ema}, source)
    z, c = torch.randn(8, 6), torch.eye(3)[torch.arange(8) % 3]
    loaded = gan_fast.load(path)
    converted, error = checkpoints.convert(path, tmp_path / "sg3.safetensors")
    assert error == 0
    for model in (loaded, converted):
        assert_same(model.generator(z, c, truncation_psi=0.5), g_ema(z, c, 0.5))
        assert_same(model.trained(z, c), g(z, c))
        assert_same(model.discriminator(images(), c), d(images(), c))
        a, b = model.generator.state_dict(), g_ema.state_dict()
        assert a.keys() == b.keys()
        assert [name for name in a if not a[name].equal(b[name])] == []
    assert not canary.exists()
    arguments = dict(nvlabs_style3.ARGUMENTS)
    del arguments["num_fp16_res"]
    g_channels = {"g_channel_base": arguments.pop("channel_base"), "g_channel_max": arguments.pop("channel_max")}
    assert loaded.config == stylegan3.Config(
        **arguments, **g_channels, c_dim=3, z_dim=6, w_dim=8, rotation=rotation, channel_base=64, channel_max=8,
        d_num_layers=2, mbstd_group_size=8,
    )  # fmt: skip
    assert converted.config == loaded.config
    found = checkpoints.inspect(path).networks
    assert [(n.role, n.refused) for n in found] == [("G_ema", None), ("G", None), ("D", None)]
    assert found[0].geometry["rotation"] == rotation
    for dialect in ("ada", "rosinality", "basicsr", "mmgen"):
        with pytest.raises(ValueError, match=f"{dialect} cannot express StyleGAN3"):
            gan_fast.save(tmp_path / "other", loaded, dialect=dialect)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("img_resolution", None, "img_resolution"),
        ("num_layers", 1 << 20, "4 layers, not 1048576"),
        ("first_cutoff", 0.0, "no StyleGAN's"),
        ("channel_max", 6, "lacks synthesis.L"),
        ("filter_size", 6, r"up_filter has shape \[8\], not \[12\]"),
        ("output_scale", 0.25, "output_scale 0.5, where gan_fast has 0.25"),
        ("noise", "const", "made with noise"),
    ],
)
def test_arguments_of_stylegan3_must_fit(tmp_path, key, value, named):
    g = nvlabs_style3.Generator(False)
    g._init_kwargs[key] = value
    path = nvlabs_style.write(tmp_path / "g.pkl", {"G_ema": g}, "")
    with pytest.raises(CheckpointError, match=named):
        gan_fast.load(path)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_ada_of_every_protocol(tmp_path, canary, protocol):
    g = nvlabs_style.Generator({4: 4, 8: 4})
    path = nvlabs_style.write(tmp_path / "g.pkl", {"G_ema": g}, f"open({str(canary)!r}, 'w')", protocol)
    z = torch.randn(2, 6)
    assert_same(gan_fast.load(path).generator(z, noise_mode="const"), g(z))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("key", "value"), [("bias_gain", 0.02), ("weight_gain", np.float64(3.5)), ("weight_gain", 1 << 1500)]
)
def test_what_shapes_do_not_show_is_checked(tmp_path, key, value):
    g = nvlabs_style.Generator({4: 4, 8: 4})
    setattr(g.mapping.fc0, key, value)
    path = nvlabs_style.write(tmp_path / "g.pkl", {"G_ema": g}, "")
    with pytest.raises(CheckpointError, match=rf"mapping\.fc0 has {key} {value!s:.3}"):
        gan_fast.load(path)


# The names of a few tensors, by hand from each project's code, against slips in the table of patterns.
NAMES = {
    "basicsr": {
        "style.1.weight": "style_mlp.1.weight",
        "input.input": "constant_input.weight",
        "conv1.conv.weight": "style_conv1.modulated_conv.weight",
        "conv1.noise.weight": "style_conv1.weight",
        "conv1.activate.bias": "style_conv1.activate.bias",
        "to_rgb1.conv.modulation.bias": "to_rgb1.modulated_conv.modulation.bias",
        "to_rgbs.1.bias": "to_rgbs.1.bias",
        "convs.3.conv.modulation.weight": "style_convs.3.modulated_conv.modulation.weight",
        "convs.2.noise.weight": "style_convs.2.weight",
        "convs.2.conv.blur.kernel": None,
        "noises.noise_4": "noises.noise4",
        "convs.0.0.weight": "conv_body.0.0.weight",
        "convs.1.conv2.2.bias": "conv_body.1.conv2.2.bias",
        "convs.1.skip.1.weight": "conv_body.1.skip.1.weight",
        "convs.1.skip.0.kernel": None,
        "final_conv.0.weight": "final_conv.0.weight",
        "final_linear.1.bias": "final_linear.1.bias",
    },
    "mmgen": {
        "style.1.weight": "style_mapping.1.linear.weight_orig",
        "style.1.bias": "style_mapping.1.bias",
        "input.input": "constant_input.input",
        "conv1.conv.weight": "conv1.conv.weight_orig",
        "conv1.noise.weight": "conv1.noise_injector.weight",
        "conv1.activate.bias": "conv1.activate.bias",
        "to_rgb1.conv.modulation.bias": "to_rgb1.conv.style_modulation.bias",
        "to_rgbs.1.upsample.kernel": "to_rgbs.1.upsample.kernel",
        "convs.3.conv.modulation.weight": "convs.3.conv.style_modulation.linear.weight_orig",
        "convs.2.conv.blur.kernel": "convs.2.conv.blur.kernel",
        "noises.noise_4": "injected_noise_4",
        "convs.0.0.weight": "convs.0.0.conv.weight_orig",
        "convs.1.conv2.1.weight": "convs.1.conv2.1.conv.weight_orig",
        "convs.1.conv2.2.bias": "convs.1.conv2.2.bias",
        "convs.1.skip.0.kernel": "convs.1.skip.0.kernel",
        "convs.1.skip.1.weight": "convs.1.skip.1.conv.weight_orig",
        "final_conv.0.weight": "final_conv.0.conv.weight_orig",
        "final_conv.1.bias": "final_conv.1.bias",
        "final_linear.1.weight": "final_linear.1.linear.weight_orig",
        "final_linear.1.bias": "final_linear.1.bias",
    },
}


@pytest.mark.parametrize("dialect", NAMES)
def test_names_are_the_projects(dialect):
    assert {name: dialects.rename(dialect, name) for name in NAMES[dialect]} == NAMES[dialect]


def renamed(dialect, module):
    named = {dialects.rename(dialect, name): x for name, x in module.state_dict().items()}
    return {name: x for name, x in named.items() if name}


def test_basicsr_gives_the_same_images(tmp_path):
    g, d = rosinality_style.Generator([8, 4]), rosinality_style.Discriminator([8, 8, 4])
    torch.save({"params_ema": renamed("basicsr", g)}, tmp_path / "net_g.pth")
    torch.save({"params": renamed("basicsr", d)}, tmp_path / "net_d.pth")
    z = torch.randn(2, 8)
    assert_same(gan_fast.load(tmp_path / "net_g.pth").generator(z, noise_mode="const"), g(z))
    model = gan_fast.load(tmp_path / "net_d.pth")
    assert model.generator is None
    assert_same(model.discriminator(images()), d(images()))


def test_mmgen_gives_the_same_images(tmp_path):
    g, d = (
        rosinality_style.Generator([8, 8, 4], taps=LOPSIDED),
        rosinality_style.Discriminator([8, 8, 4], taps=LOPSIDED),
    )
    networks = {"generator_ema": g, "discriminator": d}
    state = {f"{prefix}.{name}": x for prefix, m in networks.items() for name, x in renamed("mmgen", m).items()}
    torch.save({"meta": {"iter": 5}, "state_dict": state, "optimizer": {}}, tmp_path / "iter_5.pth")
    model = gan_fast.load(tmp_path / "iter_5.pth")
    z = torch.randn(2, 8)
    assert_same(model.generator(z, noise_mode="const"), g(z))
    assert_same(model.discriminator(images()), d(images()))
    assert (model.dialect, model.extras) == ("mmgen", {"meta.iter": 5})


def test_a_missing_mean_latent_is_the_mean(tmp_path):
    g = rosinality_style.Generator([4, 4])
    torch.save({"g_ema": g.state_dict()}, tmp_path / "g.pt")
    mean = gan_fast.load(tmp_path / "g.pt").generator.mapping.w_avg
    assert mean.equal(gan_fast.load(tmp_path / "g.pt").generator.mapping.w_avg)
    z = torch.randn(20000, 8)
    true = g.style(z / z.square().mean(1, keepdim=True).sqrt())
    assert ((mean - true.mean(0)).abs() < 5 * true.std(0) / 4096**0.5).all()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dialect", ["gan_fast", "ada", "rosinality", "basicsr", "mmgen"])
def test_conversions_keep_every_bit(tmp_path, rosinality, dialect, legacy):
    path = rosinality[0]
    if legacy or dialect == "basicsr":
        contents = {"g_ema": rosinality_style.Generator([8, 4]).state_dict(), "latent_avg": torch.randn(8)}
        path = tmp_path / "start.pt"
        torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
    model, error = checkpoints.convert(path, tmp_path / "there", dialect=dialect)
    assert (model.dialect, error) == (dialect, 0)
    checkpoints.convert(tmp_path / "there", tmp_path / "back.pt")
    before, after = (torch.load(p, weights_only=False) for p in (path, tmp_path / "back.pt"))
    kept = ["g_ema"] + ["g", "d"] * (len(before) > 2) + ["latent_avg"] * (dialect in ("gan_fast", "ada", "rosinality"))
    for network in kept:
        a, b = ({"": x[network]} if network == "latent_avg" else x[network] for x in (before, after))
        assert a.keys() == b.keys()
        assert [name for name in a if not a[name].equal(b[name])] == []


@pytest.mark.parametrize("dialect", ["gan_fast", "ada"])
def test_conversions_of_ada_keep_every_bit(tmp_path, ada, dialect):
    path, g, g_ema, d = ada
    model, error = checkpoints.convert(path, tmp_path / "there", dialect=dialect)
    assert error == 0
    assert model.config == gan_fast.load(path).config
    for mine, true in ((model.generator, g_ema), (model.trained, g), (model.discriminator, d)):
        a, b = mine.state_dict(), true.state_dict()
        assert a.keys() == b.keys()
        assert [name for name in a if not a[name].equal(b[name])] == []


@pytest.mark.parametrize(("g", "d"), [("orig", "orig"), ("resnet", "skip"), ("skip", "resnet")])
@pytest.mark.parametrize("dialect", ["gan_fast", "ada"])
def test_architectures_and_mixed_precision(tmp_path, dialect, g, d):
    """Networks of any architecture come back, in float32, as those they were trained as in float32."""
    config = stylegan2.Config(
        16, c_dim=2, z_dim=4, w_dim=8, num_layers=1, d_num_layers=1, cmap_dim=3, channel_base=64, conv_clamp=256,
        architecture=g, d_architecture=d, mbstd_group_size=None, mbstd_num_channels=2, num_lowprec_res=2,
    )  # fmt: skip
    model = checkpoints.Model(*stylegan2.build(config), config)
    gan_fast.save(tmp_path / "a.safetensors", model)
    again, _ = checkpoints.convert(tmp_path / "a.safetensors", tmp_path / "b", dialect=dialect)
    assert again.config == dataclasses.replace(config, num_lowprec_res=0, channel_max=16)
    for mine, true in ((again.generator, model.generator), (again.discriminator, model.discriminator)):
        true = true.state_dict()
        assert all(x.equal(true[name]) for name, x in mine.state_dict().items())


def test_decoders_of_encoders_are_found(tmp_path):
    """As pSp and e4e save them: decoder and encoder in one state dict, the mean latent once for each layer."""
    g, mean = rosinality_style.Generator([4, 4]), torch.randn(8)
    state = {f"decoder.{name}": x for name, x in g.state_dict().items()}
    state["encoder.input_layer.0.weight"] = torch.zeros(3, 3)
    torch.save({"state_dict": state, "latent_avg": mean.expand(4, 8).clone(), "opts": {"size": 8}}, tmp_path / "e4e.pt")
    z = torch.randn(2, 8)
    images = gan_fast.load(tmp_path / "e4e.pt").generator(z, truncation_psi=0.5, noise_mode="const")
    assert_same(images, g(z, mean, 0.5))


def test_half_precision_files_are_read_in_float32(tmp_path):
    g = rosinality_style.Generator([4, 4]).half()
    torch.save({"g_ema": g.state_dict()}, tmp_path / "half.pt")
    z = torch.randn(2, 8)
    assert_same(gan_fast.load(tmp_path / "half.pt").generator(z, noise_mode="const"), g.float()(z))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"c_dim": 3}, "c_dim 3"),
        ({"z_dim": 4}, "z_dim 4"),
        ({"architecture": "resnet"}, "architecture 'resnet'"),
        ({"img_resolution": (8, 16)}, "not square"),
    ],
)
def test_what_a_dialect_cannot_express_is_named(tmp_path, fields, named):
    config = {"img_resolution": 8, "z_dim": 8, "w_dim": 8, "num_layers": 1, "channel_base": 32, **fields}
    generator, _ = stylegan2.build(config)
    with pytest.raises(ValueError, match=named):
        gan_fast.save(tmp_path / "x.pt", generator)
    assert not list(tmp_path.iterdir())
    gan_fast.save(tmp_path / "x.safetensors", generator)
    again = gan_fast.load(tmp_path / "x.safetensors")
    assert again.config.img_resolution == config["img_resolution"]
    assert {k: v.tolist() for k, v in again.generator.state_dict().items()} == {
        k: v.tolist() for k, v in generator.state_dict().items()
    }


def test_a_clamp_that_images_feel_is_not_dropped(tmp_path):
    config = stylegan2.Config(8, z_dim=8, w_dim=8, num_layers=1, channel_base=32)
    for clamp, same in ((1000.0, True), (0.01, False)):
        torch.manual_seed(0)
        generator, _ = stylegan2.build(config, conv_clamp=clamp)
        gan_fast.save(tmp_path / "a.safetensors", generator)
        if same:
            assert checkpoints.convert(tmp_path / "a.safetensors", tmp_path / "b.pt")[1] == 0
        else:
            with pytest.raises(CheckpointError, match="no conv_clamp"):
                checkpoints.convert(tmp_path / "a.safetensors", tmp_path / "b.pt")


def test_training_checkpoints_are_read(tmp_path):
    config = stylegan2.preset("digits", img_resolution=8, channel_base=64, channel_max=8, conv_clamp=3)
    generator, discriminator = stylegan2.build(config)
    average = copy.deepcopy(generator)
    weights = {"G": generator.state_dict(), "G_ema": average.state_dict(), "D": discriminator.state_dict()}
    state = checkpoint.Checkpoint(7, {"seed": 1}, dataclasses.asdict(config), tuple("abcdefghij"), {}, weights)
    path = checkpoint.save_checkpoint(tmp_path, state, {}, 1)
    model = gan_fast.load(path)
    assert model.config == config
    assert model.class_names == tuple("abcdefghij")
    assert model.extras["step"] == 7
    z, c = torch.randn(2, 64), torch.eye(10)[:2]
    assert model.generator(z, c, noise_mode="const").equal(generator(z, c, noise_mode="const"))


def test_foreign_architectures_are_named(tmp_path):
    state = {"blocks.0.to_rgb.conv.weight": torch.zeros(3, 4, 1, 1)}
    torch.save({"GAN": state, "version": "0.3"}, tmp_path / "early.pt")
    with pytest.raises(CheckpointError, match=r"early version of lucidrains"):
        gan_fast.load(tmp_path / "early.pt")
    summary = checkpoints.inspect(tmp_path / "early.pt")
    assert "early version of lucidrains" in summary.refused
    assert summary.tensors["GAN.blocks.0.to_rgb.conv.weight"] == (torch.float32, (3, 4, 1, 1))
    assert summary.extras == {"version": "0.3"}
    torch.save({"G.synthesis.input.freqs": torch.zeros(2, 2)}, tmp_path / "stylegan3.pt")
    with pytest.raises(CheckpointError, match="does not say what its StyleGAN3 generator is made with"):
        gan_fast.load(tmp_path / "stylegan3.pt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no network of a dialect"):
        gan_fast.load(tmp_path / "other.pt")


def test_inspect_lists_without_loading(ada, rosinality, canary):
    summary = checkpoints.inspect(ada[0])
    assert [n.role for n in summary.networks] == ["G_ema", "G", "D"]
    assert summary.networks[0].geometry["channels"] == CHANNELS
    assert summary.networks[0].geometry["img_resolution"] == 16
    assert summary.tensors["G_ema.synthesis.b4.const"] == (torch.float32, (8, 4, 4))
    assert summary.sources["G_ema"] > 20
    assert not canary.exists()
    summary = checkpoints.inspect(rosinality[0])
    assert {n.dialect for n in summary.networks} == {"rosinality"}
    assert summary.extras["args.size"] == 16
    assert summary.left_out == {"g_optim": 1}


def test_our_pickles_take_nvlabs_loader(tmp_path, monkeypatch):
    """What that loader does: execute the embedded source, make the named class, set its state."""

    def reconstruct(meta):
        names = {}
        exec(meta["module_src"], names)
        made = names[meta["class_name"]].__new__(names[meta["class_name"]])
        made.__setstate__(meta["state"])
        return made

    generator, _ = stylegan2.build("digits", img_resolution=8, channel_max=8)
    path = gan_fast.save(tmp_path / "g.pkl", generator)
    assert "torch_utils" not in sys.modules
    module = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = reconstruct
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)
    again = pickle.loads(path.read_bytes())["G_ema"]
    z, c = torch.randn(2, 64), torch.eye(10)[:2]
    assert again(z, c, noise_mode="const").equal(generator(z, c, noise_mode="const"))


def test_safetensors_say_what_they_are(tmp_path):
    generator, _ = stylegan2.build("digits", img_resolution=8, channel_max=8)
    path = gan_fast.save(tmp_path / "g.safetensors", generator)
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "gan_fast model 1"
        assert '"img_resolution": 8' in file.metadata()["network"]


@pytest.mark.parametrize(
    ("network", "named"),
    [
        ({"conv_clamp": "256"}, "conv_clamp is '256'"),
        ({"mbstd_group_size": -1}, "mbstd_group_size is -1"),
        ({"mbstd_group_size": [4]}, "mbstd_group_size is"),
        ({"family": "r3gan"}, r"family 'r3gan'; gan_fast\.training\.load_generator"),
    ],
)
def test_metadata_is_not_trusted(tmp_path, network, named):
    generator, _ = stylegan2.build("digits", img_resolution=8, channel_max=8)
    path = gan_fast.save(tmp_path / "g.safetensors", generator)
    save_file(load_file(path), path, {"network": json.dumps(network)})
    with pytest.raises(CheckpointError, match=named):
        gan_fast.load(path)


def test_geometry_that_is_none_is_named(tmp_path):
    state = rosinality_style.Generator([8, 8, 4]).state_dict()

    def load(**changes):
        torch.save({"g_ema": {k: x for k, x in {**state, **changes}.items() if x is not None}}, tmp_path / "g.pt")
        return gan_fast.load(tmp_path / "g.pt")

    load()
    for changes, named in (
        ({"conv1.conv.weight": None}, "lacks synthesis.b4.conv1.weight"),
        ({"convs.1.activate.bias": None}, "lacks synthesis.b8.conv1.bias"),
        ({"extra.weight": torch.zeros(1)}, "extra.weight"),
        ({"\x1b[2J\udc80": torch.zeros(1)}, r"\\x1b\[2J\\udc80"),
        ({"convs.1.activate.bias": torch.zeros(9)}, r"b8.conv1.bias has shape \[9\], not \[8\]"),
        ({"input.input": torch.zeros(2, 8, 4, 4)}, "input.input: got shape"),
        ({"input.input": torch.zeros(1, 8, 4, 4, dtype=torch.int32)}, "torch.int32"),
        ({"convs.2.conv.weight": torch.zeros(1, 3, 8, 3, 3)}, "b16.conv0.weight has shape"),
        ({"convs.3.conv.weight": torch.zeros(1, 9, 9, 3, 3)}, "channels at each resolution"),
        ({"style.1.weight": torch.zeros(8, 0)}, "fc0.weight has shape"),
    ):
        with pytest.raises(CheckpointError, match=named) as caught:
            load(**changes)
        assert Path(tmp_path / "g.pt").name in str(caught.value)
