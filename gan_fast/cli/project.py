"""gan-fast project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gan_fast.cli import options

FILM_FRAMES, FILM_FPS, SIDE = 60, 20, 192


def project(
    image: Annotated[Path, typer.Argument(help="Image file; its centred square is brought to the generator's size.")],
    run: options.Run = "latest",
    space: Annotated[str, typer.Option(help="w, or w+: a w for each layer, nearer but less typical.")] = "w",
    steps: Annotated[int, typer.Option(help="Steps of the search; 1000 in the paper.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the search.")] = 0,
    class_: Annotated[
        str | None, typer.Option("--class", help="Class whose mean the search starts from; the nearest if absent.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; projected-IMAGE beside the checkpoint if absent.")] = None,
) -> None:
    """Find the w, and the noise, from which a trained generator draws an image.

    The folder gets **w.npz** (ws, the noise planes, label and the distance at each step), **projected.png** (the image
    beside what was found) and **search.webp** (the search as an animation). The distance compares pixels and edges at
    every scale, so that no other network is needed.

    **Examples**

    gan-fast project digit.png

    gan-fast project face.jpg runs/00007-faces --space w+ --steps 500
    """
    import numpy as np
    import torch

    from gan_fast import projection
    from gan_fast.training import sample
    from gan_fast.training.checkpoint import write_atomically

    trained = options.load(run)
    label = None
    if class_ is not None:
        label, *more = options.classes("--class", class_, trained.class_names)
        if more:
            raise ValueError(f"--class: expected one class, got {class_!r}")
    target = projection.read_target(trained.generator, image.read_bytes(), str(image))
    with options.progress(steps, "steps") as report:
        found = projection.project(
            trained.generator,
            target,
            space=space,
            steps=steps,
            seed=seed,
            label=label,
            report=lambda done, distance: report(done, f"distance {distance:.5f}"),
        )
    out = out or trained.folder / f"projected-{image.stem}"
    out.mkdir(parents=True, exist_ok=True)
    arrays = {f"noise.{name}": plane.cpu().numpy() for name, plane in found.noise.items()}
    arrays |= {"ws": found.ws.cpu().numpy(), "label": np.array(found.label), "distances": found.distances.numpy()}
    write_atomically(out / "w.npz", lambda file: np.savez(file, **arrays))
    sample.save_png(sample.grid(torch.stack([target, found.image]), 2, SIDE), out / "projected.png")
    frames = projection.film(trained.generator, found, min(steps, FILM_FRAMES))
    pictures = [sample.grid(torch.stack([target, frame]), 2, SIDE) for frame in frames]
    sample.save_animation(pictures, out / "search.webp", FILM_FPS)
    difference = (found.image - target).square().mean().sqrt() / 2
    start = f", from the mean of class {trained.class_names[found.label]}" if trained.class_names else ""
    typer.echo(f"Distance {found.distances[0]:.5f} -> {found.distances[-1]:.5f} in {steps} steps{start}")
    typer.echo(f"Root mean square difference of pixels: {difference:.1%} of the range from black to white")
    typer.echo(f"w.npz, projected.png and search.webp are in {out}")
    typer.echo(f"Next: gan-fast explore {run} --html explorer.html --image {image}")
