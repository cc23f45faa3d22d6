"""Progressive growing: the fade is continuous, levels go with the weights, each stage has the detail that it should."""

import pytest
import torch

from gan_fast.models.progressive import build, faded, level_at, pixel_norm
from gan_fast.ops import downsample2d, setup_filter, upsample2d

assert_close = torch.testing.assert_close
BOX = setup_filter([1, 1])


@pytest.fixture
def pair(device):
    torch.manual_seed(0)
    g, d = build("progressive-digits", c_dim=0, channel_max=8)
    return g.to(device, torch.float64), d.to(device, torch.float64)


def at(network, level, *args):
    network.grow(level)
    return network(*args)


@pytest.mark.parametrize("stage", [0, 1])
def test_the_fade_is_continuous(pair, stage, device):
    g, d = pair
    z = torch.randn(4, g.z_dim, dtype=torch.float64, device=device)
    img = torch.randn(4, 1, 16, 16, dtype=torch.float64, device=device)
    for network, x in ((g, z), (d, img)):
        before, after = at(network, stage, x), at(network, stage + 1, x)
        assert (before - after).abs().max() > 1e-2
        for share in (1e-6, 1 - 1e-6):
            near = before if share < 0.5 else after
            assert (at(network, stage + share, x) - near).abs().max() < 1e-4
    half = at(g, stage + 0.5, z)
    assert_close(half, (at(g, stage, z) + at(g, stage + 1, z)) / 2)


def test_images_have_the_detail_of_their_stage(pair, device):
    g, d = pair
    z = torch.randn(2, g.z_dim, dtype=torch.float64, device=device)
    for stage, block in enumerate((4, 2, 1)):
        img = at(g, stage, z)
        assert img.shape == (2, 1, 16, 16)
        tiles = img.unfold(2, block, block).unfold(3, block, block)
        assert (tiles - tiles[..., :1, :1]).abs().max() < 1e-12
        noise = torch.randn_like(img)
        invisible = noise - faded(noise, stage)
        assert_close(at(d, stage, img + invisible), at(d, stage, img))


def test_real_images_fade_as_generated_ones_do(device):
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, device=device)
    coarse = upsample2d(downsample2d(x, BOX.to(device)), BOX.to(device))
    assert_close(faded(x, 0.25), 0.75 * coarse + 0.25 * x)
    assert_close(faded(x, 0), coarse)
    assert_close(faded(x, 1), x)


def test_levels(pair):
    g, _ = pair
    g.grow(1.25)
    other, _ = build("progressive-digits", c_dim=0, channel_max=8)
    assert other.level == 2
    other.load_state_dict(g.state_dict())
    assert (other.level, other.stage, other.alpha) == (1.25, 2, 0.25)
    for level in (-0.1, 2.1):
        with pytest.raises(ValueError, match="level"):
            g.grow(level)


def test_levels_over_the_images_shown():
    """800 kimg at 4x4, 800 to fade 8x8 in, 800 at 8x8, ..., and 16x16, the last, from then on."""
    kimg = [0, 799, 1000, 1600, 2399, 2600, 3200, 9000]
    assert [level_at(1000 * n, 800, last=2) for n in kimg] == pytest.approx([0, 0, 0.25, 1, 1, 1.25, 2, 2])


def test_pixel_norm():
    x = 5 * torch.randn(2, 7, 3, 3)
    assert_close(pixel_norm(x).square().mean(1), torch.ones(2, 3, 3))
