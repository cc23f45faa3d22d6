"""The augmentations of StyleGAN2-ADA: stochastic, differentiable, and not leaking into what G learns."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gan_fast.augment import bands, colour, geometry
from gan_fast.augment.parameters import Parameters
from gan_fast.ops.backends import outside_autocast

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
PRESETS = {name: (name,) for name in GROUPS} | {
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}
UNIFORMS, NORMALS = 29, 12  # numbers that an image takes


@dataclass(frozen=True)
class AdaPipeline:
    """Augments each image of a batch at random: y = pipeline(x, p).

    Every augmentation happens to an image with probability p times its field below, independently of the others; the
    two turns of `rotate` with 1 - sqrt(1 - p) each, so that either happens with p. All geometry is one resampling
    (`geometry.resample`), all colour one matrix (`colour.recolour`).

    Fields named as in the paper's code. Those from 0 (never) to 1 (with probability p):
        xflip, rotate90, xint: mirrored; turned by 0 to 3 quarters; shifted by whole pixels.
        scale, rotate, aniso, xfrac: scaled; turned; stretched; shifted by a fraction of a pixel.
        brightness, contrast, lumaflip, hue, saturation: of the colours; hue and saturation only where C = 3.
        imgfilter: each band of spatial frequency amplified or weakened.
        noise, cutout: Gaussian noise added; a square set to 0.
    And their strengths:
        xint_max: largest shift, uniform, as a share of the side. rotate_max: largest turn, uniform, as a share of pi.
        scale_std, aniso_std: standard deviation of the log2 of the factor. xfrac_std: of the shift, normal, as a share
        of the side. brightness_std: of what is added, normal. contrast_std, saturation_std: of the log2 of the factor.
        hue_max: largest turn, uniform, as a share of pi. imgfilter_bands: probability of each of the four bands, times
        p; imgfilter_std: of the log2 of a band's gain, before the expected power is made 1 again. noise_std: that of
        the noise is |normal| times this. cutout_size: side of the square, as a share of the image's.

    Source: Karras et al. 2020, Training GANs with Limited Data, arXiv 2006.06676, appendix B.
    """

    xflip: float = 0
    rotate90: float = 0
    xint: float = 0
    scale: float = 0
    rotate: float = 0
    aniso: float = 0
    xfrac: float = 0
    brightness: float = 0
    contrast: float = 0
    lumaflip: float = 0
    hue: float = 0
    saturation: float = 0
    imgfilter: float = 0
    noise: float = 0
    cutout: float = 0
    xint_max: float = 0.125
    scale_std: float = 0.2
    rotate_max: float = 1
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1
    saturation_std: float = 1
    imgfilter_bands: tuple[float, float, float, float] = (1, 1, 1, 1)
    imgfilter_std: float = 1
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            values = values if field.name == "imgfilter_bands" else (values,)
            if not all(isinstance(v, (int, float)) and 0 <= v < math.inf for v in values):
                raise ValueError(f"{field.name}: expected a number from 0, got {getattr(self, field.name)!r}")
        if len(self.imgfilter_bands) != bands.COUNT:
            raise ValueError(f"imgfilter_bands: expected {bands.COUNT} numbers, got {self.imgfilter_bands!r}")

    @classmethod
    def preset(cls, name: str, **changes: float) -> AdaPipeline:
        """The groups of a preset, one of `PRESETS`, at the published strengths; `changes` replaces fields.

        Raises:
            ValueError: no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
        return cls(**{field: 1 for group in PRESETS[name] for field in GROUPS[group]} | changes)

    def __call__(self, x: Tensor, p: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """Augment.

        Args:
            x: images [N, C, H, W] with C = 1 or 3, nominally in [-1, 1], floating point, at least 2 pixels a side.
            p: the probability, a number or a tensor [], on x's device or the CPU. On a GPU the host never waits for
                its value.
            generator: where all random numbers come from, on the CPU or on x's device; None: x's device's own.

        Returns:
            y, of x's shape and dtype. With p = 0 it is x to the bit. Differentiable in x any number of times.

        Raises:
            ValueError: the shape of x.
        """
        return self.apply(x, self.draw(x, p, generator), generator)

    @torch.no_grad()
    def draw(self, x: Tensor, p: Tensor | float, generator: torch.Generator | None = None) -> Parameters:
        """What is to be done to each image of x. Groups that are off change nothing in what the others draw."""
        if x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < 2:
            raise ValueError(f"x: got shape {tuple(x.shape)}, takes [N, 1 or 3, H, W] of at least 2 by 2 pixels")
        n, _, height, width = x.shape
        source = x.device if generator is None else generator.device
        uniform, normal = (
            draw(rows, n, generator=generator, device=source).to(x.device)
            for draw, rows in ((torch.rand, UNIFORMS), (torch.randn, NORMALS))
        )
        rows = uniform.unbind()
        u, z = iter(rows), iter(normal)
        p = torch.as_tensor(p, dtype=torch.float32).to(x.device)
        # On a GPU each op is a launch: what many of the draws share is computed once.
        with_p = dict(zip(rows, (uniform < p).unbind(), strict=True))
        constants = {value: p.new_full([], value) for value in (0, 1)}

        def sometimes(chance: float | Tensor, *values: Tensor, otherwise: int) -> Tensor:
            """chance: a tensor, or a multiple of p."""
            row = next(u)
            if isinstance(chance, Tensor):
                happens = row < chance
            else:
                happens = with_p[row] if chance == 1 else row < chance * p
            drawn = [torch.where(happens, value, constants[otherwise]) for value in values]
            return drawn[0] if len(drawn) == 1 else torch.stack(drawn, 1)

        def symmetric(limit: float) -> Tensor:
            return (2 * next(u) - 1) * limit

        def factor(std: float) -> Tensor:
            return torch.exp2(next(z) * std)

        # Twice with this chance is at least once with rotate * p.
        turn = 1 - (1 - self.rotate * p).clamp(min=0).sqrt()
        octaves = [
            sometimes(self.imgfilter * share, factor(self.imgfilter_std), otherwise=1) for share in self.imgfilter_bands
        ]
        return Parameters(
            flip=sometimes(self.xflip, (next(u) * 2).floor(), otherwise=0),
            quarter_turns=sometimes(self.rotate90, (next(u) * 4).floor(), otherwise=0),
            shift=sometimes(
                self.xint,
                (symmetric(self.xint_max) * width).round(),
                (symmetric(self.xint_max) * height).round(),
                otherwise=0,
            ),
            scale=sometimes(self.scale, factor(self.scale_std), otherwise=1),
            turn_before=sometimes(turn, symmetric(self.rotate_max * math.pi), otherwise=0),
            stretch=sometimes(self.aniso, factor(self.aniso_std), otherwise=1),
            turn_after=sometimes(turn, symmetric(self.rotate_max * math.pi), otherwise=0),
            drift=sometimes(
                self.xfrac,
                next(z) * (self.xfrac_std * width),
                next(z) * (self.xfrac_std * height),
                otherwise=0,
            ),
            brightness=sometimes(self.brightness, next(z) * self.brightness_std, otherwise=0),
            contrast=sometimes(self.contrast, factor(self.contrast_std), otherwise=1),
            luma_flip=sometimes(self.lumaflip, (next(u) * 2).floor(), otherwise=0),
            hue=sometimes(self.hue, symmetric(self.hue_max * math.pi), otherwise=0),
            saturation=sometimes(self.saturation, factor(self.saturation_std), otherwise=1),
            bands=bands.normalised(torch.stack(octaves, 1)),
            noise=sometimes(self.noise, next(z).abs() * self.noise_std, otherwise=0),
            hole=torch.stack([next(u), next(u)], 1),
            cut=sometimes(self.cutout, torch.ones_like(uniform[0]), otherwise=0),
        )

    def apply(self, x: Tensor, parameters: Parameters, generator: torch.Generator | None = None) -> Tensor:
        """y for given parameters; `generator` draws the noise. Groups that are off are not computed."""
        return _apply(x, self, parameters, generator)

    def _has(self, *groups: str) -> bool:
        return any(getattr(self, field) for group in groups for field in GROUPS[group])


@outside_autocast
def _apply(x: Tensor, pipeline: AdaPipeline, a: Parameters, generator: torch.Generator | None) -> Tensor:
    n, c, height, width = x.shape
    if pipeline._has("blit", "geom"):
        x = geometry.resample(x, geometry.source_map(a))
    if pipeline._has("color"):
        x = colour.recolour(x, colour.colour_map(a, c))
    if pipeline._has("filter"):
        x = bands.filtered(x, a.bands)
    if pipeline._has("noise"):
        source = x.device if generator is None else generator.device
        noise = torch.randn(n, c, height, width, generator=generator, device=source).to(x)
        x = x + noise * a.noise.to(x.dtype)[:, None, None, None]
    if pipeline._has("cutout"):
        outside = [
            ((torch.arange(size, device=x.device) + 0.5) / size - a.hole[:, i, None]).abs() >= pipeline.cutout_size / 2
            for i, size in enumerate((width, height))
        ]
        kept = outside[0][:, None, None, :] | outside[1][:, None, :, None] | (a.cut == 0)[:, None, None, None]
        x = torch.where(kept, x, 0)
    return x
