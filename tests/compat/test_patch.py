"""Networks written as their families write them: the same images, gradients and keys with their layers swapped."""

import copy
import importlib.util
import io
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gan_fast
from gan_fast.compat import install, lia, rosinality
from gan_fast.compat import patch as patching

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture(scope="module")
def load():
    """Imports a file of networks, whose ops are gan_fast's, under a name that pickles can refer to."""
    loaded = []

    def load(path, *ops):
        name = f"networks_of_{path.split('/')[0]}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, SCRIPTS / path)
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            loaded.append(name)
            with install(*ops):
                spec.loader.exec_module(module)
        return sys.modules[name]

    yield load
    for name in loaded:
        del sys.modules[name]


@pytest.fixture
def nvlabs(load):
    return load("nvlabs/training/networks.py", "torch_utils")


@pytest.fixture
def ros(load):
    return load("rosinality/model.py", "op")


@pytest.fixture(autouse=True)
def _float64():
    """Numbers that networks draw and layers that they make are float64, so that equal means equal."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def randomised(module):
    """No parameter is left at a zero that would hide it."""
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module.to(torch.get_default_dtype())


def outcome(module, *args, **kwargs):
    """Output and all gradients, with the same random numbers each time."""
    torch.manual_seed(1)
    y = module(*args, **kwargs)
    y = y[0] if isinstance(y, tuple) else y
    inputs = [t for t in args if isinstance(t, torch.Tensor) and t.requires_grad]
    grads = torch.autograd.grad(y.square().mean(), [*inputs, *module.parameters()], allow_unused=True)
    return [y, *(torch.zeros(()) if g is None else g for g in grads)]


def check(module, replaced, *args, **kwargs):
    """Patches; says the numbers of layers replaced, by class; changes neither outcome nor state."""
    before, state = outcome(module, *args, **kwargs), module.state_dict()
    patched = gan_fast.patch(module)
    assert {name: list(patched.replaced.values()).count(name) for name in replaced} == replaced
    assert len(patched.replaced) == sum(replaced.values())
    torch.testing.assert_close(outcome(module, *args, **kwargs), before)
    after = module.state_dict()
    assert list(after) == list(state)
    assert all(after[name].data_ptr() == state[name].data_ptr() for name in state)
    return patched


@pytest.mark.parametrize("noise_mode", ["random", "const", "none"])
@pytest.mark.parametrize("train", [True, False])
def test_nvlabs_generator(nvlabs, noise_mode, train):
    module = randomised(nvlabs.Generator(8, 8, 8, 3)).train(train)
    patched = check(
        module,
        {"SynthesisLayer": 3, "ToRGBLayer": 2, "FullyConnectedLayer": 6},
        torch.randn(3, 8),
        noise_mode=noise_mode,
    )
    assert list(patched.replaced)[:3] == ["fc0", "conv1", "conv1.affine"]
    assert not patched.left
    assert str(patched).startswith("replaced 11 layers: 6 FullyConnectedLayer, 3 SynthesisLayer, 2 ToRGBLayer")


def test_nvlabs_discriminator(nvlabs):
    module = randomised(nvlabs.Discriminator(8, 3))
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    check(module, {"Conv2dLayer": 5, "FullyConnectedLayer": 2, "MinibatchStdLayer": 1}, x)


@pytest.mark.parametrize("is_torgb", [False, True])
def test_alias_free_layer(nvlabs, is_torgb):
    torch.set_default_dtype(torch.float32)  # which the layer computes in
    module = nn.Sequential()
    module.layer = randomised(nvlabs.alias_free_layer(8, is_torgb, 4, 3, 10))
    module.layer.magnitude_ema.fill_(2.5)
    module.forward = module.layer.forward
    args = (torch.randn(2, 4, 10, 10, requires_grad=True), torch.randn(2, 8))
    check(module.layer, {"SynthesisLayer": 1, "FullyConnectedLayer": 1}, *args)
    module.layer(*args, update_emas=True)
    expected = 0.9 * 2.5 + 0.1 * args[0].square().mean()
    torch.testing.assert_close(module.layer.magnitude_ema, expected.detach())
    assert isinstance(module.layer, patching.AliasFreeSynthesisLayer)


def test_rosinality_generator(ros):
    module = randomised(ros.Generator(8, 2))
    counts = {
        "StyledConv": 3,
        "NoiseInjection": 3,
        "ToRGB": 2,
        "ModulatedConv2d": 5,
        "EqualLinear": 7,
        "FusedLeakyReLU": 3,
    }
    counts |= {"Blur": 1, "Upsample": 1}
    check(module, counts, [torch.randn(3, 8)])
    planes = [torch.randn(3, 1, 4, 4), torch.randn(1, 1, 8, 8), torch.randn(8, 8)]
    again = randomised(ros.Generator(8, 2))
    check(again, counts, [torch.randn(3, 8)], noise=planes)


def test_rosinality_discriminator(ros):
    module = randomised(ros.Discriminator())
    counts = {"EqualConv2d": 5, "FusedLeakyReLU": 4, "Blur": 2, "Downsample": 1, "EqualLinear": 2}
    check(module, counts, torch.randn(4, 3, 8, 8, requires_grad=True))


@pytest.mark.parametrize("taps", [(1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 4, 6, 4, 1)], ids=len)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("resample", ["upsample", "downsample"])
def test_rosinality_modulated_convolutions(ros, taps, k, resample):
    taps = [n + i for i, n in enumerate(taps)]  # not symmetric
    module = randomised(ros.ModulatedConv2d(4, 3, k, 8, blur_kernel=taps, **{resample: True}))
    module.eps = 0.5
    args = (torch.randn(2, 4, 7, 6, requires_grad=True), torch.randn(2, 8, requires_grad=True))
    check(module, {"ModulatedConv2d": 1, "EqualLinear": 1, "Blur": 1}, *args)
    if resample == "upsample":
        module = randomised(ros.StyledConv(4, 3, k, 8, upsample=True, blur_kernel=taps))
        counts = {
            "StyledConv": 1,
            "NoiseInjection": 1,
            "ModulatedConv2d": 1,
            "EqualLinear": 1,
            "Blur": 1,
            "FusedLeakyReLU": 1,
        }
        check(module, counts, *args)


def test_copies_and_pickles(nvlabs, ros):
    for module, part, args in (
        (nvlabs.Generator(8, 8, 8, 3), "conv2", (torch.randn(2, 8), "const")),
        (ros.Generator(8, 2), "conv1", ([torch.randn(2, 8)],)),
    ):
        gan_fast.patch(randomised(module))
        layer = getattr(module, part)
        assert b"networks_of" not in pickle.dumps(layer)
        saved = io.BytesIO()
        torch.save(module, saved)
        saved.seek(0)
        expected = outcome(module, *args)
        copies = copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(saved, weights_only=False)
        for again in copies:
            assert type(getattr(again, part)) is type(layer)
            torch.testing.assert_close(outcome(again, *args), expected, rtol=0, atol=0)


def test_patched_under_autocast_and_in_half_precision(nvlabs):
    module = randomised(nvlabs.Generator(8, 8, 8, 3)).float()
    z = torch.randn(2, 8, dtype=torch.float32)
    with torch.no_grad():
        expected = module(z, "const")
        gan_fast.patch(module)
        with torch.autocast("cpu", torch.bfloat16):
            y = module(z, "const")
    assert y.isfinite().all()
    assert (y.float() - expected).norm() < 0.05 * expected.norm()


def test_hooks_and_a_second_patch(ros):
    module = randomised(ros.Generator(8, 2))
    seen = []
    module.conv1.register_forward_hook(lambda *_: seen.append("hook"))
    gan_fast.patch(module)
    module([torch.randn(1, 8)])
    assert seen == ["hook"]
    with pytest.raises(ValueError, match=r"no layer to replace; these are known: SynthesisLayer, .*EqualLinear"):
        gan_fast.patch(module)
    with pytest.raises(ValueError, match="no layer to replace"):
        gan_fast.patch(nn.Linear(1, 1))


def test_layers_that_only_share_a_name_are_left_with_the_reason(ros):
    def changed(make, **attributes):
        layer = make()
        for name, value in attributes.items():
            if value is None:
                delattr(layer, name)
            else:
                setattr(layer, name, value)
        return layer

    def other_forward():
        class EqualLinear(ros.EqualLinear):
            def forward(self, input, gain=1):
                return input

        return EqualLinear(2, 2)

    class NoiseInjection(ros.NoiseInjection):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 2, 1, 1))

    module = nn.ModuleDict(
        {
            "good": ros.EqualLinear(2, 2),
            "call": other_forward(),
            "more": changed(lambda: ros.EqualLinear(2, 2), gate=nn.Parameter(torch.ones(2))),
            "fewer": changed(lambda: ros.Blur((1, 1), (0, 0)), kernel=None),
            "attribute": changed(lambda: ros.EqualConv2d(2, 2, 1), stride=None),
            "lia": lia.FusedLeakyReLU(2),
            "flat": changed(lambda: ros.ModulatedConv2d(2, 2, 1, 2), weight=nn.Parameter(torch.ones(2, 2, 1, 1))),
            "noise": changed(lambda: ros.StyledConv(2, 2, 1, 2), noise=NoiseInjection()),
            "part": changed(lambda: ros.StyledConv(2, 2, 1, 2), conv=nn.Identity()),
        }
    )
    patched = gan_fast.patch(module)
    assert patched.left == {
        "call": "forward takes input, gain",
        "more": "holds gate too",
        "fewer": "holds no kernel",
        "attribute": "has no stride",
        "lia": "bias has the shape (1, 2, 1, 1)",
        "flat": "weight has the shape (2, 2, 1, 1)",
        "noise": "noise: was not replaced",
        "noise.noise": "weight has the shape (1, 2, 1, 1)",
        "part": "conv: was not replaced",
    }
    assert "left attribute: has no stride" in str(patched)
    assert type(module["call"]).__module__ == __name__
    assert {name for name in patched.replaced if "." not in name} == {"good"}


def test_what_is_patched_is_fed_by_the_faces_too(ros):
    """Networks whose leaky ReLU is already gan_fast's."""
    module = nn.Sequential(rosinality.FusedLeakyReLU(3), rosinality.FusedLeakyReLU(3, bias=False))
    check(module, {"FusedLeakyReLU": 2}, torch.randn(2, 3, 4))
