"""gan-fast convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Checkpoint of any dialect.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write. Replaced if there.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="gan_fast (.safetensors), ada (.pkl), rosinality (.pt), basicsr (.pth), gfpgan, mmgen or lucidrains."
        ),
    ] = None,
    discriminator: Annotated[bool, typer.Option(help="Take the discriminator along.")] = True,
) -> None:
    """Write a StyleGAN2 or StyleGAN3 checkpoint in another format.

    Nothing in IN is executed. OUT is read again, and its images must be those of IN; otherwise the exit code is 2.

    **Examples**

    gan-fast convert ffhq.pkl ffhq.safetensors

    gan-fast convert 550000.pt ffhq.pth --to mmgen

    gan-fast convert afhq.pkl afhq.pt --no-discriminator
    """
    from gan_fast.compat import checkpoints

    model, error = checkpoints.convert(source, target, dialect=to, discriminator=discriminator)
    networks = {"the generator": model.generator, "the one in training": model.trained, "D": model.discriminator}
    written = ", ".join(name for name, module in networks.items() if module is not None)
    typer.echo(f"{target} ({model.dialect}) holds {written}; its images differ from {source}'s by {error:.1e}")
    typer.echo(f"Next: gan-fast generate {target}" if model.generator else f"Next: gan-fast inspect {target}")
