"""Projection: the w and the noise from which a generator draws a given image (StyleGAN2, 1912.04958, appendix D)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_fast import latents
from gan_fast.data import seeded_generator, to_float
from gan_fast.data.decode import Protocol
from gan_fast.ops import downsample2d, setup_filter

SPACES = ("w", "w+")
LEARNING_RATE, RAMP_UP, RAMP_DOWN = 0.1, 0.05, 0.25
NOISE_RAMP, W_NOISE, NOISE_WEIGHT = 0.75, 0.05, 1e5
SMALLEST = 8

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Projection:
    """What `project` has found.

    Attributes:
        ws: [num_ws, w_dim], the w of each layer; one and the same in the space "w".
        noise: the noise planes that belong to it, by name: `latents.render(generator, ws[None], noise)` draws it.
        image: [C, H, W], what is drawn.
        label: the class whose mean w the search started from.
        trajectory: [steps + 1, num_ws, w_dim], from that mean to ws.
        distances: [steps + 1], the distance at each point of the trajectory, with no noise added to w.
    """

    ws: Tensor
    noise: dict[str, Tensor]
    image: Tensor
    label: int
    trajectory: Tensor
    distances: Tensor


def image_distance(x: Tensor, y: Tensor) -> Tensor:
    """A perceptual distance that needs no downloaded network: pixels and edges at every scale, [N].

    d(x, y) = mean over levels l of  mean((x_l - y_l)^2) + mean((dx_l - dy_l)^2),  x_0 = x, x_(l+1) = x_l filtered with
    [1, 3, 3, 1] and halved, while its sides have 8 pixels; dx are the differences of neighbours, along both axes. (On
    held-out digits the means of levels led to nearer images than sums that weight coarse levels 2 or 4 times more.)

    Shapes: x, y [N, C, H, W] -> [N]; differentiable in both at every order.
    """
    f = setup_filter([1, 3, 3, 1], device=x.device)
    # Everything is linear, so the difference is filtered once.
    delta, levels = x - y, []
    while True:
        edges = delta.diff(dim=2).square().mean((1, 2, 3)) + delta.diff(dim=3).square().mean((1, 2, 3))
        levels.append(delta.square().mean((1, 2, 3)) + edges)
        if min(delta.shape[2:]) < SMALLEST:
            return torch.stack(levels).mean(0)
        delta = downsample2d(delta, f)


def noise_correlation(plane: Tensor) -> Tensor:
    """How far a noise plane [h, w] is from white: sum over scales of (mean n n_right)^2 + (mean n n_below)^2.

    Scales halve, by means of 2x2 times 2 (which keeps white noise's variance), while the plane is larger than 8; the
    neighbours of the last column and row are the first ones (appendix D).
    """
    n, total = plane[None, None], plane.new_zeros([])
    while True:
        total = total + (n * n.roll(1, 3)).mean().square() + (n * n.roll(1, 2)).mean().square()
        if min(n.shape[2:]) <= SMALLEST:
            return total
        n = F.avg_pool2d(n, 2) * 2


def project(
    generator: nn.Module,
    target: Tensor,
    *,
    space: str = "w",
    steps: int = 1000,
    seed: int = 0,
    label: int | None = None,
    distance: Distance = image_distance,
    report: Callable[[int, float], None] = lambda step, distance: None,
) -> Projection:
    """Find the w whose image is nearest to `target`, as StyleGAN2's appendix D does; deterministic by seed.

    Adam on w and on the noise planes minimises
        distance(g(w + N(0, (0.05 s tau^2)^2), n), target) + 1e5 sum_planes noise_correlation(n),
    where s^2 = E|w - mean w|^2 / w_dim and tau falls from 1 to 0 over the first three quarters. The learning rate rises
    to 0.1 in the first 5 % of the steps and falls as a cosine in the last quarter. After each step every plane is
    brought back to mean 0 and variance 1. The search starts from the mean w of a class.

    Args:
        generator: on any device; it is not changed.
        target: [C, H, W] in [-1, 1], of the generator's size.
        space: "w", one w for all layers, or "w+", one for each: nearer, but farther from what the generator has learnt.
        steps: at least 1; 1000 in the paper.
        label: the class to start from; None: the one whose mean image is nearest.
        distance: (images [N, C, H, W], targets) -> [N], differentiable.
        report: called after each step with the number of steps done and the distance.

    Raises:
        ValueError: another space, no steps, a target of another size.
    """
    generator = latents.style_based(generator)
    shape = latents.image_shape(generator)
    if space not in SPACES:
        raise ValueError(f"space: got {space!r}, takes {', '.join(SPACES)}")
    if steps < 1:
        raise ValueError(f"steps: got {steps}, takes integers from 1")
    if target.shape != shape:
        raise ValueError(f"target: got shape {list(target.shape)}, takes {list(shape)}")
    target = target.to(next(generator.parameters()).device, torch.float32)[None]
    if label is None:
        label = _nearest_class(generator, target, distance)
    samples = latents.w_samples(generator, label)
    start = samples.mean(0)
    scale = (samples - start)[:, 0].square().mean().sqrt()

    # "w" is one row that all layers share, "w+" a row a layer.
    w = start[: 1 if space == "w" else None].clone().requires_grad_()
    planes = {name: p.requires_grad_() for name, p in latents.noise_planes(generator, seed).items()}
    adam = torch.optim.Adam([w, *planes.values()], lr=LEARNING_RATE)
    random = seeded_generator(seed, 0, "projection")
    trajectory, distances = [start], [_distance_at(generator, start, planes, target, distance)]
    for step in range(steps):
        t = step / steps
        adam.param_groups[0]["lr"] = LEARNING_RATE * _ramp(t)
        spread = W_NOISE * scale * max(0.0, 1 - t / NOISE_RAMP) ** 2
        jitter = torch.randn(w.shape, generator=random).to(w.device) * spread
        image = latents.synthesise(generator, (w + jitter).expand_as(start)[None], planes).float()
        loss = distance(image, target).sum() + NOISE_WEIGHT * sum(map(noise_correlation, planes.values()))
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            for plane in planes.values():
                plane.sub_(plane.mean()).div_(plane.square().mean().sqrt())
        trajectory.append(w.detach().expand_as(start).clone())
        distances.append(_distance_at(generator, trajectory[-1], planes, target, distance))
        report(step + 1, distances[-1])
    noise = {name: plane.detach() for name, plane in planes.items()}
    ws = trajectory[-1]
    image = latents.render(generator, ws[None], noise)[0]
    return Projection(ws, noise, image, label, torch.stack(trajectory), torch.tensor(distances))


def read_target(generator: nn.Module, data: bytes, name: str) -> Tensor:
    """The bytes of an image file as a target for `project`: its centred square at the generator's size and channels.

    Raises:
        ValueError: the bytes hold no image (`name` is in the message), or the generator's images are not square.
    """
    channels, height, width = latents.image_shape(latents.style_based(generator))
    if height != width:
        raise ValueError(f"project: takes generators of square images, this one draws {width}x{height}")
    return to_float(torch.from_numpy(Protocol(width, channels)(data, name)))


def film(generator: nn.Module, found: Projection, steps: int) -> Tensor:
    """Images [steps + 1, C, H, W] at even distances along the trajectory, with the noise that was found."""
    every = torch.linspace(0, len(found.trajectory) - 1, steps + 1).round().long()
    return latents.render(latents.style_based(generator), found.trajectory[every], found.noise)


@torch.no_grad()
def _distance_at(
    generator: nn.Module, ws: Tensor, planes: dict[str, Tensor], target: Tensor, distance: Distance
) -> float:
    return distance(latents.synthesise(generator, ws[None], planes).float(), target).item()


@torch.no_grad()
def _nearest_class(generator: nn.Module, target: Tensor, distance: Distance) -> int:
    if not generator.c_dim:
        return 0
    means = torch.stack([latents.mean_w(generator, k) for k in range(generator.c_dim)])
    images = latents.render(generator, means).to(target.device)
    return int(distance(images, target.expand_as(images)).argmin())


def _ramp(t: float) -> float:
    """The share of the full learning rate at t in [0, 1): up linearly, then full, then down as half a cosine."""
    down = min(1.0, (1 - t) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(down * math.pi)) * min(1.0, t / RAMP_UP)
