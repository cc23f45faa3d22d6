"""BigGAN: orthogonal regularisation, truncation, attention, normalised weights."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from gan_fast.models.biggan import SelfAttention, build, orthogonal_regularisation, truncated_z


def test_orthogonal_regularisation():
    layer = nn.Linear(5, 3).double()
    w = layer.weight.detach().numpy()
    gram = w @ w.T
    want = (gram**2).sum() - (np.diag(gram) ** 2).sum()
    loss = orthogonal_regularisation(nn.Sequential(layer, nn.ReLU(), layer))
    assert loss.item() == pytest.approx(want)
    nn.init.orthogonal_(layer.weight)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[1.0], [2.0], [3.0]]))  # lengths are free
    assert orthogonal_regularisation(layer).item() < 1e-20


def test_orthogonal_regularisation_of_a_generator():
    g, _ = build("biggan-digits", channels=8)
    loss = orthogonal_regularisation(g)
    loss.backward()
    without = {name for name, p in g.named_parameters() if p.ndim > 1 and p.grad is None}
    assert without == {"shared.weight"}
    optimiser = torch.optim.SGD(g.parameters(), lr=1e-3)
    optimiser.step()
    assert orthogonal_regularisation(g) < loss


def test_truncated_latents():
    generator = torch.Generator().manual_seed(0)
    z = truncated_z(4000, 5, 0.8, generator).double().flatten().numpy()
    assert np.abs(z).max() <= 0.8
    assert scipy.stats.kstest(z, scipy.stats.truncnorm(-0.8, 0.8).cdf).pvalue > 0.01
    assert truncated_z(4000, 5, 20.0, generator).std().item() == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="threshold: got 0"):
        truncated_z(1, 1, 0)


def test_attention_formula():
    layer = SelfAttention(8).double()
    x = torch.randn(1, 8, 4, 4, dtype=torch.float64)
    assert torch.equal(layer(x), x)  # gamma starts as 0
    nn.init.ones_(layer.gamma)
    flat = x[0].reshape(8, 16)
    theta = layer.theta.weight[:, :, 0, 0] @ flat
    phi, g = (
        (conv.weight[:, :, 0, 0] @ flat).reshape(-1, 2, 2, 2, 2).amax([2, 4]).reshape(-1, 4)
        for conv in (layer.phi, layer.g)
    )
    y = torch.zeros(8, 16, dtype=torch.float64)
    for i in range(16):
        y[:, i] = layer.out.weight[:, :, 0, 0] @ (g @ torch.softmax(theta[:, i] @ phi, 0))
    torch.testing.assert_close(layer(x)[0].reshape(8, 16), flat + y)


def test_weights_have_unit_norm():
    for network in build("biggan-digits", channels=8):
        for layer in network.modules():
            if hasattr(layer, "parametrizations"):
                assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("options", "named"), [({"z_dim": 7}, "z_dim"), ({"multipliers": (2, 1)}, "multipliers")])
def test_bad_configurations(options, named):
    with pytest.raises(ValueError, match=named):
        build("biggan-digits", **options)
