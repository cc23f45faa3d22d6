"""gan-fast export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Checkpoint of any dialect.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .onnx, .pt2 or .safetensors.")],
    psi: Annotated[float, typer.Option(help="Truncation that the file keeps: 1 gives full variety.")] = 1.0,
) -> None:
    """Write a checkpoint's generator for other runtimes: ONNX, torch.export, safetensors.

    OUT takes z (and labels) for any batch and gives images with the stored noise. It is run (ONNX by onnxruntime) and
    its images must be the generator's.

    **Examples**

    gan-fast export ffhq.pkl ffhq.onnx --psi 0.7

    gan-fast export runs/00000-digits/checkpoint-00001500.safetensors digits.pt2
    """
    from gan_fast.compat import checkpoints
    from gan_fast.compat.export import export as write

    generator = checkpoints.load(source, discriminator=False).generator
    if generator is None:
        raise ValueError(f"{source} holds no generator")
    error = write(target, generator, psi=psi)
    typer.echo(f"{target}: its images differ from the generator's by {error:.1e} of their range")
    uses = {
        ".onnx": f"onnxruntime.InferenceSession({target.name!r}).run(None, {{'z': z}})",
        ".pt2": f"torch.export.load({target.name!r}).module()(z)",
        ".safetensors": f"gan_fast.load({target.name!r}).generator(z)",
    }
    typer.echo(f"Next, in Python: {uses[target.suffix]}")
