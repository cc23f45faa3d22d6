"""Images from a generator, repeatable from seeds, and grids of them."""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from gan_fast.data import seeded_generator, to_uint8
from gan_fast.data.image_set import one_hot
from gan_fast.training.checkpoint import write_atomically

W_SAMPLES = 512
CHUNK = 128
GAP, GREY = 2, 96


@torch.no_grad()
def draw(generator: nn.Module, seeds: Sequence[int], labels: Tensor, psi: float = 1.0) -> Tensor:
    """Images [N, C, H, W] on the CPU for N seeds and N classes; an image depends on its seed, class and psi alone.

    Truncation draws w towards the mean w of its own class: w <- m_c + psi (w - m_c), with m_c over 512 fixed z. (The
    mean over all classes, which `w_avg` holds, would draw every class towards one and the same image.)

    Args:
        generator: takes z [N, z_dim] and c [N, c_dim]; without a mapping psi must be 1.
        seeds: N whole numbers.
        labels: int64 [N]; ignored where the generator takes no labels.
        psi: 1 leaves w as it is, 0 gives each class's mean image.
    """
    if psi != 1 and not hasattr(generator, "mapping"):
        raise ValueError(f"psi: truncation needs a generator with a mapping; this one takes 1, got {psi}")
    device = next(generator.parameters()).device
    noise = _without_chance(generator)
    z = torch.stack([torch.randn(generator.z_dim, generator=seeded_generator(s, 0, "z")) for s in seeds])
    c = one_hot(labels, generator.c_dim)
    images = []
    means: dict[int, Tensor] = {}
    for part in range(0, len(z), CHUNK):
        latents = z[part : part + CHUNK].to(device), c[part : part + CHUNK].to(device)
        if not hasattr(generator, "mapping"):
            images.append(generator(*latents).float().cpu())
            continue
        ws = generator.mapping(*latents)
        if psi != 1:
            keys = labels[part : part + CHUNK].tolist() if generator.c_dim else [0] * len(ws)
            for key in set(keys) - means.keys():
                means[key] = _mean_w(generator, key, device)
            mean = torch.stack([means[key] for key in keys])
            ws = mean.lerp(ws, psi)
        images.append(generator.synthesis(ws, **noise).float().cpu())
    return torch.cat(images)


def _without_chance(generator: nn.Module) -> dict[str, str]:
    """What a synthesis must be told lest it draws noise of its own."""
    synthesis = getattr(generator, "synthesis", None)
    draws = synthesis is not None and "noise_mode" in inspect.signature(synthesis.forward).parameters
    return {"noise_mode": "const"} if draws else {}


def _mean_w(generator: nn.Module, label: int, device: torch.device) -> Tensor:
    z = torch.randn(W_SAMPLES, generator.z_dim, generator=seeded_generator(0, 0, "mean w"))
    c = one_hot(torch.full((W_SAMPLES,), label if generator.c_dim else 0), generator.c_dim)
    return generator.mapping(z.to(device), c.to(device)).mean(0)


def grid(images: Tensor, columns: int, min_side: int = 48) -> Image.Image:
    """Images [N, C, H, W] in [-1, 1], or uint8, row by row, `columns` in a row, with grey lines between them.

    Small images are enlarged by a whole factor until their side reaches `min_side` pixels. Missing places are black.
    """
    if images.dtype != torch.uint8:
        images = to_uint8(images)
    n, channels, h, w = images.shape
    rows = -(-n // columns)
    factor = max(1, -(-min_side // h))
    images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    h, w = h * factor + GAP, w * factor + GAP
    canvas = torch.zeros(rows * columns, channels, h, w, dtype=torch.uint8)
    canvas[:n, :, GAP:, GAP:] = images
    canvas[:, :, :GAP] = GREY
    canvas[:, :, :, :GAP] = GREY
    canvas = (
        canvas.reshape(rows, columns, channels, h, w).permute(0, 3, 1, 4, 2).reshape(rows * h, columns * w, channels)
    )
    canvas = canvas[GAP:, GAP:]
    return Image.fromarray((canvas[..., 0] if channels == 1 else canvas).numpy())


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG, atomically."""
    data = io.BytesIO()
    image.save(data, "png")
    write_atomically(path, lambda file: file.write(data.getvalue()))
