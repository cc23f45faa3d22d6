"""StyleGAN2: published sizes, the symmetries that its maths implies, its options and its errors."""

import dataclasses

import pytest
import torch

from gan_fast.models.stylegan2 import (
    ARCHITECTURES,
    PRESETS,
    Config,
    Discriminator,
    Generator,
    Mapping,
    build,
    preset,
)
from gan_fast.ops import downsample2d, upsample2d

assert_close = torch.testing.assert_close
TINY = Config(16, z_dim=8, w_dim=8, num_layers=2, d_num_layers=2, channel_base=64, channel_max=8, mbstd_group_size=2)


def tiny(device, dtype=torch.float64, **options):
    """A small pair in which nothing is zero: noise and biases count."""
    pair = build(TINY, **options)
    for network in pair:
        network.to(device, dtype)
        for name, p in network.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                torch.nn.init.normal_(p, mean=p.mean().item(), std=0.3)
    return pair


def latents(g, n=4, dtype=torch.float64):
    device = g.mapping.fc0.weight.device
    z = torch.randn(n, g.z_dim, dtype=dtype, device=device)
    c = torch.eye(max(g.c_dim, 1), dtype=dtype, device=device)[torch.arange(n) % max(g.c_dim, 1)] if g.c_dim else None
    return z, c


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---------------------------------------------------------------- published sizes


@pytest.mark.parametrize(
    ("name", "options", "g_count", "d_count"),
    [
        ("stylegan2-1024", {}, 30_370_060, 29_012_513),
        ("stylegan2-256", {}, 30_034_338, 28_864_129),
        ("stylegan2-256", {"channel_base": 16384}, 24_767_458, 24_001_089),
        ("paper256", {}, 24_767_458, 24_001_089),
    ],
)
def test_parameter_counts(name, options, g_count, d_count):
    with torch.device("meta"):
        g, d = build(name, **options)
    assert (count(g), count(g.mapping), count(d)) == (g_count, 2_101_248, d_count)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    with torch.device("meta"):
        g, d = build(name)
    side = PRESETS[name].img_resolution
    assert g.num_ws == 2 * side.bit_length() - 4
    if name == "digits":
        assert (side, g.img_channels, g.c_dim) == (16, 1, 10)
        assert 60_000 < count(d) < count(g) < 80_000


def test_state_dict_names():
    g, d = build(TINY, img_resolution=8, c_dim=3, architecture="skip", d_architecture="resnet", num_layers=1)
    layer = ["affine.bias", "affine.weight", "bias", "noise_const", "noise_strength", "resample_filter", "weight"]
    torgb = ["affine.bias", "affine.weight", "bias", "weight"]
    conv = ["bias", "resample_filter", "weight"]
    linear = ["bias", "weight"]
    assert sorted(g.state_dict()) == sorted(
        ["mapping.w_avg", "synthesis.b4.const", "synthesis.b4.resample_filter", "synthesis.b8.resample_filter"]
        + [f"mapping.{a}.{b}" for a in ("embed", "fc0") for b in linear]
        + [f"synthesis.{a}.{b}" for a in ("b4.conv1", "b8.conv0", "b8.conv1") for b in layer]
        + [f"synthesis.{a}.torgb.{b}" for a in ("b4", "b8") for b in torgb]
    )
    assert sorted(d.state_dict()) == sorted(
        ["b8.resample_filter", "b8.skip.resample_filter", "b8.skip.weight"]
        + [f"mapping.{a}.{b}" for a in ("embed", "fc0", "fc1") for b in linear]
        + [f"{a}.{b}" for a in ("b8.fromrgb", "b8.conv0", "b8.conv1", "b4.conv") for b in conv]
        + [f"b4.{a}.{b}" for a in ("fc", "out") for b in linear]
    )
    g, d = build(TINY, img_resolution=8, architecture="resnet", d_architecture="skip")
    assert "synthesis.b8.skip.weight" in g.state_dict()
    assert "synthesis.b4.torgb.weight" not in g.state_dict()
    assert {"b4.fromrgb.weight", "b8.fromrgb.weight"} < set(d.state_dict())


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("img_resolution", "img_channels", "c_dim"), [(4, 1, 0), (8, 3, 3), (16, 4, 0), ((8, 16), 3, 2), ((24, 16), 1, 0)]
)
def test_shapes_and_every_parameter_counts(device, architecture, img_resolution, img_channels, c_dim):
    g, d = tiny(
        device,
        torch.float32,
        architecture=architecture,
        d_architecture=architecture,
        img_resolution=img_resolution,
        img_channels=img_channels,
        c_dim=c_dim,
    )
    size = (img_resolution,) * 2 if isinstance(img_resolution, int) else img_resolution
    z, c = latents(g, dtype=torch.float32)
    img = g(z, c)
    assert img.shape == (4, img_channels, *size)
    logits = d(img, c)
    assert logits.shape == (4, 1)
    logits.square().sum().backward()
    assert not [name for m in (g, d) for name, p in m.named_parameters() if p.grad is None or not p.grad.any()]


def test_constant_takes_the_aspect():
    g, _ = build(TINY, img_resolution=(16, 32))
    assert g.synthesis.b4.const.shape == (8, 4, 8)
    assert g.synthesis.b16.conv0.noise_const.shape == (16, 32)


def test_labels_and_latents_each_matter(device):
    g, d = tiny(device, c_dim=3)
    z, c = latents(g)
    img = g(z, c, noise_mode="const")
    assert (img - g(z, c.roll(1, 1), noise_mode="const")).abs().amax([1, 2, 3]).min() > 1e-3
    assert (img - g(z.roll(1, 0), c, noise_mode="const")).abs().amax([1, 2, 3]).min() > 1e-3
    assert (d(img, c) - d(img, c.roll(1, 1))).abs().min() > 1e-4


def test_labels_alone_draw(device):
    g, _ = tiny(device, z_dim=0, c_dim=3)
    c = torch.eye(3, dtype=torch.float64, device=device)
    assert g(None, c).shape == (3, 3, 16, 16)


@pytest.mark.parametrize("lowprec_dtype", ["bfloat16", "float16"])
def test_low_precision_blocks(device, lowprec_dtype):
    options = {"architecture": "resnet", "conv_clamp": 256}
    g, d = tiny(device, torch.float32, **options)
    g16, d16 = tiny(device, torch.float32, num_lowprec_res=2, lowprec_dtype=lowprec_dtype, **options)
    g16.load_state_dict(g.state_dict())
    d16.load_state_dict(d.state_dict())
    dtypes = []
    for block in (*g16.synthesis.children(), *d16.children()):
        block.register_forward_hook(lambda m, i, y: dtypes.append((y[0] if isinstance(y, tuple) else y).dtype))
    z, _ = latents(g, dtype=torch.float32)
    img, img16 = (network(z, noise_mode="const") for network in (g, g16))
    logits, logits16 = d(img), d16(img)
    low = getattr(torch, lowprec_dtype)
    assert dtypes == [torch.float32, low, low, low, low, torch.float32]
    assert img16.dtype == logits16.dtype == torch.float32
    eps = torch.finfo(low).eps
    assert 0 < (img16 - img).norm() < 4 * eps * img.norm()
    assert 0 < (logits16 - logits).norm() < 4 * eps * logits.norm()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_channels_last_gives_the_same(device, architecture):
    g, d = tiny(device, architecture=architecture, d_architecture=architecture)
    z, _ = latents(g)
    img = g(z, noise_mode="const")
    logits = d(img)
    seen = []
    for network in (g, d):
        network.to(memory_format=torch.channels_last)
    for layer in (g.synthesis.b4.conv1, g.synthesis.b16.conv1, d.b16.conv0, d.b8.conv1):
        layer.register_forward_hook(lambda m, i, y: seen.append(y))
    for first in (g.synthesis.b4.conv1, d.b16.fromrgb):
        first.register_forward_pre_hook(lambda m, i: seen.append(i[0]))
    assert_close(g(z, noise_mode="const"), img)
    assert_close(d(img), logits)
    assert [x.is_contiguous(memory_format=torch.channels_last) for x in seen] == [True] * 6


# ---------------------------------------------------------------- mapping and truncation


def test_mapping_ignores_the_lengths_of_z_and_of_the_embedding(device):
    mapping = Mapping(8, 3, 8, 4).to(device, torch.float64)
    z = torch.randn(4, 8, dtype=torch.float64, device=device)
    c = torch.eye(4, 3, dtype=torch.float64, device=device).roll(1, 1) + 0.5
    ws = mapping(z, c)
    assert_close(mapping(3 * z, c), ws)
    assert_close(mapping(z, 3 * c), ws)


def test_mapping_learns_a_hundredth_as_fast(device):
    mapping = Mapping(256, 3, 256, 4).to(device)
    for name, multiplier in (("embed", 1), ("fc0", 0.01), ("fc7", 0.01)):
        layer = getattr(mapping, name)
        assert layer.bias_gain == multiplier
        assert layer.weight.std().item() * multiplier == pytest.approx(1, abs=0.1)


def test_w_avg_moves_when_asked_and_converges(device):
    mapping = Mapping(8, 0, 8, 4, num_layers=2, w_avg_beta=0.9).to(device, torch.float64)
    z = torch.randn(16, 8, dtype=torch.float64, device=device)
    mean = mapping(z)[:, 0].mean(0).detach()
    assert mapping.w_avg.abs().max() == 0
    mapping(z, update_emas=True)
    assert_close(mapping.w_avg, 0.1 * mean)
    for _ in range(200):
        mapping(z, update_emas=True)
    assert_close(mapping.w_avg, mean)
    assert not mapping.w_avg.requires_grad


def test_truncation(device):
    g, _ = tiny(device)
    z, _ = latents(g)
    torch.nn.init.normal_(g.mapping.w_avg)
    ws = g.mapping(z)
    w_avg = g.mapping.w_avg
    assert_close(g.mapping(z, truncation_psi=0.7), w_avg + 0.7 * (ws - w_avg))
    cut = g.mapping(z, truncation_psi=0.7, truncation_cutoff=2)
    assert_close(cut[:, :2], w_avg + 0.7 * (ws[:, :2] - w_avg))
    assert_close(cut[:, 2:], ws[:, 2:])
    mean_image = g.synthesis(w_avg.expand(4, g.num_ws, -1), noise_mode="const")
    assert_close(g(z, truncation_psi=0, noise_mode="const"), mean_image)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_w_styles_its_own_layers(device, architecture):
    g, _ = tiny(device, architecture=architecture)
    styles = {}
    for name, module in g.synthesis.named_modules():
        if name.endswith("affine"):
            module.register_forward_hook(lambda m, i, y, name=name: styles.update({name[: -len(".affine")]: y}))
    z, _ = latents(g)
    ws = g.mapping(z).detach()
    g.synthesis(ws)
    before = dict(styles)
    convs = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    torgbs = {1: "b4.torgb", 3: "b8.torgb", 5: "b16.torgb"}
    for k in range(g.num_ws):
        mixed = ws.clone()
        mixed[:, k] = ws[:, k].roll(1, 0)
        g.synthesis(mixed)
        changed = {name for name in before if not torch.equal(styles[name], before[name])}
        assert changed == {name for name in [*convs[k : k + 1], torgbs.get(k)] if name in before}
        assert changed


# ---------------------------------------------------------------- how blocks are joined


def test_residual_blocks_halve_the_power_of_both_branches(device):
    g, d = tiny(device, architecture="resnet")
    x = torch.randn(4, 8, 8, 8, dtype=torch.float64, device=device)
    block = d.b8
    assert_close(block(x, None)[0], 0.5**0.5 * (block.skip(x) + block.conv1(block.conv0(x))))
    block = g.synthesis.b16
    ws = torch.randn(4, 3, 8, dtype=torch.float64, device=device)
    convolved = block.conv1(block.conv0(x, ws[:, 0], "const"), ws[:, 1], "const")
    y, img = block(x, None, ws, "const")
    assert_close(y, 0.5**0.5 * (block.skip(x) + convolved))
    assert_close(img, block.torgb(y, ws[:, 2]))


def test_skip_generator_sums_the_images_of_all_blocks(device):
    g, _ = tiny(device)
    images = []
    for block in g.synthesis.children():
        block.torgb.register_forward_hook(lambda m, i, y: images.append(y))
    img = g(*latents(g))
    small, middle, large = images
    f = g.synthesis.b8.resample_filter
    assert_close(img, upsample2d(upsample2d(small, f) + middle, f) + large)


def test_skip_discriminator_reads_the_image_at_every_size(device):
    _, d = tiny(device, d_architecture="skip")
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64, device=device)
    seen = []
    for block in (d.b16, d.b8, d.b4):
        block.fromrgb.register_forward_pre_hook(lambda m, i: seen.append(i[0]))
    d(img)
    for size in seen:
        assert_close(size, img)
        img = downsample2d(img, d.b8.resample_filter)


def test_labels_are_projected_on(device):
    _, d = tiny(device, c_dim=3)
    features = []
    d.b4.out.register_forward_hook(lambda m, i, y: features.append(y))
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64, device=device)
    c = torch.eye(4, 3, dtype=torch.float64, device=device)
    logits = d(img, c)
    assert_close(logits[:, 0], (features[0] * d.mapping(None, c)).mean(1) * 8**0.5)


def test_clamp_reaches_every_layer_but_the_shortcuts():
    g, d = build(TINY, architecture="resnet", d_architecture="resnet", conv_clamp=256)
    clamps = {name: m.conv_clamp for net in (g, d) for name, m in net.named_modules() if hasattr(m, "conv_clamp")}
    assert len(clamps) == 5 + 2 + 1 + 2 * 3 + 2
    assert {name for name, clamp in clamps.items() if clamp != 256} == {name for name in clamps if "skip" in name}


# ---------------------------------------------------------------- symmetries


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generator_treats_each_sample_alone(device, architecture):
    g, _ = tiny(device, architecture=architecture, c_dim=2)
    z, c = latents(g)
    img = g(z, c, noise_mode="const")
    for i in range(4):
        assert_close(g(z[i : i + 1], c[i : i + 1], noise_mode="const")[0], img[i])


def test_noise_modes_agree_at_strength_zero(device):
    g, _ = build(TINY)
    g.to(device, torch.float64)
    z, _ = latents(g)
    none, const, random = (g(z, noise_mode=mode) for mode in ("none", "const", "random"))
    assert_close(const, none)
    assert_close(random, none)
    g, _ = tiny(device)
    assert (g(z) - g(z)).abs().max() > 1e-3
    assert_close(g(z, noise_mode="const"), g(z, noise_mode="const"))


def test_discriminator_sees_groups_as_sets(device):
    _, d = tiny(device)
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64, device=device)
    logits = d(img)
    within = [2, 1, 0, 3]  # groups of two are 0, 2 and 1, 3
    across = [1, 0, 2, 3]
    assert_close(d(img[within]), logits[within])
    assert (d(img[across]) - logits[across]).abs().max() > 1e-5


def test_discriminator_without_stddev_treats_each_sample_alone(device):
    _, d = tiny(device, mbstd_num_channels=0)
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64, device=device)
    assert_close(d(img[:1]), d(img)[:1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_mirror_symmetric_weights_make_mirror_symmetric_networks(device, architecture):
    """No resampling step may shift the image."""
    g, d = tiny(device, architecture=architecture, d_architecture=architecture)
    z, _ = latents(g)
    img = g(z, noise_mode="none").detach()
    assert (img - img.flip(3)).abs().max() > 1e-2
    assert (d(img) - d(img.flip(3))).abs().max() > 1e-5
    with torch.no_grad():
        for network in (g, d):
            for p in network.parameters():
                if p.ndim >= 3:
                    p.add_(p.flip(-1)).mul_(0.5)
        fc = d.b4.fc.weight.unflatten(1, (-1, 4, 4))
        d.b4.fc.weight.copy_(0.5 * (fc + fc.flip(-1)).flatten(1))
    assert_close(d(img), d(img.flip(3)))
    img = g(z, noise_mode="none")
    assert_close(img, img.flip(3))


# ---------------------------------------------------------------- gradients


def test_discriminator_gradients_of_first_and_second_order(device):
    d = Discriminator(img_resolution=4, channel_base=16, channel_max=4, mbstd_group_size=2).to(device, torch.float64)
    img = torch.randn(2, 3, 4, 4, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(d, (img,))
    assert torch.autograd.gradgradcheck(d, (img,))


def test_generator_gradients_of_first_and_second_order(device):
    g = Generator(4, 0, 4, 8, 1, num_layers=1, channel_base=16, channel_max=3).to(device, torch.float64)
    z = torch.randn(1, 4, dtype=torch.float64, device=device, requires_grad=True)
    probe = torch.randn(1, 1, 8, 8, dtype=torch.float64, device=device)

    def projected(z):
        return (g(z, noise_mode="const") * probe).sum()

    assert torch.autograd.gradcheck(projected, (z,))
    assert torch.autograd.gradgradcheck(projected, (z,))


# ---------------------------------------------------------------- building, and bad arguments


def test_build_takes_names_configs_and_mappings():
    torch.manual_seed(1)
    g, d = build("digits", c_dim=0, img_channels=3)
    torch.manual_seed(1)
    again = build(dataclasses.asdict(preset("digits", c_dim=0, img_channels=3)))
    for one, other in zip((g, d), again, strict=True):
        other, one = other.state_dict(), one.state_dict()
        assert list(one) == list(other)
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"img_resolution": 48}, "img_resolution"),
        ({"img_resolution": 2}, "img_resolution"),
        ({"img_resolution": (16, 18)}, "img_resolution"),
        ({"img_resolution": (16, 16, 16)}, "img_resolution"),
        ({"architecture": "unet"}, "architecture.*unet.*resnet"),
        ({"d_architecture": "unet"}, "architecture.*unet.*resnet"),
        ({"num_layers": 0}, "num_layers"),
        ({"z_dim": 0}, "z_dim"),
        ({"channel_base": 8}, "channel_base"),
        ({"mbstd_num_channels": 3}, "mbstd_num_channels"),
        ({"num_lowprec_res": -1}, "num_lowprec_res"),
        ({"lowprec_dtype": "int8"}, "lowprec_dtype"),
        ({"num_fp16_res": 4}, "num_fp16_res.*num_lowprec_res"),
    ],
)
def test_bad_configurations(options, named):
    with pytest.raises(ValueError, match=named):
        build(TINY, **options)


def test_unknown_preset_lists_the_names():
    for call in (preset, build):
        with pytest.raises(ValueError, match=r"preset.*'stylegan9'.*digits.*cifar.*stylegan2-1024"):
            call("stylegan9")


def test_bad_inputs(device):
    g, d = tiny(device, c_dim=3)
    z, c = latents(g)
    img = g(z, c)
    for call, named in [
        (lambda: g(z[:, :5], c), r"z: got \[4, 5\], takes .*\[N, 8\]"),
        (lambda: g(z[0], c), "z: "),
        (lambda: g(None, c), "z: got None"),
        (lambda: g(z, c[:, :2]), r"c: got \[4, 2\], takes .*\[N, 3\]"),
        (lambda: g(z), "c: got None"),
        (lambda: g(z, c[:2]), "c: got 2 labels"),
        (lambda: g.synthesis(g.mapping(z, c)[:, :3]), r"ws: got shape \[4, 3, 8\], takes \[N, 6, 8\]"),
        (lambda: g(z, c, noise_mode="loud"), "noise_mode: got 'loud'"),
        (lambda: d(img[:, :2], c), r"img: got shape \[4, 2, 16, 16\], takes \[N, 3, 16, 16\]"),
        (lambda: d(img), "c: got None"),
        (lambda: d(img, c[:2]), "c: got 2 labels"),
    ]:
        with pytest.raises(ValueError, match=named):
            call()
    g, d = tiny(device)
    for call in (lambda: g(z, c), lambda: d(img, c)):
        with pytest.raises(ValueError, match=r"c: got shape \[4, 3\], takes None"):
            call()
