"""StyleGAN: adaptive instance normalisation, noise, mixing."""

import pytest
import torch

from gan_fast.models.stylegan import AdaIN, build

assert_close = torch.testing.assert_close


@pytest.fixture
def generator(device):
    torch.manual_seed(0)
    g, _ = build("stylegan-digits", c_dim=0)
    return g.to(device).eval()


def test_adain_formula(device):
    layer = AdaIN(4, 6).to(device, torch.float64)
    x = 3 * torch.randn(2, 4, 5, 5, dtype=torch.float64, device=device) + 1
    w = torch.randn(2, 6, dtype=torch.float64, device=device)
    s, b = layer.affine(w)[:, :, None, None].chunk(2, 1)
    mean, var = x.mean([2, 3], keepdim=True), x.var([2, 3], unbiased=False, keepdim=True)
    assert_close(layer(x, w), (1 + s) * (x - mean) / (var + 1e-5).sqrt() + b)


def test_adain_forgets_the_scale_of_its_input(device):
    layer = AdaIN(4, 6).to(device)
    x, w = torch.randn(2, 4, 8, 8, device=device), torch.randn(2, 6, device=device)
    assert_close(layer(10 * x - 3, w), layer(x, w), rtol=1e-3, atol=1e-3)


def test_noise(generator, device):
    z = torch.randn(1, generator.z_dim, device=device).expand(2, -1)
    start = generator(z)
    assert_close(start[0], start[1])  # its strengths start as 0
    for layer in generator.synthesis.layers:
        torch.nn.init.constant_(layer.noise_strength, 0.3)
    const, none, random = (generator(z, noise_mode=mode) for mode in ("const", "none", "random"))
    assert_close(none, start)
    assert_close(const[0], const[1])
    assert (const - none).abs().max() > 1e-2
    assert (random[0] - random[1]).abs().max() > 1e-2
    with pytest.raises(ValueError, match="noise_mode: got 'loud'"):
        generator(z, noise_mode="loud")


def test_mixing_and_truncation(generator, device):
    a, b = generator.mapping(torch.randn(2, generator.z_dim, device=device))[:, None].unbind(0)
    assert generator.num_ws == 6
    images = [generator.synthesis(torch.cat([a[:, :n], b[:, n:]], 1)) for n in (0, 1, 4, 6)]
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            assert (one - other).abs().max() > 1e-2
    z = torch.randn(2, generator.z_dim, device=device)
    collapsed = generator(z, truncation_psi=0)
    assert_close(collapsed[0], collapsed[1])
