"""R3GAN: its start, which fix-up initialisation makes that of a network of resampling layers alone."""

import pytest
import torch

from gan_fast.models.r3gan import Block, build


def test_blocks_start_as_the_identity(device):
    block = Block(16, 4, 2, num_blocks=6).to(device)
    x = torch.randn(2, 16, 5, 5, device=device)
    assert torch.equal(block(x), x)
    # He's gain for leaky ReLU, by fix-up's L^(-1/4), on each of the two layers before the last.
    he = (2 / (1 + 0.2**2)) ** 0.5 * 6**-0.25
    wide = Block(256, 16, 2, num_blocks=6)
    assert wide.conv1.weight.std().item() == pytest.approx(he / 256**0.5, rel=0.02)
    assert wide.conv2.weight.std().item() == pytest.approx(he / (9 * 512 / 16) ** 0.5, rel=0.02)


def test_scale_at_the_start(device):
    """The 4x4 basis has unit variance, of which bilinear upsampling takes some; D keeps that of even images."""
    g, d = build("r3gan-digits", widths=(96, 96, 96), cardinalities=(6, 6, 6), img_channels=16, c_dim=0)
    g.to(device), d.to(device)
    z = torch.randn(128, g.z_dim, device=device)
    features = []
    g.stages.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    with torch.no_grad():
        img = g(z)
        assert features[0].square().mean().item() == pytest.approx(1, rel=0.15)
        assert 0.3 < img.square().mean().sqrt().item() < 1
        even = torch.randn(256, 16, 1, 1, device=device).expand(-1, -1, 16, 16)
        assert d(even).square().mean().sqrt().item() == pytest.approx(1, abs=0.25)


def test_upsampling_is_bilinear(device):
    g, _ = build("r3gan-digits", c_dim=0)
    up = next(m for m in g.to(device).stages if hasattr(m, "up"))
    up.conv = torch.nn.Identity()
    ramp = torch.arange(6.0, device=device).expand(1, 1, 6, 6)
    y = up(ramp)[0, 0, 6]
    assert torch.allclose(y[1:-1].diff(), torch.full([9], 0.5, device=device))


def test_bad_configurations():
    for options in ({"widths": (8, 4)}, {"cardinalities": (2, 2)}, {"img_resolution": 32}):
        with pytest.raises(ValueError, match="widths, cardinalities"):
            build("r3gan-digits", **options)
