"""Starting from the weights of another run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from gan_fast.models.progressive import Growing
from gan_fast.training import checkpoint as checkpoints


@torch.no_grad()
def transfer(path: str | Path, generator: nn.Module, discriminator: nn.Module) -> list[str]:
    """Copy the averaged generator and the discriminator of a checkpoint into networks, where names and shapes fit.

    Args:
        path: checkpoint file, or a run's folder.

    Returns:
        the names of the tensors that keep their own values, with the reason.

    Raises:
        ValueError: no such file, a damaged one, or nothing in it fits.
    """
    file = checkpoints.find_checkpoint(path)
    weights = checkpoints.load_checkpoint(file).weights
    kept, copied = [], 0
    for name, network, source in (("G", generator, weights["G_ema"]), ("D", discriminator, weights["D"])):
        for key, tensor in network.state_dict().items():
            if key not in source:
                kept.append(f"{name}.{key}: not in the checkpoint")
            elif source[key].shape != tensor.shape:
                kept.append(f"{name}.{key}: {list(source[key].shape)} there, {list(tensor.shape)} here")
            else:
                tensor.copy_(source[key])
                copied += 1
        if isinstance(network, Growing):
            network.grow(network.level)  # its own size, not that of the other run
    if not copied:
        raise ValueError(f"transfer: nothing in {file} fits these networks")
    return kept
