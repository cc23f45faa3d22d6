"""What to say of a loss that is no longer a number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_fast.training.engine import layers


def first_nonfinite(networks: dict[str, nn.Module], run: Callable[[], object]) -> str | None:
    """The first layer whose weights, or else whose output while `run` runs, hold NaN or infinity; None: no such layer.

    Args:
        networks: by the names that the answer begins with.
        run: computes what went wrong, once more.
    """
    named = [(f"{prefix}.{name}", layer) for prefix, network in networks.items() for name, layer in layers(network)]
    for name, layer in named:
        if not all(p.isfinite().all() for p in layer.parameters(recurse=False)):
            return f"{name}, whose weights hold NaN or infinity"
    found: list[str] = []

    def hook(name: str) -> Callable[..., None]:
        def look(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not found and not output.isfinite().all():
                found.append(f"{name}, whose output holds NaN or infinity")

        return look

    handles = [layer.register_forward_hook(hook(name)) for name, layer in named]
    try:
        with torch.random.fork_rng():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
