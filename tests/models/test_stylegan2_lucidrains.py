"""lucidrains' StyleGAN2: what its checkpoints do not show. Its formulas are in tests/compat/test_lucidrains.py."""

import pytest
import torch

from gan_fast.models.stylegan2_lucidrains import Quantizer, build

assert_close = torch.testing.assert_close
TINY = {"img_resolution": 16, "z_dim": 8, "num_layers": 2, "capacity": 2, "d_capacity": 2}


@pytest.fixture
def generator(device):
    torch.manual_seed(0)
    return build(TINY)[0].to(device).eval()


def test_noise(generator, device):
    z = torch.randn(1, 8, device=device).expand(2, -1)
    start = generator(z)
    assert_close(start[0], start[1])  # its strengths start as 0
    for name, p in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(p, 0.3)
    const, none, random = (generator(z, noise_mode=mode) for mode in ("const", "none", "random"))
    assert_close(const[0], const[1])
    assert (const - none).abs().max() > 1e-2
    assert (random[0] - random[1]).abs().max() > 1e-2
    # A layer adds what is uniform in [0, 1): its mean without noise.
    torch.nn.init.zeros_(generator.synthesis.noise_const)
    assert_close(generator(z, noise_mode="const"), none)
    with pytest.raises(ValueError, match="noise_mode: got 'loud'"):
        generator(z, noise_mode="loud")


def test_mixing_and_truncation(generator, device):
    a, b = generator.mapping(torch.randn(2, 8, device=device))[:, None].unbind(0)
    assert generator.num_ws == 3
    images = [generator.synthesis(torch.cat([a[:, :n], b[:, n:]], 1), "none") for n in range(4)]
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            assert (one - other).abs().max() > 1e-4
    z = torch.randn(64, 8, device=device)
    for _ in range(3000):
        generator.mapping(z, update_emas=True)
    ws = generator.mapping(z, None, 0.5, 2)
    w = generator.mapping(z)[:, 0]
    assert_close(ws[:, 1], w.mean(0).lerp(w, 0.5), rtol=1e-3, atol=1e-3)
    assert ws[:, 2].equal(w)


def test_codes_replace_features_and_let_gradients_pass(device):
    quantizer = Quantizer(2, 3).to(device)
    quantizer.codes.copy_(torch.tensor([[0.0, 4.0, -4.0], [0.0, 4.0, 4.0]]))
    x = torch.tensor([[1.0, 1.0], [3.0, 2.0], [-5.0, 1.0]], device=device).reshape(1, 3, 1, 2).movedim(3, 1)
    x.requires_grad_()
    y = quantizer(x)
    want = torch.tensor([[0.0, 0.0], [4.0, 4.0], [-4.0, 4.0]], device=device).reshape(1, 3, 1, 2).movedim(3, 1)
    assert_close(y, want)
    assert_close(*torch.autograd.grad((y * want).sum(), x), want)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"c_dim": 10}, "c_dim: got 10, takes 0"),
        ({"img_resolution": 12}, "img_resolution: got 12, takes a power of two"),
    ],
)
def test_what_it_cannot_be(fields, named):
    with pytest.raises(ValueError, match=named):
        build(TINY, **fields)
