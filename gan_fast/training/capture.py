"""Phases of a step as CUDA graphs: the host launches a whole phase at once, instead of each of its kernels.

A graph is a list of kernels with the addresses of their tensors; whatever Python decided while it was captured stays
decided. So a phase is captured as a function of tensors:

    inputs            copied, before each replay, into tensors whose addresses stay
    state             weights, Adam's moments, p, ... lie where they lay, and every update of them is in place
    random numbers    from generators that the graph knows, which are seeded before each replay
    all else          what inputs are there, and of what shape: part of the key that a graph is kept under

Nothing in a phase may read a tensor's value on the host, which would wait for the device and freeze what it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

WARM_UP = 3  # runs of each key before it is captured, in which Adam, autotuning, cuBLAS and caches make what they keep

T = TypeVar("T")
Outputs = dict[str, Tensor]
Inputs = tuple[Tensor | None, ...]


class Recorder(Protocol):
    """How functions become graphs; `CudaRecorder` for GPUs."""

    def run(self, function: Callable[[], T]) -> T:
        """Run it where it would be captured."""

    def record(
        self, function: Callable[[], T], generators: Iterable[torch.Generator] = ()
    ) -> tuple[Callable[[], None], T]:
        """Capture it, without running it: what replays it, and the tensors that a replay leaves its results in."""


class CudaRecorder:
    """CUDA graphs with one pool of memory, as no two of them run at once and none keeps anything for another.

    Raises:
        ValueError: the device is no GPU.
    """

    def __init__(self, device: torch.device):
        if device.type != "cuda":
            raise ValueError(f"capture: CUDA graphs take networks on a GPU, got networks on {device}")
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, function: Callable[[], T]) -> T:
        # The stream that is captured must be the one that gradients and workspaces were made on.
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = function()
        current.wait_stream(self._stream)
        return outputs

    def record(
        self, function: Callable[[], T], generators: Iterable[torch.Generator] = ()
    ) -> tuple[Callable[[], None], T]:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        # thread_local: the thread that prefetches batches goes on allocating and copying meanwhile.
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"),
        ):
            outputs = function()
        return graph.replay, outputs


class Graphs:
    """Runs functions, and from their `WARM_UP`-th run on as graphs.

    Args:
        recorder: makes the graphs.
        generators: where the functions draw random numbers from, besides PyTorch's global generator.
    """

    def __init__(self, recorder: Recorder, generators: Iterable[torch.Generator] = ()):
        self._recorder, self._generators = recorder, tuple(generators)
        self._inputs: dict[tuple, Tensor] = {}
        self._runs: dict[tuple, int] = {}
        self._graphs: dict[tuple, tuple[Callable[[], None], Outputs]] = {}

    def __call__(self, name: str, function: Callable[..., Outputs], inputs: Inputs) -> Outputs:
        """The results of function(*inputs), on tensors that stay where they are.

        Args:
            name: of the function: one name, one function.
            function: reads inputs and state, and draws from the generators, whose seeds are set by now.
            inputs: tensors, or None for one that is absent.
        """
        kinds = [None if t is None else (t.shape, t.stride(), t.dtype) for t in inputs]
        key = (name, *kinds)
        own = [t if t is None else self._own(i, kind, t) for i, (kind, t) in enumerate(zip(kinds, inputs, strict=True))]
        self._runs[key] = self._runs.get(key, 0) + 1
        if self._runs[key] <= WARM_UP:
            return self._recorder.run(lambda: function(*own))
        if key not in self._graphs:
            self._graphs[key] = self._recorder.record(lambda: function(*own), self._generators)
        replay, outputs = self._graphs[key]
        replay()
        # The next replay, of this graph or another, writes into the same memory.
        return {name: y.clone() for name, y in outputs.items()}

    def _own(self, place: int, kind: tuple, given: Tensor) -> Tensor:
        own = self._inputs.setdefault((place, kind), torch.empty_like(given))
        return own.copy_(given)
