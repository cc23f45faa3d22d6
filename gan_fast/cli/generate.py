"""gan-fast generate."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_fast.cli import options

if TYPE_CHECKING:
    from torch import nn


class Kind(enum.StrEnum):
    grid = "grid"
    mixing = "mixing"
    video = "video"
    png = "png"
    npz = "npz"


def generate(
    run: options.Run = "latest",
    kind: Annotated[Kind, typer.Option("--as", help="What to make of the images; see above.")] = Kind.grid,
    seeds: Annotated[str, typer.Option(help="Seeds: a number, a range, or a list of both: 0-7,20.")] = "0-9",
    classes: Annotated[
        str | None, typer.Option("--classes", "--class", help="Classes by name, or ranges of numbers; all if absent.")
    ] = None,
    psi: Annotated[
        str,
        typer.Option(help="Truncation: 1 gives full variety, 0 each class's mean image. A grid takes a list: a sweep."),
    ] = "1",
    grid: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLS", help="Shape of the grid; a row a class if absent.")
    ] = None,
    styles: Annotated[str, typer.Option(help="mixing: seeds of the columns, which lend their styles.")] = "10-19",
    layers: Annotated[
        str | None, typer.Option(help="mixing: the layers lent, 0 the coarsest; the finer half if absent.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="video: steps from one seed to the next.")] = 24,
    fps: Annotated[int, typer.Option(min=1, help="video: steps a second.")] = 24,
    out: Annotated[
        Path | None, typer.Option(help="File, or folder for png and npz; beside the checkpoint if absent.")
    ] = None,
) -> None:
    """Draw images with a trained generator (its moving average).

    An image depends on its seed, class and psi alone: the same seed gives the same style across classes.

    --as **grid**: one picture, a row a class; with several --psi a row an image, a column a psi.\n
    --as **mixing**: every row's image with the styles of every column's in some layers.\n
    --as **video**: a closed walk through the seeds, a cell a class; .mp4, .webp or .gif.\n
    --as **png**, **npz**: any number of images into a folder; if stopped, the same command goes on where it was.

    **Examples**

    gan-fast generate latest --classes 3 --psi 0.7

    gan-fast generate latest --classes 0-4 --seeds 0-15 --out fours.png

    gan-fast generate latest --classes 8 --seeds 0-4 --psi 0,0.25,0.5,0.75,1

    gan-fast generate latest --as mixing --seeds 0-5 --styles 10-15 --layers 0-1

    gan-fast generate latest --as video --seeds 0-5 --out walk.webp

    gan-fast generate latest --as npz --seeds 0-4999 --out samples
    """
    seed_list, psis = options.numbers("--seeds", seeds), _psis(psi)
    shape = _shape(grid)
    if len(psis) > 1 and (kind is not Kind.grid or shape):
        raise ValueError("--psi: several values make a sweep, for --as grid without --grid; give one")
    if shape and kind is not Kind.grid:
        raise ValueError(f"--grid: --as {kind} has a shape of its own")

    trained = options.load(run)
    generator = trained.generator
    class_list = options.classes("--classes", classes, trained.class_names)
    out = out or trained.folder / _default_name(kind)
    if kind in (Kind.png, Kind.npz):
        jobs = [(seed, label) for label in class_list for seed in seed_list]
        said = _samples(trained, jobs, psis[0], kind, out)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        if kind is Kind.grid:
            said = _grid(generator, seed_list, class_list, psis, shape, out)
        elif kind is Kind.mixing:
            style_list = options.numbers("--styles", styles)
            layer_list = None if layers is None else options.numbers("--layers", layers)
            said = _mixing(generator, seed_list, style_list, class_list, psis[0], layer_list, out)
        else:
            said = _video(generator, seed_list, class_list, psis[0], frames, fps, out)
    typer.echo(f"{said} {out}")
    typer.echo(f"Next: gan-fast explore {run} --html explorer.html")


def _grid(
    generator: nn.Module,
    seeds: list[int],
    classes: list[int],
    psis: list[float],
    shape: tuple[int, int] | None,
    out: Path,
) -> str:
    import torch

    from gan_fast.training import sample

    labels = torch.tensor(classes).repeat_interleave(len(seeds))
    count = len(labels)
    if shape and shape[0] * shape[1] < count:
        raise ValueError(f"--grid: {shape[0]}x{shape[1]} has no place for {count} images")
    images = torch.stack([sample.draw(generator, seeds * len(classes), labels, psi) for psi in psis], 1).flatten(0, 1)
    if shape:
        padded = torch.full((shape[0] * shape[1], *images.shape[1:]), -1.0)
        padded[:count] = images
        images, columns = padded, shape[1]
    elif len(psis) > 1:
        columns = len(psis)
    else:
        columns = len(seeds) if len(classes) > 1 else _near_square(len(seeds))
    sample.save_png(sample.grid(images, columns), out)
    return f"{count * len(psis)} images are in"


def _mixing(
    generator: nn.Module,
    seeds: list[int],
    styles: list[int],
    classes: list[int],
    psi: float,
    layers: list[int] | None,
    out: Path,
) -> str:
    import torch

    from gan_fast import latents
    from gan_fast.training import sample

    generator = latents.style_based(generator)
    layers = list(range(generator.num_ws // 2, generator.num_ws)) if layers is None else layers
    if max(layers) >= generator.num_ws:
        raise ValueError(f"--layers: this generator has 0-{generator.num_ws - 1}, got {max(layers)}")
    rows, columns = (
        latents.seeded_ws(generator, some, torch.tensor([classes[i % len(classes)] for i in range(len(some))]), psi)
        for some in (seeds, styles)
    )
    mixed = latents.mix(rows[:, None], columns[None], layers)
    table = torch.cat([rows[:, None], mixed], 1).flatten(0, 1)
    images = latents.render(generator, torch.cat([columns, table]))
    corner = torch.full_like(images[:1], -1)
    sample.save_png(sample.grid(torch.cat([corner, images]), len(styles) + 1), out)
    return f"{len(seeds)} images with the styles of {len(styles)} others in layers {layers} are in"


def _video(
    generator: nn.Module, seeds: list[int], classes: list[int], psi: float, frames: int, fps: int, out: Path
) -> str:
    import torch

    from gan_fast import latents
    from gan_fast.training import sample

    sample.check_animation(out)
    generator = latents.style_based(generator)
    z = latents.walk(latents.seeded_z(generator, seeds), frames)
    ws = torch.stack([latents.class_ws(generator, z, torch.full((len(z),), label), psi) for label in classes], 1)
    columns = _near_square(len(classes))
    with options.progress(len(ws), "frames") as report:
        pictures = []
        for cells in ws:
            images = latents.render(generator, cells)
            pictures.append(sample.grid(images, columns, min_side=256 // columns))
            report(len(pictures))
    sample.save_animation(pictures, out, fps)
    return f"{len(pictures)} frames, {len(pictures) / fps:.1f} s in a loop, are in"


def _samples(trained: options.Trained, jobs: list[tuple[int, int]], psi: float, kind: Kind, out: Path) -> str:
    from gan_fast.training.sample_set import write_samples

    with options.progress(len(jobs), "images") as report:
        drawn = write_samples(
            trained.generator,
            jobs,
            out,
            kind.value,
            class_names=trained.class_names,
            psi=psi,
            source=f"{trained.source} in {trained.folder.resolve()}",
            report=report,
        )
    return f"{len(jobs)} images ({drawn} of them new) are in"


def _default_name(kind: Kind) -> str:
    from gan_fast.training.sample import has_video

    if kind is Kind.video:
        return "walk.mp4" if has_video() else "walk.webp"
    return {Kind.grid: "generated.png", Kind.mixing: "mixing.png", Kind.png: "generated", Kind.npz: "samples"}[kind]


def _psis(text: str) -> list[float]:
    try:
        psis = [float(part) for part in text.split(",")]
    except ValueError:
        psis = [-1.0]
    if not all(0 <= psi <= 2 for psi in psis):
        raise ValueError(f"--psi: expected numbers from 0 to 2, got {text!r}")
    return psis


def _shape(grid: str | None) -> tuple[int, int] | None:
    if grid is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", grid)
    if not match:
        raise ValueError(f"--grid: expected ROWSxCOLS such as 4x8, got {grid!r}")
    return int(match[1]), int(match[2])


def _near_square(n: int) -> int:
    return next(c for c in range(1, n + 1) if c * c >= n)
