"""The generator outside eager mode: torch.compile, torch.export and ONNX give the images that eager gives."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_fast.models import stylegan2
from gan_fast.ops import use_backend


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


def test_onnx_with_any_batch(model: Fixed, tmp_path: Path) -> None:
    """ONNX knows PyTorch's ops only, which backend "reference" is made of."""
    reason = "ONNX's packages are for development: `make test` installs them, a GPU machine may lack them"
    pytest.importorskip("onnxscript", reason=reason)
    onnxruntime = pytest.importorskip("onnxruntime", reason=reason)
    path = tmp_path / "generator.onnx"
    with use_backend("reference"), torch.no_grad():
        torch.onnx.export(model, latents(3), path, dynamic_shapes=dynamic_batch(), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    for n in (1, 3, 7):
        names = [i.name for i in session.get_inputs()]
        (y,) = session.run(None, {name: t.numpy() for name, t in zip(names, latents(n), strict=True)})
        torch.testing.assert_close(torch.from_numpy(y), model(*latents(n)).detach(), rtol=1e-4, atol=1e-5)
