"""The clean StyleGAN2: what GFPGAN's checkpoints do not show. Its formulas are in tests/compat/test_gfpgan.py."""

import pytest
import torch

from gan_fast import models
from gan_fast.models.stylegan2_clean import build
from gan_fast.ops import use_backend

assert_close = torch.testing.assert_close
TINY = {"img_resolution": 16, "z_dim": 8, "num_layers": 2, "channel_base": 64, "channel_max": 8}


@pytest.fixture
def generator(device):
    torch.manual_seed(0)
    net = build(TINY)[0].to(device).eval()
    for name, p in net.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            torch.nn.init.normal_(p, 0.3, 0.1)
    return net


def test_noise(generator, device):
    z = torch.randn(1, 8, device=device).expand(2, -1)
    const, none, random = (generator(z, noise_mode=mode) for mode in ("const", "none", "random"))
    assert_close(const[0], const[1])
    assert (const - none).abs().max() > 1e-2
    assert (random[0] - random[1]).abs().max() > 1e-2
    for name, plane in generator.named_buffers():
        if name.endswith("noise_const"):
            torch.nn.init.zeros_(plane)
    assert_close(generator(z, noise_mode="const"), none)
    with pytest.raises(ValueError, match="noise_mode: got 'loud'"):
        generator(z, noise_mode="loud")


def test_each_w_is_read_and_truncation_draws_towards_the_mean(generator, device):
    a, b = generator.mapping(torch.randn(2, 8, device=device))[:, None, 0].unbind(0)
    assert generator.num_ws == 6
    images = [generator.synthesis(torch.stack([a] * n + [b] * (6 - n), 1), "none") for n in range(7)]
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            assert (one - other).abs().max() > 1e-4
    z = torch.randn(64, 8, device=device)
    for _ in range(5000):
        generator.mapping(z, update_emas=True)
    ws = generator.mapping(z, None, 0.5, 2)
    w = generator.mapping(z)[:, 0]
    assert_close(ws[:, 1], w.mean(0).lerp(w, 0.5), rtol=1e-3, atol=1e-3)
    assert ws[:, 2].equal(w)


def test_the_reference_gives_the_same_images(generator, device):
    z = torch.randn(3, 8, device=device)
    y = generator(z, noise_mode="const")
    with use_backend("reference"):
        assert_close(y, generator(z, noise_mode="const"), rtol=1e-3, atol=1e-3)


def test_the_published_decoder_is_as_large_as_stylegan2():
    with torch.device("meta"):
        sizes = {
            sum(p.numel() for p in models.build(models.preset(name))[0].parameters())
            for name in ("gfpgan-512", "stylegan2-512")
        }
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"c_dim": 10}, "c_dim: got 10, takes 0"),
        ({"img_resolution": 12}, "img_resolution: got 12, takes a power of two"),
        ({"channel_base": 8}, "channel_base, channel_max: got 8 and 8"),
    ],
)
def test_what_it_cannot_be(fields, named):
    with pytest.raises(ValueError, match=named):
        build(TINY, **fields)
