"""Whole networks, whole phases of a training step, and the whole step.

G and D are the main phases (forward, backward, D's with a generated and a real batch), R1 is over as many reals, path
length, of networks that are trained with it, over half a batch; "step" is G and D with their optimizers and the average
of G. On a GPU the networks are channels_last, and run in bfloat16 too.

"training" is the engine with a recipe, augmentation and penalties included: a period of its lazy phases.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from gan_fast import models, ops
from gan_fast.benchmarks.costs import Cost
from gan_fast.benchmarks.traffic import Traffic, make_fake
from gan_fast.losses import logistic_discriminator, logistic_generator
from gan_fast.training.capture import WARM_UP, CudaRecorder
from gan_fast.training.ema import Averages
from gan_fast.training.engine import Engine, lazy_adam
from gan_fast.training.recipe import Recipe

PHASES = ("G forward", "D forward", "G", "D", "R1", "path length", "step")
SMALL = {"channel_base": 8192, "conv_clamp": None}


@dataclass(frozen=True)
class Network:
    """A preset with some fields replaced. gpu: too large for a CPU, left out there. recipe: of a training to time."""

    name: str
    preset: str
    batch: int
    fields: dict[str, Any] = field(default_factory=dict, hash=False)
    quick: bool = False
    path_length: bool = True
    gpu: bool = False
    recipe: Recipe | None = None

    @property
    def phases(self) -> tuple[str, ...]:
        return tuple(name for name in PHASES if self.path_length or name != "path length")


# the means that scale StyleGAN3's layers stay as they are, so that each pass is the same
STYLEGAN3 = {"magnitude_ema_beta": 1.0}
# the recipes of their presets, as far as they decide what is computed
DIGITS = Recipe(penalty_interval=4, style_mixing=0.5, mode_seeking=0.003, class_group=2)
STYLEGAN2 = Recipe(style_mixing=0.9, path_length=2.0)
ADA = replace(STYLEGAN2, augment="ada")
NETWORKS = (
    Network("digits", "digits", 32, quick=True, recipe=DIGITS),
    Network("32px", "paper256", 8, {"img_resolution": 32, **SMALL}),
    Network("64px", "paper256", 4, {"img_resolution": 64, **SMALL}, recipe=ADA),
    Network("128px", "paper256", 2, {"img_resolution": 128, **SMALL}),
    Network("paper256", "paper256", 16, gpu=True, recipe=ADA),
    Network("stylegan2-256", "stylegan2-256", 8, gpu=True),
    Network("stylegan2-512", "stylegan2-512", 4, gpu=True),
    Network("stylegan2-1024", "stylegan2-1024", 4, gpu=True, recipe=STYLEGAN2),
    Network("stylegan3-digits", "stylegan3-t-digits", 32, STYLEGAN3, path_length=False),
    Network("stylegan3-t-256", "stylegan3-t-256", 8, STYLEGAN3, path_length=False, gpu=True),
    Network("stylegan3-r-256", "stylegan3-r-256", 8, STYLEGAN3, path_length=False, gpu=True),
    Network("r3gan-digits", "r3gan-digits", 32, path_length=False),
    Network("r3gan-ffhq256", "r3gan-ffhq256", 8, path_length=False, gpu=True),
)

Phase = Callable[[], list[Tensor]]


def phases(
    network: Network,
    device: torch.device,
    bfloat16: bool = False,
    dtype: torch.dtype = torch.float32,
    fake: FakeTensorMode | None = None,
) -> dict[str, Phase]:
    """Each makes its part of a step, from the same random numbers every time, and returns images, logits or gradients.

    The gradients are of tensors, not of single numbers as the strength of a layer's noise: random noise is another in
    float64, and as untrained networks do not add it, nothing else depends on it. fake: all tensors are
    fake ones of this mode.
    """
    torch.manual_seed(0)
    config = models.preset(network.preset, **network.fields)
    layers_in_half = hasattr(config, "num_lowprec_res")  # of others autocast has to choose the ops
    if bfloat16 and layers_in_half:
        config = replace(config, num_lowprec_res=9)
    autocast = bfloat16 and not layers_in_half
    networks = models.build(config)
    layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
    generator, discriminator = (n.to(device, dtype, memory_format=layout) for n in networks)
    if fake is not None:
        make_fake((generator, discriminator), fake)
    n, side = network.batch, generator.img_resolution
    z = torch.randn(n, generator.z_dim).to(device, dtype)
    x = torch.randn(n, generator.img_channels, side, side).to(device, dtype)
    classes = discriminator.c_dim
    c = torch.eye(classes)[torch.arange(n) % classes].to(device, dtype) if classes else None
    seed = torch.tensor([1, 2], device=device)
    if fake is not None:
        z, x, seed, c = (t if t is None else fake.from_tensor(t) for t in (z, x, seed, c))
    average = Averages(generator, [10], 0.05) if fake is None else None
    g_adam, d_adam = (lazy_adam(m.parameters(), 2e-3, (0.0, 0.99), None) for m in (generator, discriminator))

    def gradients(loss: Tensor, module: torch.nn.Module) -> list[Tensor]:
        loss.mean().backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters() if p.ndim > 0]
        module.zero_grad()
        return found

    def g_forward() -> list[Tensor]:
        with torch.no_grad():
            return [generator(z, c)]

    def d_forward() -> list[Tensor]:
        with torch.no_grad():
            return [discriminator(x, c)]

    def g_loss() -> Tensor:
        discriminator.requires_grad_(False)
        loss = logistic_generator(discriminator(generator(z, c), c))
        discriminator.requires_grad_(True)
        return loss

    def d_loss() -> Tensor:
        with torch.no_grad():
            fake = generator(z, c)
        return logistic_discriminator(discriminator(x, c), discriminator(fake, c))

    def r1() -> list[Tensor]:
        real = x.clone().requires_grad_()
        return gradients(ops.r1(real, discriminator(real, c)), discriminator)

    def path_length() -> list[Tensor]:
        half = max(n // 2, 1)
        ws = generator.mapping(z[:half], c if c is None else c[:half])
        lengths = ops.path_length(ws, generator.synthesis(ws), seed)
        return gradients(ops.path_length_penalty(lengths, torch.zeros([], device=device))[0], generator)

    def step() -> list[Tensor]:
        for loss, adam in ((g_loss, g_adam), (d_loss, d_adam)):
            loss().mean().backward()
            adam.step()
            adam.zero_grad()
        average.update(generator, 10**6, n)
        return []

    g_main, d_main = lambda: gradients(g_loss(), generator), lambda: gradients(d_loss(), discriminator)
    made = dict(zip(PHASES, (g_forward, d_forward, g_main, d_main, r1, path_length, step), strict=True))

    def run(name: str) -> list[Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return made[name]()

    return {name: functools.partial(run, name) for name in network.phases}


def captured(call: Phase, device: torch.device) -> Phase:
    """The phase as a CUDA graph, made when it is first called."""

    @functools.cache
    def made() -> tuple[Callable[[], None], list[Tensor]]:
        recorder = CudaRecorder(device)
        for _ in range(WARM_UP):
            recorder.run(call)
        return recorder.record(call)

    def run() -> list[Tensor]:
        replay, outputs = made()
        replay()
        return outputs

    return run


def training(
    network: Network, device: torch.device, capture: bool = False, compile: bool = False
) -> tuple[Callable[[], None], int]:
    """What trains for a period of the lazy phases, on the same batch at each step, and the images that it shows."""
    torch.manual_seed(0)
    pair = models.build(models.preset(network.preset, **network.fields))
    generator, discriminator = (n.to(device, memory_format=torch.channels_last) for n in pair)
    recipe = replace(network.recipe, precision="bfloat16" if device.type == "cuda" else "float32")
    engine = Engine(generator, discriminator, recipe, compile=compile, capture=capture)
    n, side, classes = network.batch, generator.img_resolution, generator.c_dim
    x = torch.rand(n, generator.img_channels, side, side, device=device) * 2 - 1
    c = torch.eye(classes, device=device)[torch.arange(n) % (n // recipe.class_group) % classes] if classes else None
    steps = math.lcm(*(phase.interval for phase in engine.phases))

    def period() -> None:
        for _ in range(steps):
            engine.step(x, c)

    for _ in range(WARM_UP if capture else 0):
        period()
    return period, steps * n


def count(network: Network, name: str, bfloat16: bool = False) -> Cost:
    """Bytes that a phase's launches read and write, and FLOPs of its convolutions and matrix products.

    Of our ops, composed as on a CPU, on fake tensors; see traffic.py. Of a step those of its phases.
    """
    fake = FakeTensorMode()
    made = phases(network, torch.device("cpu"), bfloat16, fake=fake)
    with fake, Traffic() as traffic, ops.use_backend("auto"):
        for phase in ("G", "D") if name == "step" else (name,):
            made[phase]()
    return Cost(traffic.bytes.total(), traffic.flops.total())


def wrong(got: list[Tensor], true: list[Tensor], own: list[Tensor]) -> str | None:
    """Why a way through a network is not timed: how far its outputs are from the float64 reference's; None if it is.

    All outputs as one vector, relative: at most 0.001, as float32 sums in another order change the sign of single
    values before a leaky ReLU, or in bfloat16 twice the reference's own (`own`).
    """

    def distance(found: list[Tensor]) -> float:
        apart = sum((f.double() - t).square().sum() for f, t in zip(found, true, strict=True))
        return float((apart / sum(t.square().sum() for t in true)).sqrt()) if true else 0.0

    error, limit = distance(got), max(1e-3, 2 * distance(own))
    return None if error <= limit else f"error {error:.3g} > {limit:.3g}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the profiler's library writes to stderr whenever it starts and stops."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that PyTorch's allocator hands out at once, above what there was before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def on(backend: str, call: Phase) -> Phase:
    def run() -> list[Tensor]:
        torch.manual_seed(0)
        with ops.use_backend(backend):
            return call()

    return run
