"""Perceptual path length: how far images move, as an eye would have it, for a small step of w."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_fast import latents
from gan_fast.data import seeded_generator

EPSILON = 1e-4
LARGEST = 256
KEPT_SHARE = 0.98

Distance = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def perceptual_path_length(
    generator: nn.Module, labels: Tensor, distance: Distance, report: Callable[[int], None] = lambda done: None
) -> float:
    """Mean of d(g(w), g(w + eps (w' - w))) / eps^2 over pairs w, w' of one class, eps = 1e-4, ends of paths only.

    The lowest and the highest 1 % of the values are left out. Both images have the generator's own noise planes.

    Args:
        generator: without a mapping, z and c stand for w (`latents.style_based`).
        labels: int64 [N], or vectors [N, c_dim]: one for each pair.
        distance: images [n, C, H, W] in [-1, 1], float32 on the generator's device -> [n].
        report: called with the number of pairs done.

    Source: Karras et al., arXiv 1812.04948, section 4.1; as "ppl2_wend" of StyleGAN2-ADA's release measures it.
    """
    generator = latents.style_based(generator)
    random = seeded_generator(0, 0, "path length")
    device = next(generator.parameters()).device
    found: list[Tensor] = []
    for part in labels.split(latents.CHUNK):
        z = torch.randn(2, len(part), generator.z_dim, generator=random).to(device)
        start, end = (latents.class_ws(generator, ends, part) for ends in z)
        pair = [latents.synthesise(generator, ws).float() for ws in (start, start.lerp(end, EPSILON))]
        found.append(distance(*pair).double().cpu() / EPSILON**2)
        report(sum(map(len, found)))
    lengths = torch.cat(found).sort().values
    cut = int(len(lengths) * (1 - KEPT_SHARE) / 2)
    return float(lengths[cut : len(lengths) - cut].mean())


def load_perceptual(path: str | Path, device: torch.device) -> Distance:
    """The squared distance of a network's features, from a TorchScript file: RGB in 0..255 [N, 3, H, W] -> [N, K].

    The published path lengths use such a file of VGG-16, called with `resize_images=False, return_lpips=True`, which
    scales its features so that this is LPIPS. Images whose side is a multiple of 256 are brought to 256 first, by
    means; grey ones are shown as RGB.

    Raises:
        ValueError: the file cannot be read as TorchScript.
    """
    network = load_script("perceptual", path, device)
    known = str(network.forward.schema)
    options = {name: value for name, value in (("resize_images", False), ("return_lpips", True)) if name in known}

    def features(x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) + 1) * 127.5
        if (factor := x.shape[2] // LARGEST) > 1:
            x = F.avg_pool2d(x, factor)
        return network(x, **options).float().flatten(1)

    return lambda a, b: (features(a) - features(b)).square().sum(1)


def load_script(option: str, path: str | Path, device: torch.device) -> torch.jit.ScriptModule:
    """A TorchScript file, in eval mode. Raises ValueError, which names the option, for any other file."""
    try:
        return torch.jit.load(path, map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{option}: {path} is no TorchScript file: {str(error).splitlines()[0]}") from None
