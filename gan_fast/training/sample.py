"""Images from a generator, repeatable from seeds, and grids of them."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from gan_fast import latents
from gan_fast.data import to_uint8
from gan_fast.training.checkpoint import write_atomically

GAP, GREY = 2, 96
VIDEO_SUFFIXES = (".mp4", ".webp", ".gif")


def draw(generator: nn.Module, seeds: Sequence[int], labels: Tensor, psi: float = 1.0) -> Tensor:
    """Images [N, C, H, W] on the CPU for N seeds and N classes; an image depends on its seed, class and psi alone.

    Truncation draws w towards the mean w of its own class: w <- m_c + psi (w - m_c), with m_c over 512 fixed z. (The
    mean over all classes, which `w_avg` holds, would draw every class towards one and the same image.)

    Args:
        generator: takes z [N, z_dim] and c [N, c_dim]; without a mapping w is both (`latents.style_based`).
        seeds: N whole numbers.
        labels: int64 [N], or with psi = 1 vectors [N, c_dim]; ignored where the generator takes no labels.
        psi: 1 leaves w as it is, 0 gives each class's mean image.
    """
    generator = latents.style_based(generator)
    return latents.render(generator, latents.seeded_ws(generator, seeds, labels, psi))


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


def encode_animation(frames: Sequence[Image.Image], suffix: str, fps: int = 24) -> bytes:
    """The bytes of an animation of frames of one size, which plays in a loop: .mp4, .webp (lossless) or .gif."""
    if suffix == ".mp4":
        import imageio.v3
        import numpy as np

        # Colour at half the resolution is what every player takes, hence sides that are even.
        even = [
            np.asarray(f.convert("RGB").crop((0, 0, f.width + f.width % 2, f.height + f.height % 2))) for f in frames
        ]
        options = {"plugin": "FFMPEG", "extension": ".mp4", "fps": fps, "macro_block_size": 2}
        return imageio.v3.imwrite("<bytes>", np.stack(even), **options)
    data = io.BytesIO()
    options = {"append_images": frames[1:], "duration": round(1000 / fps), "loop": 0, "lossless": True}
    frames[0].save(data, suffix[1:], save_all=True, **options)
    return data.getvalue()


def save_animation(frames: Sequence[Image.Image], path: Path, fps: int = 24) -> None:
    """Write `encode_animation` of the path's suffix, atomically; `check_animation` says what can be written."""
    check_animation(path)
    data = encode_animation(frames, path.suffix, fps)
    write_atomically(path, lambda file: file.write(data))


def check_animation(path: Path) -> None:
    """Raise, before any frame is drawn, ValueError for another suffix, or for .mp4 where imageio is not installed."""
    if path.suffix not in VIDEO_SUFFIXES:
        raise ValueError(f"{path}: an animation is written as {', '.join(VIDEO_SUFFIXES)}")
    if path.suffix == ".mp4" and not has_video():
        raise ValueError(f"{path}: video needs imageio and ffmpeg: pip install 'gan-fast[lab]'; or write a .webp")


def has_video() -> bool:
    """Whether .mp4 can be written: imageio-ffmpeg, an extra, is installed."""
    return importlib.util.find_spec("imageio") is not None and importlib.util.find_spec("imageio_ffmpeg") is not None
