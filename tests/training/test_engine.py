import copy
from functools import partial

import pytest
import torch
from torch import nn

from gan_fast import models
from gan_fast.losses import logistic_discriminator
from gan_fast.models.progressive import faded
from gan_fast.ops import path_length
from gan_fast.training.engine import Engine, lazy_adam
from gan_fast.training.recipe import Recipe

TINY = {
    "digits": {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8},
    "began-digits": {"img_resolution": 8, "channels": 4, "z_dim": 8, "code_dim": 4},
    "progressive-digits": {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8},
}


def networks(device, dtype=torch.float32, preset="digits", **changes):
    torch.manual_seed(1)
    return [net.to(device, dtype) for net in models.build(models.preset(preset, **{**TINY[preset], **changes}))]


def state_of(network):
    return [*network.parameters(), *network.buffers()]


def engine(device, *, dtype=torch.float32, options=None, **recipe):
    return Engine(*networks(device, dtype), Recipe(**recipe), **(options or {}))


def phase(engine, name):
    return next(p for p in engine.phases if p.name == name)


def gradients(engine, name, batch):
    engine.gradients(phase(engine, name), *batch)
    return [p.grad.clone() for p in phase(engine, name).parameters if p.grad is not None]


@pytest.fixture
def batch(device):
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.rand(8, 1, 8, 8, generator=generator) * 2 - 1, torch.arange(8)
    return x.to(device), torch.nn.functional.one_hot(labels, 10).float().to(device)


class Mlp(nn.Sequential):
    """A network of points: G(z, c) and D(x, c)."""

    def __init__(self, n_in, n_out):
        super().__init__(nn.Linear(n_in, 16), nn.LeakyReLU(), nn.Linear(16, n_out))
        self.z_dim, self.c_dim = n_in, 0

    def forward(self, x, c=None):
        return super().forward(x)


def test_points_are_learned():
    """The generator's mean moves to that of the data, with two steps of D to one of G."""
    torch.manual_seed(0)
    engine = Engine(Mlp(4, 2), Mlp(2, 1), Recipe(g_lr=0.01, d_lr=0.01, gamma=0.1, penalty_interval=2, n_critic=2))
    data = torch.Generator().manual_seed(0)
    centre = torch.tensor([2.0, -1.0])
    ran = [engine.step(torch.randn(32, 2, generator=data) * 0.1 + centre).keys() for _ in range(300)]
    assert ran[1] == {"Dmain", "Dmain_gradient", "r_t", "f_t"}
    assert ran[0] == ran[1] | {"Gmain", "Gmain_gradient", "Dreg", "Dreg_gradient", "penalty"}
    fake = engine.averages.modules["G_ema"](torch.randn(256, 4))
    assert (fake.mean(0) - centre).norm() < 0.3 < centre.norm()


@pytest.mark.parametrize("penalty", ["r1", "r2", "r1+r2", "wgan_gp", "dragan", "zero_centred_gp"])
def test_every_penalty_reaches_the_discriminator(device, batch, penalty):
    values = engine(device, penalty=penalty, gamma=2.0, penalty_interval=3).step(*batch)
    factor = 3.0 if penalty.startswith("r") else 6.0
    torch.testing.assert_close(values["Dreg"], values["penalty"] * factor)
    assert values["penalty"] > 0


def test_phases_run_at_their_intervals(device, batch):
    e = engine(device, penalty_interval=2, path_length=2.0, path_length_interval=3)
    names = {p.name for p in e.phases}
    assert [sorted(names & e.step(*batch).keys()) for _ in range(4)] == [
        ["Dmain", "Dreg", "Gmain", "Greg"],
        ["Dmain", "Gmain"],
        ["Dmain", "Dreg", "Gmain"],
        ["Dmain", "Gmain", "Greg"],
    ]
    assert "Dreg" not in engine(device, penalty="none").step(*batch)


def test_a_step_can_be_repeated(device, batch):
    a, b = (engine(device, style_mixing=1.0, translate=0.25) for _ in range(2))
    torch.rand(3)  # what else draws random numbers in the process does not matter
    assert all(torch.equal(x, y) for x, y in zip(a.step(*batch).values(), b.step(*batch).values(), strict=True))
    assert not torch.equal(a.step(*batch)["Dmain"], engine(device).step(*batch)["Dmain"])


def test_gradients_reach_their_own_network_alone(device, batch):
    e = engine(device)
    for name, other in (("Gmain", e.discriminator), ("Dmain", e.generator)):
        for net in (e.generator, e.discriminator):
            net.zero_grad(set_to_none=True)
        assert any(g.abs().sum() > 0 for g in gradients(e, name, batch))
        assert all(p.grad is None for p in other.parameters())


def test_style_mixing_changes_the_image(device, batch):
    plain, mixed = (gradients(engine(device, style_mixing=share), "Gmain", batch) for share in (0.0, 1.0))
    assert not torch.equal(plain[-1], mixed[-1])


def test_lazy_adam_scales_its_rates():
    parameters = list(nn.Linear(2, 2).parameters())
    group = lazy_adam(parameters, 0.01, (0, 0.99), 4).param_groups[0]
    assert group["lr"] == pytest.approx(0.008)
    assert group["betas"] == pytest.approx((0.0, 0.99**0.8))
    assert lazy_adam(parameters, 0.01, (0.5, 0.99), None).param_groups[0]["betas"] == (0.5, 0.99)


@pytest.mark.parametrize("name", ["Gmain", "Dmain", "Dreg"])
def test_accumulation_equals_the_whole_batch(device, name):
    """In float64, with networks in which samples do not depend on each other and no noise is drawn."""
    x = torch.rand(8, 1, 8, 8, dtype=torch.float64, device=device)
    c = torch.eye(10, dtype=torch.float64, device=device)[:8]
    found = []
    for parts in (1, 4):
        pair = networks(device, torch.float64, mbstd_num_channels=0)
        pair[0].synthesis.forward = partial(pair[0].synthesis.forward, noise_mode="none")
        found.append(gradients(Engine(*pair, Recipe(style_mixing=1.0), accumulate=parts), name, (x, c)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 0.5 + 3 * 0.032), (-1.0, 0.5 - 3 * 0.032)])
def test_ada_follows_the_sign_of_real_logits(sign, expected):
    """Every four steps of 8 images p moves by 32 / 1000, whatever the images are."""

    class Sure(Mlp):
        def forward(self, x, c=None):
            return super().forward(x.flatten(1)) * 0 + sign

    class Painter(Mlp):
        def forward(self, z, c=None):
            return super().forward(z).unflatten(1, (3, 4, 4))

    recipe = Recipe(augment="ada", ada_p=0.5, ada_kimg=1.0, penalty="none")
    e = Engine(Painter(2, 48), Sure(48, 1), recipe)
    for _ in range(15):
        e.step(torch.zeros(8, 3, 4, 4))
    assert e.ada_p.item() == pytest.approx(expected)


def test_fixed_p_stays(device, batch):
    e = engine(device, augment="ada", ada_p=0.25, ada_target=0.0, ada_interval=1)
    e.step(*batch)
    assert e.ada_p == 0.25


@pytest.mark.parametrize("augment", ["ada", "color,translation,cutout"])
def test_augmentation_changes_what_the_discriminator_sees(device, batch, augment):
    plain, augmented = (gradients(engine(device, augment=a, ada_p=1.0), "Dmain", batch) for a in ("none", augment))
    assert not torch.equal(plain[0], augmented[0])


def test_gradients_are_made_finite_and_counted(device, batch):
    e = engine(device)
    weight = e.discriminator.b4.out.weight
    weight.register_hook(lambda g: torch.full_like(g, float("nan")))
    e.discriminator.b4.out.bias.register_hook(lambda g: torch.full_like(g, float("-inf")))
    gradients(e, "Dmain", batch)
    assert e.nonfinite == weight.numel() + e.discriminator.b4.out.bias.numel()
    assert not weight.grad.any()
    assert (e.discriminator.b4.out.bias.grad == -1e5).all()


def test_frozen_layers_stay(device, batch):
    e = engine(device, freeze_d=3)
    before = {k: v.clone() for k, v in e.discriminator.state_dict().items()}
    e.step(*batch)
    same = [k for k, v in e.discriminator.named_parameters() if torch.equal(before[k], v)]
    assert {k.rpartition(".")[0] for k in same} == {"b8.fromrgb", "b8.conv0", "b8.conv1"}
    with pytest.raises(ValueError, match="freeze_d: D has"):
        engine(device, freeze_d=99)


def test_weights_are_clipped(device, batch):
    e = engine(device, objective="wasserstein", penalty="none", clip_weights=0.01)
    e.step(*batch)
    assert max(p.abs().max() for p in e.discriminator.parameters()) <= 0.01


def test_w_avg_follows_the_batch(device, batch):
    e = engine(device)
    before = e.generator.mapping.w_avg.clone()
    draws = e._draw(0, "Gmain", 8, 0, 1)
    w = e.generator.mapping(draws.z, batch[1])[:, 0].mean(0)
    e.step(*batch)
    torch.testing.assert_close(e.generator.mapping.w_avg, w.lerp(before, 0.998))


def test_path_length_is_steered_to_its_mean(device, batch):
    e = engine(device, path_length=2.0, path_length_interval=1, path_length_decay=0.5, g_lr=1e-12)
    lengths = e.gradients(phase(e, "Greg"), *batch)["path_length"]
    e.step(*batch)
    assert e.path_length > 0
    torch.testing.assert_close(e.path_length, lengths * 0.5)


def test_path_length_regularisation_makes_lengths_even(device, batch):
    """Its phase alone, without a game: the lengths vary less, also against their mean."""
    e = engine(device, path_length=2.0, path_length_interval=1, path_length_decay=0.1, path_length_shrink=1)
    e.phases = [phase(e, "Greg")]

    def spread():
        z = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).to(device)
        ws = e.generator.mapping(z, batch[1].repeat(8, 1)).detach().requires_grad_()
        images = e.generator.synthesis(ws, noise_mode="const")
        lengths = torch.cat([path_length(ws, images, torch.tensor([0, i], device=device)) for i in range(8)])
        return lengths.std().item(), (lengths.std() / lengths.mean()).item()

    before = spread()
    for _ in range(200):
        e.step(*batch)
    after = spread()
    assert after[0] < 0.7 * before[0]
    assert after[1] < 0.95 * before[1]


def test_bfloat16_is_near_float32(device, batch):
    exact, rounded = (engine(device, precision=p).step(*batch)["Dmain"] for p in ("float32", "bfloat16"))
    assert exact != rounded
    torch.testing.assert_close(exact, rounded.float(), rtol=0.02, atol=0.02)


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without the compiler: what it traces is run by PyTorch, and counted."""
    compile_, calls = torch.compile, []

    def trace(network, *, dynamic, options):
        assert options == {"fallback_random": True}
        calls.append(network)
        return compile_(network, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", trace)
    yield calls
    torch._dynamo.reset()


def test_compiled_networks_train_as_others_do(device, batch, traced):
    recipe = {"path_length": 2.0, "style_mixing": 1.0}
    x, c = (t.double() for t in batch)
    eager, compiled = (engine(device, dtype=torch.float64, **recipe, options={"compile": on}) for on in (False, True))
    assert traced == [compiled.generator.synthesis, compiled.discriminator]
    for name in ("Gmain", "Dmain"):
        torch.testing.assert_close(*(gradients(e, name, (x, c)) for e in (eager, compiled)), rtol=1e-10, atol=1e-12)
    values = [{k: v.item() for k, v in e.step(x, c).items()} for e in (eager, compiled)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize(
    ("preset", "recipe"),
    [
        ("digits", {"path_length": 2.0, "augment": "ada", "ada_p": 0.3, "ema_extra_kimg": (0.05,)}),
        ("digits", {"optimizer": "optimistic_adam", "penalty_interval": 1, "historical": 0.1, "unroll": 1}),
        ("began-digits", {"objective": "began", "began_rate": 0.1, "penalty": "none"}),
        ("progressive-digits", {"grow_kimg": 0.006, "unroll": 1}),
    ],
)
def test_a_state_goes_on_where_it_was_taken(device, batch, preset, recipe):
    a, b = (Engine(*networks(device, preset=preset), Recipe(**recipe)) for _ in range(2))
    for _ in range(2):
        a.step(*batch)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    assert {k: v.item() for k, v in a.step(*batch).items()} == {k: v.item() for k, v in b.step(*batch).items()}
    for x, y in zip(a._modules().values(), b._modules().values(), strict=True):
        assert all(torch.equal(p, q) for p, q in zip(state_of(x), state_of(y), strict=True))


def test_a_state_of_another_version_is_named(device):
    e = engine(device)
    state = e.state_dict()
    del state["began_k"]
    with pytest.raises(ValueError, match="another version of gan_fast has no began_k"):
        e.load_state_dict(state)


def test_optimistic_steps_of_each_phase(device, batch):
    """The first step is twice Adam's; what later ones take off is the last of the same phase."""
    names = ("adam", "optimistic_adam")
    plain, optimistic = (engine(device, dtype=torch.float64, optimizer=name, penalty_interval=1) for name in names)
    start = copy.deepcopy(list(plain.generator.parameters()))
    for e in (plain, optimistic):
        e.step(*(t.double() for t in batch))
    for p, a, b in zip(start, plain.generator.parameters(), optimistic.generator.parameters(), strict=True):
        torch.testing.assert_close(b - p, 2 * (a - p))
    state = optimistic.d_adam.state[optimistic.discriminator.b8.conv0.weight]
    assert not torch.equal(state["update Dmain"], state["update Dreg"])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_generator_is_judged_by_the_unrolled_discriminator(accumulate):
    """Two steps of D written out, on the samples of each part; the gradient goes through them."""
    torch.manual_seed(0)
    G, D = Mlp(2, 2).double(), Mlp(2, 1).double()
    e = Engine(G, D, Recipe(unroll=2, unroll_lr=0.5), accumulate=accumulate)
    x = torch.randn(8, 2, dtype=torch.float64)
    found = gradients(e, "Gmain", (x, x.new_zeros(8, 0)))
    wanted = [torch.zeros_like(p) for p in G.parameters()]
    for part, real in enumerate(x.chunk(accumulate)):
        fake = G(e._draw(0, "Gmain", len(real), part, accumulate).z)
        w0, b0, w1, b1 = (p.detach().requires_grad_() for p in D.parameters())
        for i in range(3):
            on_real, on_fake = (nn.functional.leaky_relu(y @ w0.T + b0) @ w1.T + b1 for y in (real, fake))
            if i == 2:
                break
            loss = logistic_discriminator(on_real, on_fake).mean()
            moves = torch.autograd.grad(loss, [w0, b0, w1, b1], create_graph=True)
            w0, b0, w1, b1 = (p - 0.5 * g for p, g in zip((w0, b0, w1, b1), moves, strict=True))
        loss = nn.functional.softplus(-on_fake).mean() / accumulate
        wanted = [a + b for a, b in zip(wanted, torch.autograd.grad(loss, list(G.parameters())), strict=True)]
    torch.testing.assert_close(found, wanted)


def test_began_is_steered_by_the_whole_batch(device, batch):
    recipe = {"objective": "began", "began_gamma": 0.7, "began_rate": 0.1, "penalty": "none", "g_lr": 1e-12}
    whole, parts = (Engine(*networks(device, preset="began-digits"), Recipe(**recipe), accumulate=n) for n in (1, 4))
    values = whole.gradients(phase(whole, "Dmain"), *batch)
    imbalance = 0.7 * values["real_energy"] - values["fake_energy"]
    measure = whole.step(*batch)["began_m"]
    torch.testing.assert_close(measure, values["real_energy"] + imbalance.abs())
    torch.testing.assert_close(whole.began_k, (0.1 * imbalance).clamp(0, 1))
    assert whole.began_k > 0
    assert "r_t" not in parts.step(*batch)  # energies have no telling sign
    assert 0 < parts.began_k < 1


def test_networks_grow_with_the_images(device, batch):
    """8 images a step: 4x4 for one and a half steps, as long to fade in 8x8, then 8x8."""
    e = Engine(*networks(device, preset="progressive-digits"), Recipe(grow_kimg=0.012))
    seen = []
    e.discriminator.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    levels = []
    for _ in range(4):
        e.step(*batch)
        levels += {network.level for network in e._modules().values()}
        torch.testing.assert_close(seen[1], faded(batch[0], e.generator.level))
        seen.clear()  # the first was Gmain's fake, the second Dmain's real image
    assert levels == pytest.approx([0, 0, 1 / 3, 1])


def test_weights_are_drawn_to_the_mean_of_their_past(device, batch):
    plain, drawn = (engine(device, dtype=torch.float64, historical=w, penalty="none") for w in (0.0, 10.0))
    batch = [t.double() for t in batch]
    path = []
    for _ in range(3):
        drawn.step(*batch)
        path.append([p.detach().clone() for p in drawn.discriminator.parameters()])
    means = [torch.stack(ps).mean(0) for ps in zip(*path, strict=True)]
    for past, mean in zip(drawn._pasts["D"], means, strict=True):
        torch.testing.assert_close(past, mean)
    plain.load_state_dict(drawn.state_dict())
    for a, b, p, mean in zip(*(gradients(e, "Dmain", batch) for e in (plain, drawn)), path[-1], means, strict=True):
        torch.testing.assert_close(b - a, 20 * (p - mean))


def test_what_cannot_be_compiled_is_named(device):
    with pytest.raises(ValueError, match="compile: has no second derivatives"):
        engine(device, unroll=1, options={"compile": True})


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ({"objective": "gan"}, "objective: got 'gan', takes .*logistic"),
        ({"penalty": "r3"}, "penalty: got 'r3', takes r1"),
        ({"path_length": 2.0}, "path_length: needs a generator with mapping"),
        ({"style_mixing": 0.5}, "style_mixing: needs"),
        ({"precision": "float16"}, "precision: got 'float16', takes float32"),
        ({"optimizer": "sgd"}, "optimizer: got 'sgd', takes adam, optimistic_adam"),
        ({"grow_kimg": 1.0}, "grow_kimg: needs the networks of gan_fast.models.progressive"),
        ({"unroll": 1, "freeze_d": 1}, "unroll: its steps of D know no freeze_d"),
        ({"augment": "ada", "objective": "ebgan"}, "augment: ada is steered by the signs of logits"),
    ],
)
def test_what_cannot_be_done_is_named(recipe, named):
    with pytest.raises(ValueError, match=named):
        Engine(Mlp(2, 2), Mlp(2, 1), Recipe(**recipe))
