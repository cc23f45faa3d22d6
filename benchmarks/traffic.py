"""Counts what a training step launches and moves, without computing anything: on fake tensors, so at any size.

    python benchmarks/traffic.py [--resolution 256] [--batch 16] [--channel-base 16384] [--json FILE]

A launch is an op that writes memory: one of ours, or one of PyTorch's that is not a view. Its bytes are those of the
tensors that it reads and writes, each once: what a perfect kernel of it would move. Activations are float32.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from gan_fast.benchmarks import record
from gan_fast.benchmarks.record import Cell, Figure
from gan_fast.benchmarks.table import figures_table
from gan_fast.losses import logistic_discriminator, logistic_generator
from gan_fast.models.stylegan2 import build
from gan_fast.ops import use_backend

FREE = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "detach", "alias", "_unsafe_view")
KIND = "traffic"
WAYS = {"ours, fused": "triton", "ours, composed": "auto", "PyTorch's ops": "reference"}


class Traffic(TorchDispatchMode):
    """launches, bytes and FLOPs (of convolutions and matrix products) of what runs within, by the name of the op."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.flops: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        written = any(isinstance(t, Tensor) for t in tree_leaves(result))
        if func.is_view or name in FREE or not written:
            return result
        self.launches[name] += 1
        if func.overloadpacket in flop_registry:
            self.flops[name] += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        if name == "convolution_backward" and not args[-1][0]:
            args = args[:2]  # the weight is there for its shape
        seen: dict[int, int] = {}
        for t in tree_leaves((args, kwargs, result)):
            if isinstance(t, Tensor):
                size = min(t.numel() * t.element_size(), t.untyped_storage().nbytes())
                seen[id(t.untyped_storage())] = max(size, seen.get(id(t.untyped_storage()), 0))
        self.bytes[name] += sum(seen.values())
        return result


def make_fake(networks: Sequence[nn.Module], fake: FakeTensorMode) -> None:
    """Replaces the tensors of networks, which compute numbers when they are built."""
    for module in (m for network in networks for m in network.modules()):
        for tensors in (module._parameters, module._buffers):
            tensors.update({k: fake.from_tensor(t) for k, t in tensors.items() if t is not None})


def steps(networks: Sequence[nn.Module], resolution: int, batch: int) -> dict[str, Callable[[], None]]:
    """The main phases of a step."""
    generator, discriminator = networks
    z, x = torch.empty(batch, generator.z_dim), torch.empty(batch, 3, resolution, resolution)

    def synthesis() -> None:
        generator(z).sum().backward()

    def g_step() -> None:
        discriminator.requires_grad_(False)
        logistic_generator(discriminator(generator(z))).mean().backward()
        discriminator.requires_grad_(True)

    def d_step() -> None:
        with torch.no_grad():
            fake = generator(z)
        logistic_discriminator(discriminator(x), discriminator(fake)).mean().backward()

    return {"G, forward and backward": synthesis, "G step": g_step, "D step": d_step}


def count(resolution: int, batch: int, channel_base: int) -> dict[tuple[str, str], Traffic]:
    found = {}
    for way, backend in WAYS.items():
        networks = build("paper256", img_resolution=resolution, channel_base=channel_base, conv_clamp=None)
        for network in networks:
            network.to(memory_format=torch.channels_last)
        with FakeTensorMode() as fake, use_backend(backend):
            make_fake(networks, fake)
            for name, step in steps(networks, resolution, batch).items():
                with Traffic() as traffic:
                    step()
                found[name, way] = traffic
    return found


def rows(found: dict[tuple[str, str], Traffic]) -> list[Figure]:
    """A row a step, a column a way."""
    table: dict[str, dict[str, Cell]] = {}
    for (step, way), traffic in found.items():
        launches, size = traffic.launches.total(), traffic.bytes.total() / 1e9
        table.setdefault(step, {"step": step})[way] = f"{launches} launches, {size:.1f} GB"
    return [Figure(kind=KIND, values=values) for values in table.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["TRITON_INTERPRET"] = "1"  # so that Triton's launchers take CPU tensors; fake ones launch nothing
    size = (arguments.resolution, arguments.batch, arguments.channel_base)
    how = "python benchmarks/traffic.py, on fake tensors: {} pixels, batch {}, channel base {}, float32".format(*size)
    figures = record.figures(torch.device("cpu"), how, rows(count(*size)))
    print(how, figures_table(figures, KIND), sep="\n\n")
    if arguments.json:
        record.write_figures(figures, arguments.json)


if __name__ == "__main__":
    main()
