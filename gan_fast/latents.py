"""Looking inside a generator: walks, arithmetic, style mixing, truncation, directions and noise.

    seed -> z [N, z_dim] -> mapping(z, c) -> ws [N, num_ws, w_dim], one w a layer -> synthesis(ws) -> image

Everything here makes or changes z, c or ws; `render` turns ws into images. It works with every generator that has
z_dim, c_dim, w_dim, num_ws, `mapping` and `synthesis` as `gan_fast.models.stylegan2.Generator` has them, and with every
other after `style_based`; nothing in it is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gan_fast.data import seeded_generator
from gan_fast.data.image_set import one_hot

STATISTICS_SAMPLES = 512
CHUNK = 128

Noise = str | Mapping[str, Tensor]


# ---------------------------------------------------------------- from seeds to images


class _Unstyled(nn.Module):
    """A generator without a mapping, with w = [z, c] as its one w."""

    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator
        self.z_dim, self.c_dim, self.num_ws = generator.z_dim, generator.c_dim, 1
        self.w_dim = self.z_dim + self.c_dim

    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        return torch.cat([z, c], 1)[:, None]

    def synthesis(self, ws: Tensor) -> Tensor:
        return self.generator(*ws[:, 0].split([self.z_dim, self.c_dim], 1))


def style_based(generator: nn.Module) -> nn.Module:
    """The generator itself; or, where it has no mapping, a module around it, to which w is z and c side by side.

    Then truncation scales z (the truncation of BigGAN, Brock et al. 2019, arXiv 1809.11096, section 3.1, by scaling
    instead of drawing again), arithmetic is done on z (as in DCGAN), and there is one layer and nothing to mix.
    """
    return generator if hasattr(generator, "mapping") else _Unstyled(generator)


def seeded_z(generator: nn.Module, seeds: Sequence[int]) -> Tensor:
    """z [N, z_dim] ~ N(0, I), float32 on the generator's device: row i depends on seeds[i] alone."""
    rows = [torch.randn(generator.z_dim, generator=seeded_generator(seed, 0, "z")) for seed in seeds]
    return torch.stack(rows).to(_device(generator))


@torch.no_grad()
def map_latents(generator: nn.Module, z: Tensor, c: Tensor | None = None) -> Tensor:
    """ws [N, num_ws, w_dim] for z [N, z_dim] and c [N, c_dim].

    c is one-hot, or a mean of one-hot rows: then the image stands between classes (`walk` over one-hot rows with `lerp`
    interpolates classes).
    """
    return generator.mapping(z, z.new_zeros(len(z), 0) if c is None else c.to(z.device))


def class_ws(generator: nn.Module, z: Tensor, labels: Tensor, psi: float = 1.0) -> Tensor:
    """ws [N, num_ws, w_dim] of z [N, z_dim] and classes int64 [N], each drawn towards its class's mean: `truncate`.

    In place of classes there may be the vectors c [N, c_dim] themselves. Both are ignored where the generator takes
    none.

    Raises:
        ValueError: psi is not 1, and there are vectors, which have no mean to draw towards.
    """
    is_class = labels.ndim == 1 or not generator.c_dim
    if not is_class and psi != 1:
        raise ValueError(f"psi: truncation goes to the mean of a class, and these conditions are vectors; got {psi}")
    ws = map_latents(generator, z, one_hot(labels, generator.c_dim) if is_class else labels)
    if psi == 1:
        return ws
    keys = labels.tolist() if generator.c_dim else [0] * len(ws)
    means = {key: mean_w(generator, key) for key in set(keys)}
    return truncate(ws, torch.stack([means[key] for key in keys]), psi)


def seeded_ws(generator: nn.Module, seeds: Sequence[int], labels: Tensor, psi: float = 1.0) -> Tensor:
    """`class_ws` of N seeds: row i depends on seeds[i], labels[i] and psi alone."""
    return class_ws(generator, seeded_z(generator, seeds), labels, psi)


def synthesise(generator: nn.Module, ws: Tensor, noise: Noise = "const") -> Tensor:
    """Images [N, C, H, W] of ws, differentiable in ws and in the planes.

    Args:
        noise: "const" (the generator's own planes), "none", "random", or planes by name as `noise_planes` makes them;
            ignored by a generator without noise.
    """
    if not has_noise(generator):
        return generator.synthesis(ws)
    if isinstance(noise, str):
        return generator.synthesis(ws, noise_mode=noise)
    return functional_call(generator.synthesis, dict(noise), (ws,), {"noise_mode": "const"})


@torch.no_grad()
def render(generator: nn.Module, ws: Tensor, noise: Noise = "const") -> Tensor:
    """Images [N, C, H, W], float32 on the CPU, of ws [N, num_ws, w_dim]; noise as in `synthesise`."""
    return torch.cat([synthesise(generator, part, noise).float().cpu() for part in ws.split(CHUNK)])


def image_shape(generator: nn.Module) -> tuple[int, ...]:
    """What one image has: (C, H, W)."""
    return tuple(render(generator, mean_w(generator, 0)[None]).shape[1:])


def noise_planes(generator: nn.Module, seed: int) -> dict[str, Tensor]:
    """Noise [h, w] ~ N(0, 1) for every layer of the synthesis network that adds noise, by name; fixed by the seed."""
    random = seeded_generator(seed, 0, "noise planes")
    planes = _own_planes(generator).items()
    return {name: torch.randn(p.shape, generator=random, dtype=p.dtype).to(p.device) for name, p in planes}


def has_noise(generator: nn.Module) -> bool:
    """Whether the synthesis network adds noise."""
    return bool(_own_planes(generator))


# ---------------------------------------------------------------- the cloud of w


@torch.no_grad()
def w_samples(generator: nn.Module, label: int) -> Tensor:
    """ws [512, num_ws, w_dim] of one class and 512 fixed z: the cloud that the statistics here are taken from."""
    random = seeded_generator(0, 0, "mean w")
    z = torch.randn(STATISTICS_SAMPLES, generator.z_dim, generator=random).to(_device(generator))
    c = one_hot(torch.full((STATISTICS_SAMPLES,), label if generator.c_dim else 0), generator.c_dim)
    return map_latents(generator, z, c)


def mean_w(generator: nn.Module, label: int) -> Tensor:
    """The mean w of a class, [num_ws, w_dim]: what truncation draws towards."""
    return w_samples(generator, label).mean(0)


def truncate(ws: Tensor, mean: Tensor, psi: float) -> Tensor:
    """mean + psi (ws - mean): psi 1 leaves ws, 0 gives the mean (Karras et al. 2019, arXiv 1812.04948, appendix B).

    mean is [num_ws, w_dim], or [N, num_ws, w_dim] with one for each row. Drawing towards the mean of the row's own
    class, not of all classes, keeps the class.
    """
    return mean.lerp(ws, psi)


# ---------------------------------------------------------------- walks


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """(1 - t) a + t b: straight, right for w and for class labels."""
    return torch.lerp(a, b, t)


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Along the great circle, right for z: normal vectors of many dimensions lie close to a sphere.

    With the angle theta between a and b (last axis): direction (sin((1-t) theta) a/|a| + sin(t theta) b/|b|) /
    sin(theta), length (1-t)|a| + t|b| (Shoemake 1985; for latents White 2016, arXiv 1609.04468).

    Raises:
        ValueError: a and b point in opposite directions, where no great circle is the shortest.
    """
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    a, b = a / lengths[0], b / lengths[1]
    # Not acos(a b), which keeps half the digits where a and b are close.
    theta = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))
    if (theta > torch.pi - 1e-3).any():
        raise ValueError("slerp: the two points are opposite; no way between them is the shortest")
    # sin(s theta) / sin(theta), with its limit s at theta = 0
    share = [s * torch.sinc(s * theta / torch.pi) / torch.sinc(theta / torch.pi) for s in (1 - t, t)]
    return (share[0] * a + share[1] * b) * torch.lerp(*lengths, t)


def walk(
    points: Tensor, frames: int, between: Callable[[Tensor, Tensor, float], Tensor] = slerp, closed: bool = True
) -> Tensor:
    """A path through points [K, ...], `frames` steps from each to the next: [K * frames, ...].

    A closed path goes back to its start and stops one step before it, so that it can be played in a loop. An open one
    ends on the last point: [(K - 1) * frames + 1, ...].
    """
    nexts = points.roll(-1, 0) if closed else points[1:]
    path = [between(a, b, i / frames) for a, b in zip(points, nexts, strict=False) for i in range(frames)]
    return torch.stack(path if closed else [*path, points[-1]])


# ---------------------------------------------------------------- arithmetic and mixing


def combine(plus: Sequence[Tensor], minus: Sequence[Tensor] = ()) -> Tensor:
    """Arithmetic on averaged latents: sum of the means of `plus` less those of `minus`, each a group [N_i, ...].

    "Smiling woman - neutral woman + neutral man" with several latents a term (Radford et al. 2016, arXiv 1511.06434,
    section 6.3.2). Averaging each group cancels what its members do not share. As many groups plus one less than plus
    as minus keep the result in the cloud.
    """
    return sum(group.mean(0) for group in plus) - sum(group.mean(0) for group in minus)


def mix(ws: Tensor, other: Tensor, layers: Iterable[int]) -> Tensor:
    """Style mixing: ws with the given layers from `other` (Karras et al. 2019, arXiv 1812.04948, section 3.1).

    Shapes: ws and other [N, num_ws, w_dim], or such as broadcast to one another. Early layers hold coarse traits, late
    ones fine.
    """
    taken = torch.zeros(ws.shape[-2], 1, dtype=torch.bool, device=ws.device)
    taken[list(layers)] = True
    return torch.where(taken, other, ws)


# ---------------------------------------------------------------- directions


@torch.no_grad()
def style_weights(generator: nn.Module) -> list[Tensor]:
    """For each of the num_ws layers the matrix [styles, w_dim] that its w passes first, scaled as it is applied.

    A layer that several affine maps read has their rows below one another. Which w a map reads is asked of the network:
    it runs once, layer i receiving the constant i.
    """
    found: dict[int, list[Tensor]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        layer = round(inputs[0].flatten()[0].item())
        found.setdefault(layer, []).append(module.weight * getattr(module, "weight_gain", 1))

    maps = [module for name, module in generator.synthesis.named_modules() if name.endswith("affine")]
    hooks = [module.register_forward_pre_hook(note) for module in maps]
    numbers = torch.arange(generator.num_ws, dtype=torch.float32, device=_device(generator))
    try:
        synthesise(generator, numbers[None, :, None].repeat(1, 1, generator.w_dim))
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(found[i]) for i in range(generator.num_ws)]


def sefa(weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The directions n_1, n_2, ... of w that change the styles most: closed-form factorisation (SeFa).

    They maximise |A n|^2 over unit vectors orthogonal to those before, so they are the eigenvectors of A^T A with the
    largest eigenvalues, taken here as A's right singular vectors (Shen and Zhou 2021, arXiv 2007.06600, equation 7).

    Args:
        weight: A [styles, w_dim]: `style_weights` of the layers concerned, concatenated.
        count: how many directions, at most w_dim.

    Returns:
        directions [count, w_dim], each with its largest component positive, and strengths |A n| [count], falling.
    """
    # With fewer styles than directions the last of these change nothing: rows of zeros.
    rows = nn.functional.pad(weight.double(), (0, 0, 0, max(0, count - len(weight))))
    _, strengths, directions = torch.linalg.svd(rows, full_matrices=False)
    directions, strengths = directions[:count], strengths[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).to(weight.dtype), strengths.to(weight.dtype)


def move(ws: Tensor, direction: Tensor, amount: float, layers: Iterable[int] | None = None) -> Tensor:
    """ws + amount * direction in the given layers (all if None): ws [N, num_ws, w_dim], direction [w_dim]."""
    moved = ws + amount * direction
    return moved if layers is None else mix(ws, moved, layers)


def spread(generator: nn.Module, direction: Tensor, label: int) -> float:
    """Standard deviation of w along a unit direction [w_dim] within a class: a natural unit for `move`'s amount."""
    return (w_samples(generator, label)[:, 0] @ direction).std().item()


def _own_planes(generator: nn.Module) -> dict[str, Tensor]:
    if not isinstance(generator.synthesis, nn.Module):
        return {}
    return {name: plane for name, plane in generator.synthesis.named_buffers() if name.endswith("noise_const")}


def _device(generator: nn.Module) -> torch.device:
    return next(generator.parameters()).device
