"""Exported generators give the images of the generator, for any batch."""

import pytest
import torch

import gan_fast
from gan_fast.compat.export import export
from gan_fast.models import stylegan2


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return stylegan2.build("digits", img_resolution=8, channel_max=8)[0].requires_grad_(False)


def inputs(n):
    return torch.randn(n, 64), torch.eye(10)[torch.arange(n) % 10]


def test_onnx_with_any_batch(generator, tmp_path):
    reason = "ONNX's packages are for development: `make test` installs them, a GPU machine may lack them"
    pytest.importorskip("onnxscript", reason=reason)
    onnxruntime = pytest.importorskip("onnxruntime", reason=reason)
    assert export(tmp_path / "g.onnx", generator, psi=0.5) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]
    for n in (1, 7):
        z, c = inputs(n)
        (images,) = session.run(["images"], {"z": z.numpy(), "c": c.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(images), generator(z, c, 0.5, noise_mode="const"), rtol=1e-4, atol=1e-5
        )


def test_torch_export_runs_without_our_ops(generator, tmp_path):
    assert export(tmp_path / "g.pt2", generator) < 1e-5
    program = torch.export.load(tmp_path / "g.pt2")
    assert not [node for node in program.graph.nodes if "gan_fast" in str(node.target)]
    z, c = inputs(7)
    torch.testing.assert_close(program.module()(z, c), generator(z, c, noise_mode="const"), rtol=1e-4, atol=1e-5)


def test_safetensors_is_read_again(generator, tmp_path):
    assert export(tmp_path / "g.safetensors", generator) == 0
    assert gan_fast.load(tmp_path / "g.safetensors").config.c_dim == 10


def test_what_cannot_be_exported_is_named(generator, tmp_path):
    with pytest.raises(ValueError, match=r"'g\.pb', takes one that ends in \.safetensors, \.pt2, \.onnx"):
        export(tmp_path / "g.pb", generator)
    with pytest.raises(ValueError, match=r"psi: got 0\.5"):
        export(tmp_path / "g.safetensors", generator, psi=0.5)
    assert not list(tmp_path.iterdir())
