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
    out: Annotated[Path | None, typer.Option(help="JSON file; metrics.json beside the checkpoint if absent.")] = None,
) -> None:
    """Measure a trained generator: Frechet and kernel distance, precision, recall, density, coverage.

    Beside each value stands what real images get when one half of them is measured against the other. Everything runs
    in a local feature space: the digit classifier that ships with gan_fast, fixed filters for other images, or your own
    network (--detector). Values of different feature spaces cannot be compared.

    **Examples**

    gan-fast metrics

    gan-fast metrics runs/00003-photos --samples 5000

    gan-fast metrics ffhq.pkl --data ffhq-256.zip --detector inception-2015-12-05.pt
    """
    import json

    import torch
    from rich.console import Console
    from torch import Tensor

    from gan_fast import latents
    from gan_fast.data import open_data
    from gan_fast.metrics import ImageMetrics, load_detector, metrics_for
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
    real, _ = open_data(source, height, channels, crop=settings.get("crop", "center"))
    if detector is None:
        measure = metrics_for(source, real, samples)
    else:
        measure = ImageMetrics(real, samples, load_detector(detector), detector.stem, "the detector's own")

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
    record = {"generator": trained.source, "data": source, **scores}
    record |= {"protocol": measure.protocol, "real_halves": measure.real_halves}
    out = out or trained.folder / "metrics.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda file: file.write(json.dumps(record, indent=1).encode()))
    console = Console(highlight=False)
    console.print(options.scores_table(trained.source, {"generated": scores, "real halves": measure.real_halves}))
    console.print(options.protocol_line(measure.protocol), soft_wrap=True)
    console.print(f"The values and their protocol are in {out}", soft_wrap=True)
    console.print(f"Next: gan-fast explore {run} --html explorer.html", soft_wrap=True)
