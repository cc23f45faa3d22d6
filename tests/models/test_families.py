"""What holds for every family of networks, at tiny sizes and in float64."""

import dataclasses
import importlib
import json

import pytest
import torch

from gan_fast import models
from gan_fast.ops import r1, use_backend

assert_close = torch.testing.assert_close

STYLE = {"z_dim": 6, "w_dim": 6, "d_num_layers": 1, "channel_base": 64, "channel_max": 6, "mbstd_group_size": 2}
TINY = {
    "dcgan": ("dcgan-digits", {"img_resolution": 8, "channels": 4, "z_dim": 6}),
    "dcgan, projection": ("dcgan-digits-projection", {"img_resolution": 8, "channels": 4, "z_dim": 6}),
    "dcgan, 28x28": ("dcgan-mnist", {"channels": 4, "z_dim": 6, "d_norm": "none"}),
    "dcgan, patch": ("dcgan-digits-projection", {"channels": 4, "z_dim": 6, "patch": True, "minibatch": "stddev"}),
    "dcgan, discrimination": ("dcgan-digits", {"channels": 4, "z_dim": 6, "minibatch": "discrimination"}),
    "ebgan": ("ebgan-digits", {"img_resolution": 8, "channels": 4, "z_dim": 6, "code_dim": 5}),
    "began": ("began-digits", {"img_resolution": 8, "channels": 4, "z_dim": 6, "code_dim": 5}),
    "progressive": ("progressive-digits", {"z_dim": 6, "channel_base": 64, "channel_max": 6, "mbstd_group_size": 2}),
    "biggan": ("biggan-digits", {"z_dim": 6, "channels": 8, "shared_dim": 4}),
    "stylegan": ("stylegan-digits", {**STYLE, "num_layers": 1}),
    "stylegan3-t": ("stylegan3-t-digits", {**STYLE, "num_layers": 3, "g_channel_max": 6}),
    "stylegan3-r": ("stylegan3-t-digits", {**STYLE, "num_layers": 3, "g_channel_max": 6, "rotation": True}),
    "r3gan": ("r3gan-digits", {"z_dim": 6, "widths": (8, 6, 4), "cardinalities": (2, 2, 2), "embed_dim": 4}),
    "lucidrains": (
        "lucidrains-128",
        {"img_resolution": 8, "z_dim": 6, "num_layers": 1, "channel_max": 6, "attention": (4, 8), "quantized": (4,)},
    ),
    "clean": (
        "gfpgan-512",
        {"img_resolution": 8, "z_dim": 6, "num_layers": 1, "channel_base": 64, "channel_max": 6, "mbstd_group_size": 2},
    ),
    "points": ("points", {"width": 6, "c_dim": 3, "activation": "softplus"}),
    "points, discrimination": ("points", {"width": 6, "minibatch_discrimination": True}),
    "points, deviation": (
        "points",
        {"width": 6, "minibatch_stddev": True, "minibatch_group": 2, "minibatch_depth": 1},
    ),
    "points, energy": ("points-energy", {"width": 6, "c_dim": 3, "activation": "lrelu"}),
}
N = 4


@pytest.fixture(scope="module", params=TINY)
def pair(request):
    """A pair in which nothing is zero, in training mode, and in float64, on the processor: shapes are what matters."""
    torch.manual_seed(0)
    name, overrides = TINY[request.param]
    g, d = models.build(models.preset(name, **overrides))
    for network in (g, d):
        network.double()
        with torch.no_grad():
            for p in network.parameters():
                p.add_(0.1 * torch.randn_like(p))
    if request.param == "progressive":
        g.grow(1.5)
        d.grow(1.5)
    return g, d


def inputs(g):
    z = torch.randn(N, g.z_dim, dtype=torch.float64)
    c = torch.eye(max(g.c_dim, 1), dtype=torch.float64)[torch.arange(N) % max(g.c_dim, 1)]
    return z, c if g.c_dim else None


def draw(g, z, c):
    """G's images with the noise that a seed gives."""
    torch.manual_seed(1)
    return g(z, c)


def size(g):
    return (g.img_channels,) + (g.img_resolution,) * (2 if g.img_resolution else 0)


def test_shapes_and_dtypes(pair):
    g, d = pair
    z, c = inputs(g)
    img = draw(g, z, c)
    logits = d(img, c)
    assert img.shape == (N, *size(g))
    assert logits.shape[:2] == (N, 1)
    assert img.dtype == logits.dtype == torch.float64
    assert img.isfinite().all()
    assert (img[0] - img[1]).abs().max() > 1e-4
    assert (g.c_dim, g.img_resolution, g.img_channels) == (d.c_dim, d.img_resolution, d.img_channels)


def test_labels_count(pair):
    g, d = pair
    z, c = inputs(g)
    if c is None:
        with pytest.raises(ValueError, match="takes None"):
            g(z, torch.ones(N, 3))
        return
    img = draw(g, z, c).detach()
    assert (draw(g, z, c.roll(1, 1)) - img).abs().max() > 1e-4
    assert (d(img, c.roll(1, 1)) - d(img, c)).abs().max() > 1e-6
    with pytest.raises(ValueError, match="c: got 2 labels"):
        g(z, c[:2])
    with pytest.raises(ValueError, match="c: got None"):
        d(img)


def test_gradients_reach_every_parameter(pair):
    g, d = pair
    z, c = inputs(g)
    (d(draw(g, z, c), c) ** 2).sum().backward()
    unused = {name for network in pair for name, p in network.named_parameters() if p.grad is None}
    # At a level of 1.5 of two, 4x4 has no image of its own left.
    assert unused <= {"torgb.0.weight", "torgb.0.bias", "fromrgb.0.weight", "fromrgb.0.bias"}
    for network in pair:
        for name, p in network.named_parameters():
            if name not in unused:
                assert p.grad.abs().max() > 0, name
        network.zero_grad()


def test_backends_agree_to_the_second_order(pair):
    """Images, logits, and the gradient of R1 in D's parameters."""
    g, d = pair
    z, c = inputs(g)
    states = [{name: t.clone() for name, t in network.state_dict().items()} for network in pair]
    results = []
    for backend in ("auto", "reference"):
        for network, state in zip(pair, states, strict=True):  # running statistics move in every pass
            network.load_state_dict(state)
        with use_backend(backend):
            img = draw(g, z, c).detach().requires_grad_()
            logits = d(img, c)
            penalty = r1(img, logits)
            weights = [p for p in d.parameters() if p.ndim > 1]
            grads = torch.autograd.grad(penalty.sum(), weights, allow_unused=True, materialize_grads=True)
        results.append([img.detach(), logits.detach(), penalty.detach(), *grads])
    assert results[0][2].min() > 0
    assert sum(bool(t.any()) for t in results[0]) > 4
    for ours, want in zip(*results, strict=True):
        assert_close(ours, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", TINY)
def test_configurations_and_weights_survive_a_checkpoint(case):
    name, overrides = TINY[case]
    config = models.preset(name, **overrides)
    again = models.from_fields(json.loads(json.dumps(models.to_fields(config))))
    assert again == config
    for network, copy in zip(models.build(config), models.build(again), strict=True):
        copy.load_state_dict(network.state_dict())
        assert all(t.dtype.is_floating_point for t in network.state_dict().values())  # averages take them all


@pytest.mark.parametrize("family", [f for f in models.families() if f != "stylegan2"])
def test_build_takes_names_mappings_and_overrides(family):
    module = importlib.import_module(f"gan_fast.models.{family}")
    name = next(name for name, its in models.presets().items() if its == family)
    config = module.PRESETS[name]
    for given in (name, config, dataclasses.asdict(config)):
        g, _ = module.build(given, z_dim=config.z_dim * 2)
        assert g.z_dim == config.z_dim * 2
    with pytest.raises(ValueError, match=r"fields: got 'beta', takes .*z_dim"):
        module.build(name, beta=1)
    with pytest.raises(ValueError, match="preset: got 'nothing'"):
        module.build("nothing")
