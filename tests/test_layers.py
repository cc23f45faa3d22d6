"""The layers against their formulas, written out in plain PyTorch and float64."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gan_fast.layers import (
    BatchNorm2d,
    Blur,
    Conv2d,
    Convolution,
    Downsample,
    EqualizedLinear,
    FromRGB,
    MinibatchDiscrimination,
    MinibatchStdDev,
    ModulatedConv2d,
    ToRGB,
    Upsample,
)
from gan_fast.models import stylegan2

assert_close = torch.testing.assert_close


def lrelu(x):
    return F.leaky_relu(x, 0.2) * 2**0.5


def randomize(module, device):
    """Parameters that start as zero would hide their own effect."""
    for p in module.parameters():
        torch.nn.init.normal_(p)
    return module.to(device, torch.float64)


# ---------------------------------------------------------------- linear


def test_linear_formula(device):
    layer = randomize(EqualizedLinear(6, 5, activation="lrelu", lr_multiplier=0.1), device)
    x = torch.randn(3, 6, dtype=torch.float64, device=device)
    assert_close(layer(x), lrelu(x @ (layer.weight * 0.1 / 6**0.5).T + layer.bias * 0.1))


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_lr_multiplier_keeps_the_start_and_scales_the_step(device, lr_multiplier):
    layer = EqualizedLinear(512, 512, lr_multiplier=lr_multiplier, bias_init=3).to(device)
    y = layer(torch.randn(64, 512, device=device))
    assert y.mean().item() == pytest.approx(3, abs=0.05)
    assert y.std().item() == pytest.approx(1, abs=0.05)
    y.sum().backward()
    assert_close(layer.bias.grad, torch.full([512], 64 * lr_multiplier, device=device))


def test_linear_without_bias(device):
    layer = EqualizedLinear(4, 4, bias=False).to(device)
    assert list(dict(layer.named_parameters())) == ["weight"]
    assert layer(torch.zeros(2, 4, device=device)).abs().max() == 0


# ---------------------------------------------------------------- convolution


def test_conv_formula(device):
    layer = randomize(Conv2d(4, 5, 3, activation="lrelu"), device)
    x = torch.randn(2, 4, 6, 7, dtype=torch.float64, device=device)
    y = F.conv2d(x, layer.weight / 36**0.5, layer.bias, padding=1)
    assert_close(layer(x), lrelu(y))
    assert_close(layer(x, gain=0.5), lrelu(y) * 0.5)


def test_conv_down_filters_then_strides(device):
    layer = randomize(Conv2d(4, 5, 3, down=2, bias=False), device)
    x = torch.randn(2, 4, 8, 6, dtype=torch.float64, device=device)
    blurred = blur(x, layer.resample_filter, 2)
    assert_close(layer(x), F.conv2d(blurred, layer.weight / 36**0.5, stride=2))


def test_conv_up_is_a_transposed_convolution_then_a_filter(device):
    layer = randomize(Conv2d(4, 5, 3, up=2, bias=False), device)
    x = torch.randn(2, 4, 8, 6, dtype=torch.float64, device=device)
    y = F.conv_transpose2d(x, (layer.weight / 36**0.5).transpose(0, 1), stride=2)
    y = blur(y, layer.resample_filter, 1) * 4
    assert y.shape == (2, 5, 16, 12)
    assert_close(layer(x), y)


def blur(x, f, padding):
    f = f.to(x).flip([0, 1])[None, None].expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(x, [padding] * 4), f, groups=x.shape[1])


def test_gain_of_a_plain_layer_goes_with_its_weight(device):
    plain = randomize(Conv2d(4, 4, 1, bias=False), device)
    clamped = Conv2d(4, 4, 1, bias=False, conv_clamp=1e6).to(device, torch.float64)
    clamped.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, device=device)
    assert_close(plain(x, gain=0.7), clamped(x, gain=0.7))
    assert_close(plain(x, gain=0.7), plain(x) * 0.7)


def test_clamp_scales_with_gain(device):
    layer = Conv2d(4, 8, activation="lrelu", conv_clamp=0.25).to(device)
    x = 10 * torch.randn(2, 4, 8, 8, device=device)
    assert layer(x).abs().max() == 0.25
    assert layer(x, gain=0.5).abs().max() == 0.125


def test_fromrgb_is_a_pointwise_convolution(device):
    layer = randomize(FromRGB(3, 8), device)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, device=device)
    y = torch.einsum("nchw,oc->nohw", x, layer.weight[:, :, 0, 0] / 3**0.5) + layer.bias[:, None, None]
    assert_close(layer(x), lrelu(y))


@pytest.mark.parametrize("layer", [Conv2d, ModulatedConv2d, ToRGB])
def test_even_kernel_is_refused(layer):
    with pytest.raises(ValueError, match="kernel_size: got 2"):
        layer(4, 4, *([] if layer is Conv2d else [8]), kernel_size=2)


@pytest.mark.parametrize("layer", [EqualizedLinear, Conv2d, ModulatedConv2d])
def test_unknown_activation_is_refused(layer):
    with pytest.raises(ValueError, match=r"activation: got 'step', takes .*lrelu"):
        layer(4, 4, *([8] if layer is ModulatedConv2d else []), activation="step")


def test_plain_convolution_formula(device):
    layer = randomize(Convolution(4, 6, 4, stride=2, padding=1, groups=2, activation="lrelu", gain=0.5), device)
    x = torch.randn(2, 4, 8, 6, dtype=torch.float64, device=device)
    y = F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1, groups=2)
    assert_close(layer(x), F.leaky_relu(y, 0.2) * 0.5)


def test_transposed_convolution_formula(device):
    layer = randomize(Convolution(4, 6, 4, stride=2, padding=1, transposed=True), device)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, device=device)
    assert_close(layer(x), F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1))
    assert layer(x).shape == (2, 6, 6, 10)


@pytest.mark.parametrize("options", [{}, {"groups": 4}, {"stride": 2, "kernel_size": 4, "transposed": True}])
def test_convolutions_start_with_the_variance_of_x(device, options):
    x = torch.randn(4, 64, 32, 32, device=device)
    y = Convolution(64, 64, **{"kernel_size": 3, **options}, bias=False).to(device)(x)[:, :, 2:-2, 2:-2]
    assert y.std().item() == pytest.approx(1, abs=0.05)


# ---------------------------------------------------------------- batch normalisation


def test_batch_norm_is_pytorchs(device):
    ours, theirs = (n.to(device, torch.float64) for n in (randomize(BatchNorm2d(4), device), torch.nn.BatchNorm2d(4)))
    with torch.no_grad():
        theirs.weight.copy_(1 + ours.scale)
        theirs.bias.copy_(ours.shift)
    x = 3 * torch.randn(5, 4, 6, 6, dtype=torch.float64, device=device) + 1
    assert_close(ours(x), theirs(x))
    assert_close(ours.eval()(x), theirs.eval()(x))


def test_conditional_batch_norm(device):
    layer = randomize(BatchNorm2d(4, c_dim=3), device)
    x = torch.randn(5, 4, 6, 6, dtype=torch.float64, device=device)
    c = torch.randn(5, 3, dtype=torch.float64, device=device)
    normalised = (x - x.mean([0, 2, 3], keepdim=True)) / (x.var([0, 2, 3], unbiased=False, keepdim=True) + 1e-5).sqrt()
    gamma, beta = layer.affine(c)[:, :, None, None].chunk(2, 1)
    assert_close(layer(x, c), normalised * (1 + gamma) + beta)
    assert_close(BatchNorm2d(4, c_dim=3).to(device, torch.float64)(x, c), normalised)  # conditions start without effect


# ---------------------------------------------------------------- modulated convolution


def modulated(device, **options):
    return randomize(ModulatedConv2d(4, 5, 6, resolution=(8, 10), **options), device)


def inputs(device, size=(8, 10)):
    return (
        torch.randn(3, 4, *size, dtype=torch.float64, device=device),
        torch.randn(3, 6, dtype=torch.float64, device=device),
    )


def test_modulated_formula_with_a_weight_for_each_sample(device):
    layer = modulated(device)
    x, w = inputs(device)
    s = layer.affine(w)
    weights = s[:, None, :, None, None] * layer.weight
    weights = weights * (weights.square().sum([2, 3, 4], keepdim=True) + 1e-8).rsqrt()
    y = torch.cat([F.conv2d(x[i : i + 1], weights[i], padding=1) for i in range(3)])
    y = y + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
    assert_close(layer(x, w, noise_mode="const"), lrelu(y))
    assert_close(layer(x, w, noise_mode="const", gain=0.5), lrelu(y) * 0.5)


@pytest.mark.parametrize("up", [1, 2])
def test_demodulation_cancels_the_scale_of_styles_and_weights(device, up):
    layer = modulated(device, up=up)
    x, w = inputs(device, (8 // up, 10 // up))
    y = layer(x, w, noise_mode="const")
    with torch.no_grad():
        layer.affine.weight.mul_(7)
        layer.affine.bias.mul_(7)
    assert_close(layer(x, w, noise_mode="const"), y)
    with torch.no_grad():
        layer.weight.mul_(torch.rand(5, 1, 1, 1, device=device) + 1)
    assert_close(layer(x, w, noise_mode="const"), y)
    with torch.no_grad():
        layer.weight[:, 0].mul_(3)
    assert (layer(x, w, noise_mode="const") - y).abs().max() > 1e-2


def test_noise(device):
    layer = modulated(device)
    x, w = inputs(device)
    x, w = x[:1].expand(3, -1, -1, -1), w[:1].expand(3, -1)
    none, const, random = (layer(x, w, noise_mode=mode) for mode in ("none", "const", "random"))
    assert_close(const[0], const[1])
    assert (const - none).abs().max() > 1e-2
    assert (random[0] - random[1]).abs().max() > 1e-2
    assert (random - layer(x, w)).abs().max() > 1e-2
    torch.nn.init.zeros_(layer.noise_strength)
    for mode in ("const", "random"):
        assert_close(layer(x, w, noise_mode=mode), none)


def test_layer_without_noise(device):
    layer = ModulatedConv2d(4, 5, 6).to(device, torch.float64)
    assert not [name for name in layer.state_dict() if "noise" in name]
    x, w = inputs(device)
    assert_close(layer(x, w, noise_mode="random"), layer(x, w, noise_mode="none"))


def test_unknown_noise_mode(device):
    with pytest.raises(ValueError, match=r"noise_mode.*'loud'.*random"):
        modulated(device)(*inputs(device), noise_mode="loud")


def test_fp16_survives_weights_beyond_its_range(device):
    layer = ModulatedConv2d(64, 8, 6, activation="linear").to(device)
    x, w = torch.randn(2, 64, 8, 8, device=device), torch.randn(2, 6, device=device)
    with torch.no_grad():
        layer.weight.mul_(1e5)
        layer.affine.bias.mul_(1e3)
    y = layer(x, w)
    assert y.std().item() == pytest.approx(1, abs=0.2)
    half = layer(x.half(), w)
    assert half.dtype == torch.float16
    assert (half.float() - y).norm() < 4 * torch.finfo(torch.float16).eps * y.norm()


def test_torgb_is_linear_in_its_style(device):
    layer = randomize(ToRGB(4, 3, 6), device)
    x, w = inputs(device)
    y = torch.einsum("nihw,ni,oi->nohw", x, layer.affine(w) / 2, layer.weight[:, :, 0, 0])
    assert_close(layer(x, w), y + layer.bias[:, None, None])


@pytest.mark.parametrize("layer", [ModulatedConv2d, ToRGB])
def test_styles_start_around_one(device, layer):
    w = torch.randn(4096, 64, device=device)
    s = layer(4, 5, 64).to(device).affine(w)
    assert s.mean().item() == pytest.approx(1, abs=0.05)
    assert s.std().item() == pytest.approx(1, abs=0.2)


# ---------------------------------------------------------------- minibatch standard deviation


def test_stddev_of_each_group(device):
    x = torch.randn(6, 4, 3, 5, dtype=torch.float64, device=device)
    y = MinibatchStdDev(3, 2)(x)
    assert y.shape == (6, 6, 3, 5)
    assert_close(y[:, :4], x)
    for first in range(2):
        group = x[first::2]
        for channel in range(2):
            share = group[:, 2 * channel : 2 * channel + 2]
            std = (share.var(0, unbiased=False) + 1e-8).sqrt().mean()
            assert_close(y[first::2, 4 + channel], std.expand(3, 3, 5))


def test_stddev_within_classes(device):
    x = torch.randn(4, 2, 3, 3, device=device)
    labels = torch.tensor([0, 1, 0, 1], device=device)
    assert_close(MinibatchStdDev(2)(x, labels), MinibatchStdDev(2)(x))  # the groups n mod 2 are these classes
    assert not torch.equal(MinibatchStdDev(2)(x, labels.sort().values), MinibatchStdDev(2)(x))


def test_minibatch_discrimination_formula(device):
    layer = MinibatchDiscrimination(6, kernels=3, dims=2).to(device, torch.float64)
    x = torch.randn(4, 6, dtype=torch.float64, device=device)
    y = layer(x)
    m = (x @ layer.weight).reshape(4, 3, 2)
    for n in range(4):
        for b in range(3):
            want = sum(torch.exp(-(m[n, b] - m[k, b]).abs().sum()) for k in range(4) if k != n)
            assert_close(y[n, 6 + b], want)
    assert_close(y[:, :6], x)
    assert_close(layer(x[:1].expand(4, -1))[:, 6:], torch.full([4, 3], 3.0, dtype=torch.float64, device=device))


# ---------------------------------------------------------------- all


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_layers_keep_the_dtype_of_the_activation(device, dtype):
    x, w = torch.randn(2, 4, 8, 8, device=device), torch.randn(2, 6, device=device)
    for layer in (
        Conv2d(4, 5, activation="lrelu", down=2),
        Conv2d(4, 5, 1, bias=False, up=2),
        FromRGB(4, 5),
        MinibatchStdDev(),
    ):
        assert layer.to(device)(x.to(dtype)).dtype == dtype
    for layer in (ModulatedConv2d(4, 5, 6, resolution=16, up=2), ToRGB(4, 3, 6)):
        assert layer.to(device)(x.to(dtype), w).dtype == dtype
    assert EqualizedLinear(6, 5, activation="lrelu").to(device)(w.to(dtype)).dtype == dtype


def test_second_order_gradients(device):
    x, w = (t.requires_grad_() for t in inputs(device, (2, 3)))
    conv = randomize(Conv2d(4, 2, activation="lrelu"), device)
    synthesis = randomize(ModulatedConv2d(4, 2, 6, resolution=(4, 6), up=2), device)
    assert torch.autograd.gradgradcheck(conv, (x[:1],))
    assert torch.autograd.gradgradcheck(lambda x, w: synthesis(x, w, noise_mode="const"), (x[:1], w[:1]))


# ---------------------------------------------------------------- resampling


def test_blur_formula(device):
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, device=device)
    taps = torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64, device=device) / 5
    f = torch.outer(taps, taps).expand(3, 1, 3, 3)
    assert_close(Blur((1, 3, 1)).to(device)(x), F.conv2d(x, f, padding=1, groups=3))


def filtered(x, taps, before, after, gain):
    """Zeros around, and convolution with the taps along both axes."""
    taps = torch.tensor(taps, dtype=x.dtype, device=x.device).flip(0) / sum(taps)
    f = torch.outer(taps, taps).expand(x.shape[1], 1, len(taps), len(taps))
    return F.conv2d(F.pad(x, [before, after] * 2), f * gain, groups=x.shape[1])


@pytest.mark.parametrize(("factor", "taps"), [(2, (1, 3, 3, 1)), (2, (1, 4, 2)), (3, (1, 2, 3, 4, 1))])
def test_upsample_and_downsample_formulas(device, factor, taps):
    x = torch.randn(2, 3, 6, 12, dtype=torch.float64, device=device)
    n = len(taps)
    spread = x.new_zeros(2, 3, 6 * factor, 12 * factor)
    spread[:, :, ::factor, ::factor] = x
    true = filtered(spread, taps, (n + factor - 1) // 2, (n - factor) // 2, factor**2)
    assert_close(Upsample(factor, taps).to(device)(x), true)
    true = filtered(x, taps, (n - factor + 1) // 2, (n - factor) // 2, 1)[:, :, ::factor, ::factor]
    assert_close(Downsample(factor, taps).to(device)(x), true)


def test_bad_factors_are_named():
    for factor in (0, 1.5, True):
        with pytest.raises(ValueError, match="factor"):
            Upsample(factor)


# ---------------------------------------------------------------- docs/layers.md


def test_the_page_draws_the_models_images():
    """The generator in forty lines of docs/layers.md, with the weights of gan_fast.models.stylegan2."""
    page = (Path(__file__).parents[1] / "docs" / "layers.md").read_text()
    (code,) = re.findall(r"```python\n(# generator\n.*?)```", page, re.S)
    assert len(code.splitlines()) <= 40
    names = {}
    exec(code, names)
    mine = names["Generator"](z_dim=8, w_dim=8, side=16, layers=2, width=128)
    true, _ = stylegan2.build("digits", c_dim=0, img_channels=3, z_dim=8, w_dim=8, channel_base=128, channel_max=512)
    for module in (mine, true):
        torch.manual_seed(5)
        for _, p in sorted(module.named_parameters(), key=lambda item: renamed(item[0])):
            torch.nn.init.normal_(p)
    z = torch.randn(3, 8)
    noise_off = {"noise_mode": "none"}
    assert_close(mine(z, **noise_off), true(z, **noise_off))


def renamed(name):
    """A parameter's name in gan_fast.models.stylegan2, for one in the page's generator."""
    name = re.sub(r"^mapping\.(\d)\.", r"mapping.fc\1.", name)
    name = re.sub(r"^blocks\.(\d)\.", lambda m: f"synthesis.b{8 << int(m[1])}.", name)
    name = re.sub(r"^(const|torgb)", r"synthesis.b4.\1", name)
    return re.sub(r"^conv\.", "synthesis.b4.conv1.", name)
