"""`torch_utils.misc`."""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

nan_to_num = torch.nan_to_num
symbolic_assert = torch._assert


@functools.cache
def _constant(data: bytes, shape: tuple, value_dtype: str, dtype: Any, device: Any, memory_format: Any) -> Tensor:
    t = torch.as_tensor(np.frombuffer(bytearray(data), value_dtype).reshape(shape), dtype=dtype, device=device)
    return t.contiguous(memory_format=memory_format)


def constant(
    value: Any,
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    memory_format: torch.memory_format | None = None,
) -> Tensor:
    """A tensor of these values, expanded to the shape: the same tensor at every call, which nobody may change."""
    value = np.asarray(value)
    dtype = torch.get_default_dtype() if dtype is None else dtype
    device = torch.device("cpu" if device is None else device)
    memory_format = torch.contiguous_format if memory_format is None else memory_format
    if shape is not None:
        value = np.broadcast_to(value, tuple(shape))
    return _constant(value.tobytes(), value.shape, value.dtype.str, dtype, device, memory_format)


@contextlib.contextmanager
def suppress_tracer_warnings() -> Iterator[None]:
    """Within the block torch.jit.trace does not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=torch.jit.TracerWarning)
        yield


def assert_shape(tensor: Tensor, ref_shape: Sequence[int | Tensor | None]) -> None:
    """AssertionError unless the tensor has this shape; None stands for any size."""
    shape = [None if n is None else int(n) for n in ref_shape]
    fits = tensor.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, tensor.shape, strict=True))
    if not fits:
        raise AssertionError(f"got shape {list(tensor.shape)}, expected {shape}")


def profiled_function(fn: Callable) -> Callable:
    """The function, which PyTorch's profiler lists by its name."""

    @functools.wraps(fn)
    def profiled(*args: Any, **kwargs: Any) -> Any:
        with torch.autograd.profiler.record_function(fn.__name__):
            return fn(*args, **kwargs)

    return profiled


class InfiniteSampler(torch.utils.data.Sampler):
    """Numbers of samples without end, shuffled in a sliding window, every num_replicas-th from rank on."""

    def __init__(
        self,
        dataset: Any,
        rank: int = 0,
        num_replicas: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        window_size: float = 0.5,
    ):
        if len(dataset) < 1 or num_replicas < 1 or not 0 <= rank < num_replicas or not 0 <= window_size <= 1:
            raise ValueError(
                f"InfiniteSampler: got {len(dataset)} samples, rank {rank} of {num_replicas}, window_size {window_size}"
            )
        super().__init__()
        self.dataset, self.rank, self.num_replicas = dataset, rank, num_replicas
        self.shuffle, self.seed, self.window_size = shuffle, seed, window_size

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        order = np.arange(n)
        random = np.random.RandomState(self.seed)
        if self.shuffle:
            random.shuffle(order)
        window = round(n * self.window_size) if self.shuffle else 0
        i = 0
        while True:
            here = i % n
            if i % self.num_replicas == self.rank:
                yield int(order[here])
            if window >= 2:
                there = (here - random.randint(window)) % n
                order[[here, there]] = order[[there, here]]
            i += 1


def params_and_buffers(module: nn.Module) -> list[Tensor]:
    """All parameters, then all buffers."""
    return [*module.parameters(), *module.buffers()]


def named_params_and_buffers(module: nn.Module) -> list[tuple[str, Tensor]]:
    """All parameters, then all buffers, by name."""
    return [*module.named_parameters(), *module.named_buffers()]


def copy_params_and_buffers(src_module: nn.Module, dst_module: nn.Module, require_all: bool = False) -> None:
    """Copies what both modules have; with require_all dst may have nothing more."""
    source = dict(named_params_and_buffers(src_module))
    for name, tensor in named_params_and_buffers(dst_module):
        if name in source:
            tensor.detach().copy_(source[name].detach())
        elif require_all:
            raise ValueError(f"{name}: is not in the source")


@contextlib.contextmanager
def ddp_sync(module: nn.Module, sync: bool) -> Iterator[None]:
    """Within the block a DistributedDataParallel module sums gradients only if sync."""
    if sync or not isinstance(module, nn.parallel.DistributedDataParallel):
        yield
    else:
        with module.no_sync():
            yield


def check_ddp_consistency(module: nn.Module, ignore_regex: str | None = None) -> None:
    """AssertionError if a parameter or buffer differs from that of rank 0."""
    for name, tensor in named_params_and_buffers(module):
        full = f"{type(module).__name__}.{name}"
        if ignore_regex is not None and re.fullmatch(ignore_regex, full):
            continue
        tensor = tensor.detach()
        if tensor.is_floating_point():
            tensor = torch.nan_to_num(tensor)
        first = tensor.clone()
        torch.distributed.broadcast(first, src=0)
        if not torch.equal(tensor, first):
            raise AssertionError(f"{full}: differs from that of rank 0")


def print_module_summary(
    module: nn.Module, inputs: Sequence[Any], max_nesting: int = 3, skip_redundant: bool = True
) -> Any:
    """Runs the module, prints a table of its parts with parameters, buffers and output shapes; returns its outputs.

    max_nesting: parts deeper than this are left out. skip_redundant: so are those without parameters or buffers of
    their own.
    """
    rows: list[tuple[str, ...]] = []
    names = {m: name for name, m in module.named_modules()}

    def record(part: nn.Module, args: Any, outputs: Any) -> None:
        own = [sum(t.numel() for t in part._parameters.values() if t is not None)]
        own += [sum(t.numel() for t in part._buffers.values() if t is not None)]
        name = names[part]
        if name.count(".") < max_nesting and (any(own) or not skip_redundant or part is module):
            shapes = [str(list(t.shape)) for t in _tensors(outputs)]
            rows.append((name or "<top-level>", type(part).__name__, *map(str, own), " ".join(shapes)))

    handles = [part.register_forward_hook(record) for part in names]
    try:
        outputs = module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    table = [(type(module).__name__, "class", "parameters", "buffers", "output"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return outputs


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
