"""The generator outside eager mode: torch.compile and torch.export give the images that eager gives.

Files for other runtimes, ONNX among them: tests/compat/test_export.py.
"""

import pytest
import torch
from torch import Tensor, nn

from gan_fast.models import stylegan2


class Fixed(nn.Module):
    """G with the stored noise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.generator, _ = stylegan2.build("digits", img_resolution=8, channel_max=8)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.generator(z, c, noise_mode="const")


@pytest.fixture(scope="module")
def model() -> Fixed:
    return Fixed().eval()


def latents(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, 64, generator=generator), torch.eye(10)[torch.arange(n) % 10]


def dynamic_batch() -> tuple[dict, dict]:
    batch = torch.export.Dim("batch", min=1, max=1024)
    return {0: batch}, {0: batch}


def test_compiles_as_one_graph_with_its_gradients(model: Fixed) -> None:
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    results = []
    for function in (model, compiled):
        y = function(*latents(3))
        grads = torch.autograd.grad(y.square().mean(), list(model.parameters()), allow_unused=True)
        results.append([y, *(g for g in grads if g is not None)])
    assert len(results[0]) > 10
    for mine, true in zip(*results, strict=True):
        torch.testing.assert_close(mine, true)


def test_exports_with_any_batch(model: Fixed) -> None:
    with torch.no_grad():
        exported = torch.export.export(model, latents(3), dynamic_shapes=dynamic_batch()).module()
        for n in (1, 3, 7):
            torch.testing.assert_close(exported(*latents(n)), model(*latents(n)))
