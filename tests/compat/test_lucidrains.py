"""Checkpoints of lucidrains' stylegan2-pytorch give the images of the networks that they were saved from."""

import lucidrains_style as theirs
import pytest
import torch

import gan_fast
from gan_fast.compat import checkpoints
from gan_fast.compat.export import export
from gan_fast.compat.pickles import CheckpointError
from gan_fast.models import stylegan2_lucidrains

Z = 8
CASES = {
    "plain": {"g": [8, 8, 4], "d": [8, 8, 8, 8]},
    "attention, transparent, quantised, started by w": {
        "g": [8, 8, 4],
        "d": [8, 8, 8, 8],
        "channels": 4,
        "attn": (1, 3, 4),
        "fq": (2, 4),
        "const": False,
    },
}


def assert_same(mine, true):
    assert (mine - true).abs().max() <= 1e-5 * true.abs().max()


@pytest.fixture(scope="module", params=CASES)
def saved(request, tmp_path_factory):
    """A checkpoint: its path, its state dict, and what it was made with."""
    torch.manual_seed(0)
    case = CASES[request.param]
    state = theirs.state(z=Z, layers=2, **case)
    path = tmp_path_factory.mktemp("lucidrains") / "model_7.pt"
    torch.save(theirs.contents(state), path)
    return path, state, case


def test_the_same_images(saved):
    path, state, case = saved
    model = gan_fast.load(path)
    z, noise = torch.randn(3, Z), torch.rand(3, 16, 16, 1)
    for generator, average in ((model.generator, True), (model.trained, False)):
        w = theirs.mapped(state, z, average)
        assert_same(generator.mapping(z)[:, 1], w)
        ws = torch.stack([w, w.roll(1, 0), w.roll(2, 0)], 1)
        images = []
        for one, plane in zip(ws, noise, strict=True):
            # n with Phi(n) = u is the noise u, which that project adds transposed
            generator.synthesis.noise_const.copy_(torch.special.ndtri(plane[..., 0].double()).T)
            images.append(generator.synthesis(one[None], noise_mode="const"))
        assert_same((torch.cat(images) + 1) / 2, theirs.drawn(state, ws, noise, average))
        still = theirs.drawn(state, ws, torch.full_like(noise, 0.5), average)
        assert_same((generator.synthesis(ws, noise_mode="none") + 1) / 2, still)
    x = torch.rand(4, case.get("channels", 3), 16, 16)
    assert_same(-model.discriminator(2 * x - 1), theirs.judged(state, x))
    assert (model.dialect, model.extras) == ("lucidrains", {"version": "1.8.9"})
    assert model.config == stylegan2_lucidrains.Config(
        16, case.get("channels", 3), z_dim=Z, num_layers=2, capacity=2, d_capacity=2, channel_max=8,
        attention=(2, 4, 16) if "attn" in case else (), const=case.get("const", True),
        **({"quantized": (2, 8), "codes": theirs.CODES} if "fq" in case else {}),
    )  # fmt: skip


def test_truncation_draws_towards_the_mean_of_the_network_in_training(saved):
    """As that project truncates its averages too."""
    path, state, _ = saved
    model = gan_fast.load(path)
    assert model.generator.mapping.w_avg.equal(model.trained.mapping.w_avg)
    w = theirs.mapped(state, torch.randn(20000, Z), average=False)
    mean = model.generator.mapping.w_avg
    assert ((mean - w.mean(0)).abs() < 5 * w.std(0) / 4096**0.5).all()
    z = torch.randn(2, Z)
    assert_same(model.generator.mapping(z, None, 0.6)[:, 0], mean + 0.6 * (theirs.mapped(state, z) - mean))


def test_conversions_keep_every_bit(saved, tmp_path):
    path, state, _ = saved
    model, error = checkpoints.convert(path, tmp_path / "there.safetensors")
    assert (model.dialect, error) == ("gan_fast", 0)
    loaded = gan_fast.load(path)
    assert model.config == loaded.config
    for mine, true in ((model.generator, loaded.generator), (model.discriminator, loaded.discriminator)):
        assert [name for name, x in true.state_dict().items() if not mine.state_dict()[name].equal(x)] == []
    checkpoints.convert(tmp_path / "there.safetensors", tmp_path / "back.pt", dialect="lucidrains")
    back = torch.load(tmp_path / "back.pt")["GAN"]
    before = theirs.contents(state)["GAN"]
    assert back.keys() == before.keys()
    assert [name for name in before if not back[name].equal(before[name])] == []


def test_files_without_the_rest(saved, tmp_path):
    """A bare state dict, of averages alone."""
    path, state, _ = saved
    torch.save({name: x for name, x in state.items() if name[1] == "E"}, tmp_path / "average.pt")
    model = gan_fast.load(tmp_path / "average.pt")
    whole = gan_fast.load(path)
    z = torch.randn(2, Z)
    assert model.generator(z, noise_mode="const").equal(whole.generator(z, noise_mode="const"))
    assert (model.trained, model.discriminator) == (None, None)
    with pytest.raises(ValueError, match="lucidrains takes a generator and a discriminator"):
        gan_fast.save(tmp_path / "x.pt", model, dialect="lucidrains")
    with pytest.raises(ValueError, match=r"rosinality cannot express lucidrains' .* only gan_fast .* lucidrains can"):
        gan_fast.save(tmp_path / "x.pt", model)


def test_inspect_lists_it(saved):
    summary = checkpoints.inspect(saved[0])
    assert [(n.role, n.dialect, n.refused) for n in summary.networks] == [
        (role, "lucidrains", None) for role in ("G_ema", "G", "D")
    ]
    assert summary.networks[0].geometry["img_resolution"] == 16


def test_what_is_refused_is_named(tmp_path):
    state = theirs.state([8, 4], [8, 8, 8], Z, 1)

    def load(changes, **options):
        torch.save({"GAN": {k: x for k, x in {**state, **changes}.items() if x is not None}}, tmp_path / "m.pt")
        return gan_fast.load(tmp_path / "m.pt", **options)

    quantised = {f"D.quantize_blocks.0.fn.{n}": torch.zeros(8) for n in ("_codebook.embed", "_codebook.initted")}
    one, other = (
        {f"D.quantize_blocks.{k}.fn.{n}": torch.zeros(8, n_codes) for n in ("embed", "embed_avg")}
        | {f"D.quantize_blocks.{k}.fn.cluster_size": torch.zeros(n_codes)}
        for k, n_codes in enumerate((4, 5))
    )
    for changes, named in (
        (quantised, r"D quantises its features \(fq_layers\) by a later version of .*; discriminator=False"),
        (one | other, r"D: b8\.quantizer\.\w+ has shape \[(8, )?4\], not \[(8, )?5\]"),
        ({"D.quantize_blocks.0.fn.embed": torch.zeros(8)}, r"b8\.quantizer\.codes has shape \[8\]"),
        ({"D.quantize_blocks.0.fn.embed": torch.zeros(8, 4)}, r"D lacks b8\.quantizer\.sums, b8\.quantizer\.usage"),
        ({"G.attns.1.0.fn.g": torch.zeros(1)}, "G has the attention of early versions"),
        ({"GE.blocks.0.to_rgb.upsample.1.f": None}, r"G_ema lacks synthesis\.b8\.blur\.f"),
        ({"S.net.0.weight": torch.zeros(Z, 4)}, r"z_dim, 8 and 4"),
        ({"D.blocks.1.net.2.weight": torch.zeros(9, 9, 3, 3)}, r"D: b4\.\w+\.\w+ has shape"),
        ({"G.initial_conv.weight": None, "GE.initial_conv.weight": None}, "early version of lucidrains"),
    ):
        with pytest.raises(CheckpointError, match=named):
            load(changes)
    model = load(quantised, discriminator=False)
    assert_same(model.generator.mapping(torch.ones(1, Z))[:, 0], theirs.mapped(state, torch.ones(1, Z)))


def test_exported_for_any_batch(tmp_path):
    torch.manual_seed(0)
    generator, _ = stylegan2_lucidrains.build(
        {"img_resolution": 8, "z_dim": Z, "num_layers": 1, "capacity": 2, "attention": (8,)}
    )
    assert export(tmp_path / "g.pt2", generator.requires_grad_(False), psi=0.7) < 1e-5
