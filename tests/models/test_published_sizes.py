"""Parameters of the published configurations, counted against the papers' tables and the releases' logs."""

import pytest
import torch

from gan_fast import models


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "g_count", "d_count"),
    [
        # Table 2 of arXiv 2501.05441, configuration E: 23.058M and 23.010M.
        ("r3gan-ffhq256", 23_057_952, 23_009_568),
        # Table 2 of arXiv 1710.10196: 23.1M and 23.1M.
        ("progressive-1024", 23_079_115, 23_087_249),
        # Section 2 of arXiv 1812.04948: 26.2M.
        ("stylegan-1024", 26_212_019, 23_077_137),
        # The releases' logs: stylegan3-t and stylegan3-r (15093151: issue 181 of NVlabs/stylegan3), BigGAN-PyTorch.
        ("stylegan3-t-1024", 22_313_167, 29_012_513),
        ("stylegan3-r-1024", 15_093_151, 29_012_513),
        ("biggan-128", 70_433_988, 87_982_370),
    ],
)
def test_published_sizes(name, g_count, d_count, monkeypatch):
    # Orthogonal matrices and their singular values take minutes at these sizes, and are not counted.
    monkeypatch.setattr("gan_fast.models.biggan._initialise", lambda network: None)
    with torch.device("meta"):
        g, d = models.build(models.preset(name))
    assert (count(g), count(d)) == (g_count, d_count)
