"""A generator as one file for other runtimes: torch.export and ONNX, of PyTorch's own ops, for any batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_fast.compat import checkpoints
from gan_fast.compat.pickles import CheckpointError
from gan_fast.ops import use_backend
from gan_fast.training.checkpoint import write_atomically

FORMATS = (".safetensors", ".pt2", ".onnx")


class Images(nn.Module):
    """images = G(z, c) with the stored noise and one truncation: what an exported file computes.

    Shapes: z [N, z_dim], c [N, c_dim] (generators with labels only) -> [N, img_channels, H, W], about [-1, 1].
    """

    def __init__(self, generator: checkpoints.Generator, psi: float = 1.0):
        super().__init__()
        self.generator, self.psi = generator.eval(), psi

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.generator(z, c, self.psi, noise_mode="const")


def export(path: str | Path, generator: checkpoints.Generator, *, psi: float = 1.0) -> float:
    """Write a generator in the format of the path's suffix, read the file again and compare its images.

        .safetensors    weights, with the configuration in the metadata: `gan_fast.load` reads it
        .pt2            torch.export: torch.export.load(path).module()(z, c), without gan_fast
        .onnx           ONNX: inputs z and c, output images; takes the packages onnx and onnxscript

    Args:
        path: the file; replaced if there.
        generator: on the CPU, in float32.
        psi: truncation, which the file keeps; 1 for safetensors.

    Returns the largest difference between the file's images and the generator's, as a share of the largest pixel, over
    batches of 1 and 3; ONNX files are run by onnxruntime.

    Raises:
        ValueError: the suffix is another one, psi is not 1 with .safetensors, or a package is missing.
        CheckpointError: the images differ by more than 1e-4.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"path: got {path.name!r}, takes one that ends in {', '.join(FORMATS)}")
    if path.suffix == ".safetensors" and psi != 1:
        raise ValueError(f"psi: got {psi}, takes 1 with .safetensors, which keeps weights alone")
    model = Images(generator, psi)
    run = {".safetensors": _safetensors, ".pt2": _torch_export, ".onnx": _onnx}[path.suffix](path, model)
    with torch.no_grad():
        error = 0.0
        for n in (1, 3):
            inputs = _inputs(generator, n)
            true = model(*inputs)
            error = max(error, float((run(*inputs) - true).abs().max() / true.abs().max()))
    if not error <= 1e-4:
        raise CheckpointError(f"{path}: its images differ from the generator's by {error:.1e} of their range")
    return error


def _safetensors(path: Path, model: Images) -> nn.Module:
    checkpoints.save(path, model.generator)
    return Images(checkpoints.load(path).generator, model.psi)


def _torch_export(path: Path, model: Images) -> nn.Module:
    program = _traced(model)
    write_atomically(path, lambda file: torch.export.save(program, file))
    return torch.export.load(path).module()


def _onnx(path: Path, model: Images) -> Callable[..., Tensor]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{path}: ONNX needs {error.name}: pip install 'gan-fast[export]'") from None
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(_traced(model), dynamo=True, verbose=False)
    for value, name in zip(program.model.graph.inputs, ("z", "c"), strict=False):
        value.name = name
    program.model.graph.outputs[0].name = "images"
    write_atomically(path, lambda file: file.write(program.model_proto.SerializeToString()))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        names = [value.name for value in session.get_inputs()]
        (images,) = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        return torch.from_numpy(images)

    return run


def _traced(model: Images) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=2**16)
    inputs = _inputs(model.generator, 2)
    with use_backend("reference"), torch.no_grad():
        return torch.export.export(model, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))


def _inputs(generator: checkpoints.Generator, n: int) -> tuple[Tensor, ...]:
    z = torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(n))
    return (z, torch.eye(generator.c_dim)[torch.arange(n) % generator.c_dim]) if generator.c_dim else (z,)
