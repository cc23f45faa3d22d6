"""Backends: which there are, which one a call takes, and why not the others.

This is the only file that names a backend, imports one or asks whether CUDA is there. A backend is an entry of
`BACKENDS` and a place where launchers are found by the name of their primitive: nothing is registered.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger("gan_fast")

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_DTYPE_CODES = {dtype: code for code, dtype in enumerate((*FLOATS, torch.uint8, torch.int64))}  # csrc/tensor.h: DType

Launcher = Callable[..., None]


@dataclass(frozen=True)
class Backend:
    """A family of launchers.

    devices: device types whose tensors it takes. module: name of the module that holds the launchers of an op.
    unavailable: a reason why it cannot run on this machine, None if it can. wrap: makes a
    launcher that takes tensors from what the module holds.
    """

    devices: Callable[[], tuple[str, ...]]
    module: Callable[[str], str]
    unavailable: Callable[[], str | None]
    wrap: Callable[[ModuleType, str], Launcher]
    dtypes: Callable[[], tuple[torch.dtype, ...]] = lambda: FLOATS


def _view(t: object) -> object:
    """What a native launcher receives for a tensor: (address, dtype code, sizes, strides)."""
    return (t.data_ptr(), _DTYPE_CODES[t.dtype], t.shape, t.stride()) if isinstance(t, Tensor) else t


def _native(module: ModuleType, primitive: str) -> Launcher:
    function = getattr(module, primitive)

    def launch(*args: object) -> None:
        function(*map(_view, args))

    return launch


def _native_cuda(module: ModuleType, primitive: str) -> Launcher:
    """On the tensors' device and its current stream, which is the last argument.

    Where the module has <primitive>_scratch, it is asked with the same arguments for a number of bytes, and that much
    memory of the caching allocator (so that a CUDA graph may capture it) is the argument before the stream.
    """
    function = getattr(module, primitive)
    scratch = getattr(module, f"{primitive}_scratch", None)

    def launch(*args: object) -> None:
        device = next(a.device for a in args if isinstance(a, Tensor))
        views = [_view(a) for a in args]
        with torch.cuda.device(device):
            if scratch is not None:
                views.append(_view(torch.empty(scratch(*views), dtype=torch.uint8, device=device)))
            function(*views, torch.cuda.current_stream(device).cuda_stream)

    return launch


def _triton(module: ModuleType, primitive: str) -> Launcher:
    """On the tensors' device: Triton launches on torch's current one."""
    function = getattr(module, primitive)

    def launch(*args: object) -> None:
        with torch.cuda.device_of(next(a for a in args if isinstance(a, Tensor))):
            function(*args)

    return launch


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def _triton_unavailable() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if _interpreted():
        return None
    if not torch.cuda.is_available():
        return "no CUDA device (TRITON_INTERPRET=1 runs the kernels on the CPU, slowly)"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")):
        return "no C compiler, which Triton needs at run time"
    return None


def _built(module: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return f"{module} was not built (docs/install.md)"
    return None


def _cuda_unavailable() -> str | None:
    return _built("gan_fast._cuda") or (None if torch.cuda.is_available() else "no CUDA device")


BACKENDS: dict[str, Backend] = {
    "cuda": Backend(
        devices=lambda: ("cuda",),
        module=lambda op: "gan_fast._cuda",
        unavailable=_cuda_unavailable,
        wrap=_native_cuda,
    ),
    "triton": Backend(
        devices=lambda: ("cpu", "cuda") if _interpreted() else ("cuda",),
        module=lambda op: f"gan_fast.kernels.{op}",
        unavailable=_triton_unavailable,
        wrap=_triton,
        # the interpreter adds and multiplies the bit patterns of bfloat16 numbers
        dtypes=lambda: FLOATS[:3] if _interpreted() else FLOATS,
    ),
    "cpu": Backend(
        devices=lambda: ("cpu",),
        module=lambda op: "gan_fast._cpu",
        unavailable=lambda: _built("gan_fast._cpu"),
        wrap=_native,
    ),
}
# ops that a backend without a kernel of theirs runs as a composition of others, or of PyTorch's alone
COMPOSED = {
    "conv2d": (),
    "filtered_lrelu": ("bias_act", "upfirdn2d"),
    "modulated_conv2d": ("bias_act", "modulate", "upfirdn2d"),
}
AUTO_ORDER = {"cuda": ("cuda", "triton"), "cpu": ("cpu",)}
SWITCHES = {
    "GAN_FAST_BACKEND": "the backend of ops that name none",
    "GAN_FAST_STRICT": "1: a fallback of 'auto' is an error",
    "GAN_FAST_AUTOTUNE": "0: nothing is timed, what the cache file does not know takes its default",
    "GAN_FAST_CACHE": "the folder of the cache files (default: gan_fast in $XDG_CACHE_HOME or ~/.cache)",
    "GAN_FAST_ISA": "plain, avx2 or avx512: the widest instructions that the CPU kernels use",
    "TRITON_INTERPRET": "1: Triton kernels run in Python on the CPU",
}


@functools.cache
def _module(name: str) -> ModuleType | str:
    """The module, or the reason why it cannot be imported: a failure is remembered, not tried again at each call."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        return f"{name}: {error}"


@functools.cache
def launcher(op: str, primitive: str, backend: str) -> Launcher | str:
    """The launcher of one primitive of an op, or the reason why there is none."""
    entry = BACKENDS[backend]
    if (reason := entry.unavailable()) is not None:
        return reason
    if importlib.util.find_spec(entry.module(op)) is None:
        return f"no {backend} kernel for {op}"
    module = _module(entry.module(op))
    if isinstance(module, str):
        return module
    if not hasattr(module, primitive):
        return f"no {backend} kernel for {primitive}"
    return entry.wrap(module, primitive)


def constant_when_compiled(function: Callable) -> Callable:
    """What torch.compiler.assume_constant_result does, without the seconds that importing torch._dynamo takes."""
    function._dynamo_marked_constant = True
    return function


def autocasts(device: torch.device) -> bool:
    """Whether torch.autocast is on for tensors there."""
    if not torch._C._is_any_autocast_enabled():  # the usual case, known in a tenth of the time
        return False
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def autocast(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """x and others as torch casts the arguments of a convolution: not at all, or to the dtype of torch.autocast."""
    if not autocasts(x.device) or x.dtype == torch.float64:
        return x, *others
    dtype = torch.get_autocast_dtype(x.device.type)
    return tuple(t.to(dtype) for t in (x, *others))


def outside_autocast(function: Callable) -> Callable:
    """Makes a function compute in the dtypes of its arguments, as kernels do, also where torch.autocast is on."""

    @functools.wraps(function)
    def call(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not autocasts(x.device):
            return function(x, *args, **kwargs)
        with torch.autocast(x.device.type, enabled=False):
            return function(x, *args, **kwargs)

    return call


def variant(op: str, primitive: str, backend: str, args: tuple) -> str | None:
    """Which of a backend's kernels takes a launch, and why; None where there is only one."""
    function = getattr(_module(BACKENDS[backend].module(op)), f"{primitive}_variant", None)
    return None if function is None else function(*map(_view, args))


@constant_when_compiled
def has_kernel(op: str, backend: str) -> bool:
    """Whether a backend can launch an op itself; what it takes without is a composition of other ops on it."""
    return backend != "reference" and not isinstance(launcher(op, op, backend), str)


def refusal(op: str, backend: str, device: str, dtype: torch.dtype) -> str | None:
    """Why a backend does not take an op on such tensors; None if it does."""
    entry = BACKENDS[backend]
    for part in (op,) if has_kernel(op, backend) else COMPOSED.get(op, (op,)):
        if isinstance(found := launcher(part, part, backend), str):
            return found
    if device not in entry.devices():
        return f"takes {' and '.join(entry.devices())} tensors"
    if dtype not in entry.dtypes():
        return f"does not take {dtype}" + (" in Triton's interpreter" if backend == "triton" else "")
    return None


_DEFAULT = os.environ.get("GAN_FAST_BACKEND") or "auto"
_requested: ContextVar[str] = ContextVar("gan_fast_backend", default=_DEFAULT)


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within the block, ops that name no backend take this one: "auto", "reference" or a key of BACKENDS.

    The choice belongs to the thread (or task) and is restored when the block is left, also by an exception. A
    compiled function keeps the backend that was in force when it was traced.
    """
    _check_name(name)
    token = _requested.set(name)
    try:
        yield
    finally:
        _requested.reset(token)


def _check_name(name: object) -> None:
    if name not in ("auto", "reference", *BACKENDS):
        raise ValueError(f"backend: got {name!r}, takes auto, reference, {', '.join(BACKENDS)}")


@functools.cache
def _choose(op: str, device: str, dtype: torch.dtype, name: str) -> str:
    _check_name(name)
    if name == "reference":
        return name
    if name != "auto":
        if (reason := refusal(op, name, device, dtype)) is not None:
            raise RuntimeError(f"{op}: backend '{name}' cannot run here: {reason}")
        return name
    order = AUTO_ORDER.get(device, ())
    reasons: dict[str, str] = {}
    for candidate in order:
        if (reason := refusal(op, candidate, device, dtype)) is None:
            break
        reasons[candidate] = reason
    else:
        candidate = "reference"
    passed_over = "; ".join(f"{b}: {r}" for b, r in reasons.items()) or f"no backend takes {device} tensors"
    # a backend with no kernel for this op by design is passed over without being missed, except for the reference
    fell_back = candidate == "reference" or any(not r.startswith("no ") for r in reasons.values())
    if fell_back and os.environ.get("GAN_FAST_STRICT") == "1":
        raise RuntimeError(f"{op}: backend 'auto' falls back to '{candidate}' on {device} {dtype} ({passed_over})")
    if fell_back:
        logger.warning("%s on %s %s falls back to %s (%s)", op, device, dtype, candidate, passed_over)
    else:
        logger.info("%s on %s %s takes %s", op, device, dtype, candidate)
    return candidate


@constant_when_compiled
def _resolve(op: str, device: str, dtype: torch.dtype, name: str | None) -> str:
    return _choose(op, device, dtype, _requested.get() if name is None else name)


def resolve(op: str, x: Tensor, name: str | None) -> str:
    """The backend that a call of an op on x takes.

    name None means what `use_backend` or the environment variable GAN_FAST_BACKEND says. A named backend is taken or
    raises RuntimeError with the reason; "auto" takes the fastest that can run, tells the log once, and with
    GAN_FAST_STRICT=1 raises where it would fall back.
    """
    if not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None:
        if (name or _requested.get()) not in ("auto", "reference"):
            raise RuntimeError(f"{op}: torch.func transforms work with backend='reference' only, got {name!r}")
        return "reference"
    return _resolve(op, x.device.type, x.dtype, name)


@constant_when_compiled
def _candidates(op: str, device: str, dtype: torch.dtype, name: str | None, first: str) -> list[str]:
    if (name or _requested.get()) != "auto" or first == "reference":
        return [first]
    others = (b for b in AUTO_ORDER.get(device, ()) if refusal(op, b, device, dtype) is None)
    return [first, *(b for b in others if b != first)]


def candidates(op: str, x: Tensor, name: str | None) -> list[str]:
    """The backends that a call of an op on x may take, the first as `resolve` says: several only for "auto"."""
    return _candidates(op, x.device.type, x.dtype, name, resolve(op, x, name))


def explain(op: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, str]:
    """For every backend of an op on such tensors: "taken", "available" or the reason why it is refused."""
    verdict = {b: refusal(op, b, device, dtype) or "available" for b in BACKENDS} | {"reference": "available"}
    chosen = next((b for b in AUTO_ORDER.get(device, ()) if verdict[b] == "available"), "reference")
    return verdict | {chosen: "taken"}


def forget() -> None:
    """Drops what was found and chosen, for a test that changes what is there."""
    for cached in (_triton_unavailable, _module, launcher, _choose):
        cached.cache_clear()
