"""Every callable of every dialect: its signature, written out, and its meaning, in NumPy and SciPy, in one process."""

import copy
import importlib
import inspect
import math
import pickle
import threading

import numpy as np
import oracle
import pytest
import torch

from gan_fast.compat import basicsr, conv2d_gradfix, gpen, lia, mmcv1, mmcv2, nvlabs, rosinality, rosinality_old
from gan_fast.compat.nvlabs import networks_stylegan2, networks_stylegan3, stylenerf

SIGNATURES = """
nvlabs.upfirdn2d.setup_filter(f, device=CPU, normalize=True, flip_filter=False, gain=1, separable=None)
nvlabs.upfirdn2d.upfirdn2d(x, f, up=1, down=1, padding=0, flip_filter=False, gain=1, impl='cuda')
nvlabs.upfirdn2d.filter2d(x, f, padding=0, flip_filter=False, gain=1, impl='cuda')
nvlabs.upfirdn2d.upsample2d(x, f, up=2, padding=0, flip_filter=False, gain=1, impl='cuda')
nvlabs.upfirdn2d.downsample2d(x, f, down=2, padding=0, flip_filter=False, gain=1, impl='cuda')
nvlabs.upfirdn2d._upfirdn2d_ref(x, f, up=1, down=1, padding=0, flip_filter=False, gain=1)
nvlabs.upfirdn2d._parse_scaling(scaling)
nvlabs.upfirdn2d._parse_padding(padding)
nvlabs.upfirdn2d._get_filter_size(f)
nvlabs.upfirdn2d._init()
nvlabs.bias_act.bias_act(x, b=None, dim=1, act='linear', alpha=None, gain=None, clamp=None, impl='cuda')
nvlabs.conv2d_resample.conv2d_resample(x, w, f=None, up=1, down=1, padding=0, groups=1, flip_weight=True, \
flip_filter=False)
nvlabs.conv2d_gradfix.no_weight_gradients(disable=True)
nvlabs.conv2d_gradfix.conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)
nvlabs.conv2d_gradfix.conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, \
dilation=1)
nvlabs.grid_sample_gradfix.grid_sample(input, grid)
nvlabs.fma.fma(a, b, c)
nvlabs.filtered_lrelu.filtered_lrelu(x, fu=None, fd=None, b=None, up=1, down=1, padding=0, gain=math.sqrt(2), \
slope=0.2, clamp=None, flip_filter=False, impl='cuda')
nvlabs.networks_stylegan2.modulated_conv2d(x, weight, styles, noise=None, up=1, down=1, padding=0, \
resample_filter=None, demodulate=True, flip_weight=True, fused_modconv=True)
nvlabs.networks_stylegan3.modulated_conv2d(x, w, s, demodulate=True, padding=0, input_gain=None)
nvlabs.stylenerf.modulated_conv2d(x, weight, styles, noise=None, up=1, down=1, padding=0, resample_filter=None, \
demodulate=True, flip_weight=True, fused_modconv=True, mode='2d', **unused)
rosinality.FusedLeakyReLU(channel, bias=True, negative_slope=0.2, scale=2**0.5)
rosinality.fused_leaky_relu(input, bias=None, negative_slope=0.2, scale=2**0.5)
rosinality.upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0))
rosinality.upfirdn2d_native(input, kernel, up_x, up_y, down_x, down_y, pad_x0, pad_x1, pad_y0, pad_y1)
rosinality_old.FusedLeakyReLU(channel, negative_slope=0.2, scale=2**0.5)
rosinality_old.fused_leaky_relu(input, bias, negative_slope=0.2, scale=2**0.5)
rosinality_old.upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0))
basicsr.FusedLeakyReLU(channel, negative_slope=0.2, scale=2**0.5)
basicsr.fused_leaky_relu(input, bias, negative_slope=0.2, scale=2**0.5)
basicsr.upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0))
gpen.FusedLeakyReLU(channel, negative_slope=0.2, scale=2**0.5, device='cpu')
gpen.fused_leaky_relu(input, bias, negative_slope=0.2, scale=2**0.5, device='cpu')
gpen.upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0), device='cpu')
lia.FusedLeakyReLU(channel, negative_slope=0.2, scale=2**0.5)
lia.fused_leaky_relu(input, bias, negative_slope=0.2, scale=2**0.5)
lia.upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0))
mmcv1.FusedBiasLeakyReLU(num_channels, negative_slope=0.2, scale=2**0.5)
mmcv1.fused_bias_leakyrelu(input, bias, negative_slope=0.2, scale=2**0.5)
mmcv1.upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0))
mmcv1.to_2tuple(x)
mmcv2.FusedBiasLeakyReLU(num_channels, negative_slope=0.2, scale=2**0.5)
mmcv2.fused_bias_leakyrelu(input, bias, negative_slope=0.2, scale=2**0.5)
mmcv2.setup_filter(f, device=CPU, normalize=True, flip_filter=False, gain=1, separable=None)
mmcv2.upfirdn2d(input, filter, up=1, down=1, padding=0, flip_filter=False, gain=1, use_custom_op=True)
mmcv2.filter2d(input, filter, padding=0, flip_filter=False, gain=1, use_custom_op=True)
mmcv2.upsample2d(input, filter, up=2, padding=0, flip_filter=False, gain=1, use_custom_op=True)
mmcv2.downsample2d(input, filter, down=2, padding=0, flip_filter=False, gain=1, use_custom_op=True)
mmcv2.bias_act(input, bias=None, dim=1, act='linear', alpha=None, gain=None, clamp=None, use_custom_op=True)
mmcv2.filtered_lrelu(input, filter_up=None, filter_down=None, bias=None, up=1, down=1, padding=0, \
gain=math.sqrt(2), slope=0.2, clamp=None, flip_filter=False, use_custom_op=True)
mmcv2.conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)
mmcv2.conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
conv2d_gradfix.no_weight_gradients(disable=True)
"""


@pytest.mark.parametrize("line", SIGNATURES.strip().splitlines(), ids=lambda line: line.partition("(")[0])
def test_signature(line):
    path, _, parameters = line.partition("(")
    module, _, name = path.rpartition(".")
    namespace = {"math": math, "CPU": torch.device("cpu")}
    exec(f"def expected({parameters[:-1]}): pass", namespace)
    ours = inspect.signature(getattr(importlib.import_module(f"gan_fast.compat.{module}"), name))
    expected = inspect.signature(namespace["expected"])
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in expected.parameters.values()
    ]


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def same(face, *args, expected, **kwargs):
    """The face, called with these arrays as float64 tensors, gives the array expected."""

    def tensor(value):
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    y = face(*map(tensor, args), **{name: tensor(value) for name, value in kwargs.items()})
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-10, atol=1e-10)


X = array(2, 3, 8, 7)
W = array(4, 3, 3, 3)
B = array(3)
F2, F1 = array(4, 3, seed=1), array(9, seed=2)
SQUARE = array(4, 4, seed=3)


@pytest.mark.parametrize("impl", ["cuda", "ref"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("f", [None, F1, F2, array(1, seed=4), array(61, seed=5)], ids=lambda f: str(np.shape(f)))
def test_nvlabs_upfirdn2d(f, flip, impl):
    face = nvlabs.upfirdn2d.upfirdn2d
    size = 0 if f is None else max(f.shape)
    x = X[:1, :1] if size > 20 else X
    for up, down, padding, pads in [
        ((2, 1), (1, 3), (size, size + 2), (size, size, size + 2, size + 2)),
        (2, 2, [size, size + 1, size + 2, size - 1], (size, size + 1, size + 2, size - 1)),
        (3, 1, size, (size,) * 4),
    ]:
        pairs = [value if isinstance(value, tuple) else (value, value) for value in (up, down)]
        expected = oracle.upfirdn2d(x, f, *pairs, pads, flip, gain=1.7)
        same(face, x, f, up, down, padding, flip, 1.7, impl, expected=expected)


@pytest.mark.parametrize("impl", ["cuda", "ref"])
def test_nvlabs_resampling(impl):
    fir, rest = nvlabs.upfirdn2d, {"flip_filter": True, "gain": 3, "impl": impl}
    for f in (SQUARE, F1):
        same(fir.upsample2d, X, f, 3, 2, expected=oracle.upsample(X, f, 3, 2, True, 3), **rest)
        same(fir.upsample2d, X, f, expected=oracle.upsample(X, f, 2))
        same(fir.downsample2d, X, f, 3, 4, expected=oracle.downsample(X, f, 3, 4, True, 3), **rest)
        same(fir.downsample2d, X, f, padding=2, expected=oracle.downsample(X, f, 2, 2))
        n = len(f)
        pad = (n // 2 + 1, (n - 1) // 2 + 1) * 2
        same(fir.filter2d, X, f, 1, expected=oracle.upfirdn2d(X, f, pad=pad, correlate=True, gain=3), **rest)
    same(fir.downsample2d, X, F1[:4], padding=-1, expected=oracle.downsample(X, F1[:4], 2, -1))  # a crop
    same(fir._upfirdn2d_ref, X, F2, 2, expected=oracle.upfirdn2d(X, F2, (2, 2)))
    assert fir._parse_scaling([2, 3]) == (2, 3)
    assert fir._parse_padding([2, 3]) == (2, 2, 3, 3)
    assert fir._get_filter_size(torch.zeros(4, 3)) == (3, 4)
    assert fir._get_filter_size(None) == (1, 1)
    assert fir._init() is nvlabs.bias_act._init() is nvlabs.filtered_lrelu._init() is True


def test_setup_filter():
    for face in (nvlabs.upfirdn2d.setup_filter, mmcv2.setup_filter):
        taps = np.array([1.0, 3, 3, 1])
        np.testing.assert_allclose(face([1, 3, 3, 1]), np.outer(taps, taps) / 64, rtol=1e-6)
        np.testing.assert_allclose(face(list(range(1, 9)), gain=4), 2 * np.arange(1, 9) / 36, rtol=1e-6)
        np.testing.assert_allclose(face([1, 2], normalize=False, flip_filter=True, separable=True), [2, 1])
        np.testing.assert_allclose(face(None), [[1]])
        assert face(F2, device="meta").device.type == "meta"


@pytest.mark.parametrize("act", oracle.ACTIVATIONS)
def test_bias_act(act):
    settings = {"alpha": 0.3, "gain": 0.7, "clamp": 0.4}
    expected = oracle.bias_act(X, B, 1, act, 0.3, 0.7, 0.4)
    same(nvlabs.bias_act.bias_act, X, B, 1, act, expected=expected, **settings)
    same(nvlabs.bias_act.bias_act, X, B, act=act, impl="ref", expected=expected, **settings)
    same(mmcv2.bias_act, X, B, 1, act, expected=expected, **settings)
    same(mmcv2.bias_act, X, B, 1, act, use_custom_op=False, expected=expected, **settings)
    for x, dim in ((array(5, 4), 1), (array(2, 5, 4), 2), (array(4), 0), (array(2, 3, 2, 2, 4), 4)):
        b = array(4, seed=1)
        same(nvlabs.bias_act.bias_act, x, b, dim, act, expected=oracle.bias_act(x, b, dim, act))
    same(nvlabs.bias_act.bias_act, X, act=act, gain=np.float32(0), expected=0 * X)

    entry = nvlabs.bias_act.activation_funcs[act]
    assert entry.def_gain == pytest.approx(oracle.GAINS.get(act, 1))
    assert entry.def_alpha == (0.2 if act == "lrelu" else 0)
    assert entry.cuda_idx == 1 + list(oracle.ACTIVATIONS).index(act)
    assert entry["ref"] == ("" if act == "linear" else "x" if act == "swish" else "y")
    assert entry.has_2nd_grad == (act not in ("linear", "relu", "lrelu"))
    same(entry.func, X, expected=oracle.ACTIVATIONS[act](X, 0.2))
    same(entry.func, X, alpha=0.1, expected=oracle.ACTIVATIONS[act](X, 0.1))


def test_impl_is_checked():
    with pytest.raises(ValueError, match="impl: got 'fast', takes cuda, ref"):
        nvlabs.bias_act.bias_act(torch.zeros(1, 1), impl="fast")


@pytest.mark.parametrize(("up", "down", "k"), [(1, 1, 3), (2, 1, 3), (1, 2, 3), (2, 1, 1), (1, 2, 1), (2, 2, 3)])
@pytest.mark.parametrize("flip", [True, False])
def test_conv2d_resample(up, down, k, flip):
    x, w = array(2, 4, 6, 6), array(6, 2, k, k)
    pad = (1, 2, 1, 2) if up == down == 1 else (k // 2,) * 4
    expected = oracle.conv2d_resample(x, w, SQUARE, up, down, pad, 2, flip, not flip)
    args = (x, w, SQUARE, up, down, list(pad), 2, flip, not flip)
    same(nvlabs.conv2d_resample.conv2d_resample, *args, expected=expected)


@pytest.mark.parametrize("dialect", [nvlabs.conv2d_gradfix, conv2d_gradfix, mmcv2], ids=lambda m: m.__name__)
def test_conv2d_gradfix(dialect):
    x, w, b = array(2, 4, 6, 7), array(6, 2, 3, 2), array(6)
    for stride, pad, dilation in [
        (1, 0, 1),
        (2, (1, 0), 1),
        ((2, 2), 1, (1, 1)),
        ((1, 2), 1, 1),
        (1, 2, 2),
    ]:
        pairs = [v if isinstance(v, tuple) else (v, v) for v in (stride, pad, dilation)]
        same(dialect.conv2d, x, w, b, stride, pad, dilation, 2, expected=oracle.conv2d(x, w, b, *pairs, 2))
    same(dialect.conv2d, x[:, :2], w, expected=oracle.conv2d(x[:, :2], w))
    w, b = array(4, 3, 3, 2), array(6)
    for stride, pad, more, dilation in [(1, 0, 0, 1), (2, (1, 0), (1, 0), 1), ((2, 1), 1, 0, 1), (2, 1, 1, 2)]:
        y, z, o, d = (v if isinstance(v, tuple) else (v, v) for v in (stride, pad, more, dilation))
        expected = oracle.conv_transpose2d(x, w, b, y, z, o, 2, d)
        same(dialect.conv_transpose2d, x, w, b, stride, pad, more, 2, dilation, expected=expected)


@pytest.mark.parametrize(("module", "enabled"), [(nvlabs.conv2d_gradfix, False), (conv2d_gradfix, True)])
def test_no_weight_gradients(module, enabled):
    x = torch.randn(1, 2, 5, 5, requires_grad=True)
    w, b = torch.randn(2, 2, 3, 3, requires_grad=True), torch.zeros(2, requires_grad=True)
    assert module.enabled is enabled
    assert module.weight_gradients_disabled is False

    def gradients(y):
        return [g is not None for g in torch.autograd.grad(y.square().sum(), [x, w, b], allow_unused=True)]

    for conv in (module.conv2d, module.conv_transpose2d):
        y = conv(x, w, b)
        with module.no_weight_gradients():
            assert module.weight_gradients_disabled is True
            assert gradients(y + 0) == [True, False, True]
            with module.no_weight_gradients(False):
                assert gradients(conv(x, w, b)) == [True, False, True]
        assert gradients(conv(x, w, b)) == [True, True, True]
    with pytest.raises(KeyError), module.no_weight_gradients():
        raise KeyError
    assert module.weight_gradients_disabled is False

    there = []
    with module.no_weight_gradients():
        thread = threading.Thread(target=lambda: there.extend(gradients(module.conv2d(x, w, b))))
        thread.start()
        thread.join()
    assert there == [True, True, True]

    module.enabled = module.weight_gradients_disabled = True
    try:
        assert gradients(module.conv2d(x, w, b)) == [True, False, True]
    finally:
        module.enabled, module.weight_gradients_disabled = enabled, False
    assert gradients(module.conv2d(x, w, b)) == [True, True, True]


@pytest.mark.parametrize("quiet", [True, False])
def test_the_inner_pass_of_a_penalty_computes_no_gradient_of_weights(quiet, monkeypatch):
    """Nobody asks for it: `no_weight_gradients` has nothing left to save."""
    x, w = torch.randn(1, 2, 5, 5, requires_grad=True), torch.randn(3, 2, 3, 3, requires_grad=True)
    computed = []
    module = importlib.import_module("gan_fast.ops.conv2d")
    monkeypatch.setattr(module, "_correlate", lambda x, dy, w, *rest: computed.append(1) or w)
    y = nvlabs.conv2d_gradfix.conv2d(x, w).square().sum()
    with nvlabs.conv2d_gradfix.no_weight_gradients(quiet):
        torch.autograd.grad(y, x, create_graph=True)
    assert not computed
    y.backward()
    assert computed


def test_a_penalty_reaches_the_weights_though_its_inner_pass_gives_them_none():
    x, w = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 2, 5, 5), (3, 2, 3, 3)))
    with nvlabs.conv2d_gradfix.no_weight_gradients():
        (dx,) = torch.autograd.grad(nvlabs.conv2d_gradfix.conv2d(x, w).square().sum(), x, create_graph=True)
    (ours,) = torch.autograd.grad(dx.square().sum(), w)
    (dx,) = torch.autograd.grad(torch.nn.functional.conv2d(x, w).square().sum(), x, create_graph=True)
    (theirs,) = torch.autograd.grad(dx.square().sum(), w)
    torch.testing.assert_close(ours, theirs)


def test_grid_sample_and_fma():
    grid = array(2, 5, 4, 2, seed=1) * 0.8
    same(nvlabs.grid_sample_gradfix.grid_sample, X, grid, expected=oracle.grid_sample(X, grid))
    nvlabs.grid_sample_gradfix.enabled = True
    same(nvlabs.grid_sample_gradfix.grid_sample, X, grid, expected=oracle.grid_sample(X, grid))
    nvlabs.grid_sample_gradfix.enabled = False
    a, b, c = array(2, 3, 4), array(3, 1), array(4)
    same(nvlabs.fma.fma, a, b, c, expected=a * b + c)
    inputs = [torch.from_numpy(t).requires_grad_() for t in (a, b, c)]
    assert torch.autograd.gradcheck(nvlabs.fma.fma, inputs)
    assert torch.autograd.gradgradcheck(nvlabs.fma.fma, inputs)


def test_filtered_lrelu():
    fu, fd = array(6, seed=1), array(4, 4, seed=2)
    args = (X, fu, fd, B, 2, 3, [7, 6, 5, 4], 1.3, 0.1, 0.5, True)
    expected = oracle.filtered_lrelu(X, fu, fd, B, 2, 3, (7, 6, 5, 4), 1.3, 0.1, 0.5, True)
    same(nvlabs.filtered_lrelu.filtered_lrelu, *args, expected=expected)
    same(nvlabs.filtered_lrelu.filtered_lrelu, *args, "ref", expected=expected)
    same(mmcv2.filtered_lrelu, *args, expected=expected)
    same(mmcv2.filtered_lrelu, *args, False, expected=expected)
    same(nvlabs.filtered_lrelu.filtered_lrelu, X, expected=oracle.filtered_lrelu(X, None, None, None))


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_conv2d(demodulate):
    s, noise = array(2, 3), array(2, 1, 16, 14)
    resample = {"up": 2, "pad": (1,) * 4, "f": SQUARE, "flip_weight": False}
    expected = oracle.modulated_conv2d(X, W, s, noise, demodulate, **resample)
    args = (X, W, s, noise, 2, 1, 1, SQUARE, demodulate, False)
    same(networks_stylegan2.modulated_conv2d, *args, expected=expected)
    same(networks_stylegan2.modulated_conv2d, *args, False, expected=expected)
    same(stylenerf.modulated_conv2d, *args, True, "2d", anything=1, expected=expected)
    with pytest.raises(ValueError, match="mode"):
        stylenerf.modulated_conv2d(torch.zeros(1), torch.zeros(1), torch.zeros(1), mode="3d")
    for gain in (None, np.array(0.7), array(3, seed=1), array(2, 3, seed=1)):
        expected = oracle.alias_free_modulated_conv2d(X, W, s, demodulate, 2, 1 if gain is None else gain)
        same(networks_stylegan3.modulated_conv2d, X, W, s, demodulate, 2, gain, expected=expected)


def test_modulated_conv2d_leaves_its_arguments():
    noise = torch.ones(1, 1, 4, 4)
    x, w, s = torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 1, 1), torch.ones(1, 2)
    networks_stylegan2.modulated_conv2d(x, w, s, noise)
    assert not x.any()
    assert noise.all()


LEAKY = [rosinality.fused_leaky_relu, rosinality_old.fused_leaky_relu, basicsr.fused_leaky_relu, gpen.fused_leaky_relu]
LEAKY += [mmcv1.fused_bias_leakyrelu, mmcv2.fused_bias_leakyrelu]


@pytest.mark.parametrize("face", LEAKY, ids=lambda f: f.__module__)
def test_fused_leaky_relu(face):
    for x in (X, X[..., 0], X[:, :, 0, 0]):
        same(face, x, B, expected=oracle.bias_act(x, B, act="lrelu"))
        same(face, x, B, 0.01, -0.7, expected=oracle.bias_act(x, B, 1, "lrelu", 0.01, -0.7))
        same(face, x, None, 0.01, expected=oracle.bias_act(x, None, 1, "lrelu", 0.01))
    inputs = [torch.from_numpy(t).requires_grad_() for t in (X[:, :, 0, 0], B)]
    for scale in (2**0.5, -0.7):
        assert torch.autograd.gradcheck(lambda x, b, scale=scale: face(x, b, 0.1, scale), inputs)
        assert torch.autograd.gradgradcheck(lambda x, b, scale=scale: face(x, b, 0.1, scale), inputs)


def test_lia_broadcasts():
    for bias in (array(1, 3, 1, 1), array(7), array(3, 1, 1), array(8, 1), array(3, 8, 7), array(1)):
        same(lia.fused_leaky_relu, X, bias, expected=oracle.bias_act(X + bias, act="lrelu"))
        same(lia.fused_leaky_relu, X, bias, 0.3, 0.9, expected=oracle.bias_act(X + bias, None, 1, "lrelu", 0.3, 0.9))
    bias = array(1, 3, 1, 1)
    same(lia.fused_leaky_relu, X[0], bias, expected=oracle.bias_act(X[0] + bias, act="lrelu"))
    same(lia.fused_leaky_relu, X[:, :, 0, 0], B, expected=oracle.bias_act(X[:, :, 0, 0], B, act="lrelu"))
    same(
        lia.fused_leaky_relu,
        X[:, :1],
        array(1, 3, 1, 1),
        expected=oracle.bias_act(X[:, :1] + array(1, 3, 1, 1), act="lrelu"),
    )


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (rosinality.FusedLeakyReLU, [3]),
        (rosinality_old.FusedLeakyReLU, [3]),
        (basicsr.FusedLeakyReLU, [3]),
        (gpen.FusedLeakyReLU, [3]),
        (lia.FusedLeakyReLU, [1, 3, 1, 1]),
        (mmcv1.FusedBiasLeakyReLU, [3]),
    ],
    ids=lambda v: getattr(v, "__module__", ""),
)
def test_leaky_modules(make, shape):
    layer = make(3, negative_slope=0.1, scale=0.5).double()
    assert list(layer.state_dict()) == ["bias"]
    assert layer.bias.shape == tuple(shape)
    assert not layer.bias.any()
    with torch.no_grad():
        layer.bias.copy_(torch.from_numpy(B).reshape(shape))
    for again in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(again, X, expected=oracle.bias_act(X, B, 1, "lrelu", 0.1, 0.5))


def test_the_second_parameter_of_the_two_kinds_of_leaky_modules():
    assert rosinality.FusedLeakyReLU(3, False).bias is None
    same(rosinality.FusedLeakyReLU(3, False, 0.5, 1), X, expected=oracle.bias_act(X, None, 1, "lrelu", 0.5, 1))
    assert rosinality_old.FusedLeakyReLU(3, 0.5).negative_slope == 0.5


NEW = [rosinality.upfirdn2d, mmcv1.upfirdn2d]
OLD = [rosinality_old.upfirdn2d, basicsr.upfirdn2d, gpen.upfirdn2d, lia.upfirdn2d]


@pytest.mark.parametrize("face", NEW + OLD, ids=lambda f: f.__module__)
def test_upfirdn2d_of_rosinality(face):
    expected = oracle.upfirdn2d(X, SQUARE, (2, 2), (1, 1), (2, 1, 2, 1))
    same(face, X, SQUARE, 2, 1, (2, 1), expected=expected)
    same(face, X, SQUARE, 2, pad=[2, 1], expected=expected)
    same(face, X, SQUARE, expected=oracle.upfirdn2d(X, SQUARE))
    four = (1, 0, 1, 0) if face in OLD else (1, 0, 3, 2)  # the old look at the first two
    same(face, X, SQUARE, 1, 2, (1, 0, 3, 2), expected=oracle.upfirdn2d(X, SQUARE, (1, 1), (2, 2), four))
    haar = SQUARE[:2, :2]
    same(face, X, haar, 1, 2, (0, 0, 0, 0), expected=oracle.upfirdn2d(X, haar, (1, 1), (2, 2)))
    if face in NEW:
        for taps, pad in ((F1[None, :4], (2, 1, 0, 0)), (F1[:4, None], (0, 0, 2, 1))):
            expected = oracle.upfirdn2d(X, taps, (2, 1), (1, 2), pad)
            same(face, X, taps, (2, 1), (1, 2), pad, expected=expected)


@pytest.mark.parametrize("dialect", [rosinality, rosinality_old, basicsr, gpen, lia, mmcv1], ids=lambda m: m.__name__)
def test_upfirdn2d_native(dialect):
    args = (2, 1, 1, 3, 1, 2, 3, -1)
    expected = oracle.upfirdn2d(X, SQUARE, (2, 1), (1, 3), (1, 2, 3, -1))
    same(dialect.upfirdn2d_native, X, SQUARE, *args, expected=expected)


def test_to_2tuple():
    assert mmcv1.to_2tuple(3) == (3, 3)
    assert mmcv1.to_2tuple([1, 2]) == [1, 2]


def test_mmcv2_takes_both_revisions():
    x = {"up": 2, "padding": (2, 1)}
    expected = oracle.upfirdn2d(X, F2, (2, 2), (1, 1), (2, 2, 1, 1))
    same(mmcv2.upfirdn2d, X, F2, 2, 1, (2, 1), expected=expected)
    same(mmcv2.upfirdn2d, X, filter=F2, use_custom_op=False, expected=expected, **x)
    same(mmcv2.upfirdn2d, X, f=F2, impl="cuda", expected=expected, **x)
    same(mmcv2.upfirdn2d, X, f=F2, impl="ref", expected=expected, **x)
    same(mmcv2.upsample2d, X, f=F1, expected=oracle.upsample(X, F1, 2))
    same(mmcv2.downsample2d, X, F1, expected=oracle.downsample(X, F1, 2))
    same(mmcv2.filter2d, X, F1, expected=oracle.upfirdn2d(X, F1, pad=(4, 4, 4, 4)))


def test_one_call_three_meanings():
    """pad (2, 1) with up 2, a 4x4 filter and an 8x8 image, as the table of the compatibility page says."""
    x, f = torch.randn(1, 1, 8, 8), torch.ones(4, 4)
    assert nvlabs.upfirdn2d.upfirdn2d(x, f, 2, 1, (2, 1)).shape[2:] == (15, 17)
    assert mmcv2.upfirdn2d(x, f, 2, 1, (2, 1)).shape[2:] == (15, 17)
    assert rosinality.upfirdn2d(x, f, 2, 1, (2, 1)).shape[2:] == (16, 16)
    assert rosinality.upfirdn2d(x, f, 2, 1, (2, 1, 0, 0)).shape[2:] == (13, 16)
    assert rosinality_old.upfirdn2d(x, f, 2, 1, (2, 1, 0, 0)).shape[2:] == (16, 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_biases_and_filters_of_any_dtype(dtype):
    x, b, f = torch.randn(1, 3, 6, 6).to(dtype), torch.randn(3), torch.ones(2, 2)
    for face in LEAKY:
        assert face(x, b).dtype == dtype
    assert nvlabs.bias_act.bias_act(x, b).dtype == dtype
    for face in NEW + OLD:
        assert face(x, f).dtype == dtype


def test_autocast():
    x, w, b = torch.randn(1, 3, 6, 6), torch.randn(3, 3, 3, 3), torch.randn(3)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv2d_gradfix.conv2d(x, w, b, padding=1)
        assert y.dtype == torch.bfloat16
        assert conv2d_gradfix.conv_transpose2d(x, w, b).dtype == torch.bfloat16
        assert nvlabs.conv2d_resample.conv2d_resample(x, w, torch.ones(2, 2), up=2, padding=1).dtype == torch.bfloat16
        assert rosinality.fused_leaky_relu(y, b).dtype == torch.bfloat16
        assert rosinality.upfirdn2d(x, torch.ones(2, 2)).dtype == torch.float32
    torch.testing.assert_close(y.float(), torch.nn.functional.conv2d(x, w, b, padding=1), rtol=0.05, atol=0.1)
