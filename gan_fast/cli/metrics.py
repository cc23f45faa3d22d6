"""gan-fast metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gan_fast.cli import options


def metrics(
    run: options.Run = "latest",
    data: Annotated[
        str | None, typer.Option(help="Real images, as of gan-fast train; the run's own if absent.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=6, help="Images of the generator, and of each half of the real ones; digits: always 896.")
    ] = 2000,
    detector: Annotated[
        Path | None, typer.Option(help="TorchScript file of a feature network, such as Inception's for FID.")
    ] = None,
    inception_score: Annotated[
        bool, typer.Option("--is", help="Also the inception score, by the classes that the detector knows.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Against all real images, as published scores are, not against half.")
    ] = False,
    ppl: Annotated[int, typer.Option(min=0, help="Pairs for the perceptual path length; 0: without it.")] = 0,
    perceptual: Annotated[
        Path | None, typer.Option(help="TorchScript file for --ppl, such as LPIPS; if absent, pixels and edges.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file; metrics.json beside the checkpoint if absent.")] = None,
) -> None:
    """Measure a trained generator: Frechet and kernel distance, precision, recall, density, coverage; IS, PPL if asked.

    Beside each value stands what real images get when one half of them is measured against the other. Everything runs
    in a local feature space: the digit classifier that ships with gan_fast, fixed filters for other images, or your own
    network (--detector). Values of different feature spaces cannot be compared.

    **Examples**

    gan-fast metrics

    gan-fast metrics runs/00003-photos --samples 5000

    gan-fast metrics latest --ppl 2000

    gan-fast metrics ffhq.pkl --data ffhq-256.zip --detector inception-2015-12-05.pt --is --whole --samples 50000

    gan-fast metrics ffhq.pkl --data ffhq-256.zip --ppl 50000 --perceptual vgg16.pt
    """
    import json

    import torch
    from rich.console import Console
    from torch import Tensor

    from gan_fast import latents
    from gan_fast.data import open_data
    from gan_fast.metrics import (
        ImageMetrics,
        load_classifier,
        load_detector,
        load_perceptual,
        metrics_for,
        perceptual_path_length,
    )
    from gan_fast.projection import image_distance
    from gan_fast.training import sample
    from gan_fast.training.checkpoint import write_atomically

    trained = options.load(run)
    generator, settings = trained.generator, trained.settings
    source = data or settings.get("data")
    if source is None:
        raise ValueError(f"--data: {run} does not say what images it was trained on")
    _, channels, height, width = sample.draw(generator, [0], torch.zeros(1, dtype=torch.int64)).shape
    if height != width:
        raise ValueError(f"metrics: images are compared with squares, and this generator draws {width}x{height}")
    if detector is None and (inception_score or whole):
        raise ValueError("--is, --whole: published protocols, which take a --detector")
    device = next(generator.parameters()).device
    distance = image_distance if perceptual is None else load_perceptual(perceptual, device)
    real, _ = open_data(source, height, channels, crop=settings.get("crop", "center"))
    if detector is None:
        measure = metrics_for(source, real, samples)
    else:
        classify = load_classifier(detector, device) if inception_score else None
        features = load_detector(detector, device)
        measure = ImageMetrics(real, samples, features, detector.stem, "the detector's own", classify, whole)

    labels = measure.labels
    if real.c_dim != generator.c_dim:  # then the data do not say which classes to ask for: all of them
        labels = torch.arange(len(labels)) % max(generator.c_dim, 1)

    def draw() -> Iterator[Tensor]:
        with options.progress(len(labels), "images") as report:
            for first in range(0, len(labels), latents.CHUNK):
                part = labels[first : first + latents.CHUNK]
                yield sample.draw(generator, range(first, first + len(part)), part)
                report(first + len(part))

    scores = measure(draw(), labels if generator.c_dim else None)
    protocol = dict(measure.protocol)
    if ppl:
        with options.progress(ppl, "pairs") as report:
            pairs = labels[torch.arange(ppl) % len(labels)]
            name = f"ppl_{perceptual.stem if perceptual else 'image'}"
            scores[name] = perceptual_path_length(generator, pairs, distance, report)
        protocol["ppl"] = f"{ppl} pairs, in w, ends, epsilon 1e-4, without the outer 1 % on each side, constant noise"
    record = {"generator": trained.source, "data": source, **scores}
    record |= {"protocol": protocol, "real_halves": measure.real_halves}
    out = out or trained.folder / "metrics.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda file: file.write(json.dumps(record, indent=1).encode()))
    console = Console(highlight=False)
    console.print(options.scores_table(trained.source, {"generated": scores, "real halves": measure.real_halves}))
    if ppl:
        value = f"{name.replace('ppl', 'PPL')}: {scores[name]:.4g}"
        console.print(f"{value} ({protocol['ppl']}); lower is smoother.", soft_wrap=True)
    console.print(options.protocol_line(protocol), soft_wrap=True)
    console.print(f"The values and their protocol are in {out}", soft_wrap=True)
    console.print(f"Next: gan-fast explore {run} --html explorer.html", soft_wrap=True)
