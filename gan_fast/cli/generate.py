"""gan-fast generate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import nn


def generate(
    run: Annotated[str, typer.Argument(help="Run folder, checkpoint file of any dialect, or 'latest'.")] = "latest",
    seeds: Annotated[str, typer.Option(help="Seeds: a number, a range, or a list of both: 0-7,20.")] = "0-9",
    classes: Annotated[
        str | None, typer.Option("--classes", "--class", help="Classes by name, or ranges of numbers; all if absent.")
    ] = None,
    psi: Annotated[float, typer.Option(help="Truncation: 1 gives full variety, 0 each class's mean image.")] = 1.0,
    grid: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLS", help="Shape of the grid; a row a class if absent.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="PNG file; RUN/generated.png if absent. Replaced if there.")] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Write one PNG an image, unscaled, into the folder OUT.")
    ] = False,
) -> None:
    """Draw images with a trained generator (its moving average) into a PNG.

    An image depends on its seed, class and psi alone: the same seed gives the same style across classes.

    **Examples**

    gan-fast generate runs/00000-digits

    gan-fast generate runs/00000-digits --classes 3 --psi 0.7

    gan-fast generate latest --classes 0-4 --seeds 0-15 --out fours.png

    gan-fast generate latest --seeds 0-99 --classes 7 --separate --out sevens
    """
    seed_list = _numbers("--seeds", seeds)
    shape = _shape(grid)
    if not 0 <= psi <= 2:
        raise ValueError(f"--psi: expected a number from 0 to 2, got {psi}")

    import torch

    from gan_fast.training import latest_run
    from gan_fast.training import sample as sampling

    path = latest_run() if run == "latest" else Path(run)
    generator, class_names = _generator(path)
    class_list = _classes(classes, class_names if generator.c_dim else ())
    count = len(seed_list) * len(class_list)
    if shape is not None and shape[0] * shape[1] < count:
        raise ValueError(f"--grid: {shape[0]}x{shape[1]} has no place for {count} images")
    columns = shape[1] if shape else len(seed_list) if len(class_list) > 1 else _near_square(len(seed_list))
    labels = torch.tensor(class_list).repeat_interleave(len(seed_list))
    images = sampling.draw(generator, seed_list * len(class_list), labels, psi)

    folder = path if path.is_dir() else path.parent
    if separate:
        out = out or folder / "generated"
        out.mkdir(parents=True, exist_ok=True)
        for image, seed, label in zip(images, seed_list * len(class_list), labels.tolist(), strict=True):
            name = f"seed{seed:06d}-{class_names[label]}.png" if generator.c_dim else f"seed{seed:06d}.png"
            sampling.save_png(sampling.grid(image[None], 1, min_side=1), out / name)
        typer.echo(f"{count} images are in {out}")
        return
    out = out or folder / "generated.png"
    if shape is not None:
        padded = torch.full((shape[0] * shape[1], *images.shape[1:]), -1.0)
        padded[:count] = images
        images = padded
    out.parent.mkdir(parents=True, exist_ok=True)
    sampling.save_png(sampling.grid(images, columns), out)
    typer.echo(f"{count} images are in {out}")


def _generator(path: Path) -> tuple[nn.Module, Sequence[str]]:
    if path.is_file():
        from gan_fast.compat import checkpoints

        model = checkpoints.load(path, discriminator=False)
        if model.generator is None:
            raise ValueError(f"{path} holds no generator")
        return model.generator, model.class_names
    from gan_fast.training import load_generator

    generator, checkpoint = load_generator(path)
    return generator, checkpoint.class_names


def _numbers(option: str, text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f"{option}: expected numbers and ranges such as 0-7,20, got {text!r}")
        numbers += range(first, last + 1)
    return numbers


def _classes(text: str | None, names: Sequence[str]) -> list[int]:
    if not names:
        if text is not None:
            raise ValueError("--classes: this generator was trained without classes")
        return [0]
    if text is None:
        return list(range(len(names)))
    chosen: list[int] = []
    for part in text.split(","):
        chosen += [names.index(part.strip())] if part.strip() in names else _numbers("--classes", part)
    if max(chosen) >= len(names):
        raise ValueError(f"--classes: there are {len(names)} ({', '.join(names)}), got {text!r}")
    return chosen


def _shape(grid: str | None) -> tuple[int, int] | None:
    if grid is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", grid)
    if not match:
        raise ValueError(f"--grid: expected ROWSxCOLS such as 4x8, got {grid!r}")
    return int(match[1]), int(match[2])


def _near_square(n: int) -> int:
    return next(c for c in range(1, n + 1) if c * c >= n)
