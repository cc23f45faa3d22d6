"""Autotuning: of several ways to compute the same thing, the fastest on this device, timed once and kept in a file.

    fastest("modulated_conv2d", (*bucket(x.shape), str(x.dtype)), {"cuda": first, "triton": second}, x.device)

An answer is looked up in this process, then in the cache file of the device, and only then timed. Importing this module
reads nothing and asks no GPU.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_fast.ops.backends import constant_when_compiled, logger

WARM_UP, ROUNDS = 2, 25
SECONDS = 0.2  # for the rounds, by candidate
MARGIN = 0.97  # of the default's time, that another candidate must not exceed
PATIENCE = 2.0  # seconds that the lock of the cache file is waited for

Candidates = Mapping[str, Callable[[], object]]
Timer = Callable[[Callable[[], object]], float]


# ------------------------------------------------------------------------------------------------ the cache file


@dataclass(frozen=True)
class Entry:
    """One answer. ms: the median of each candidate, None of one that raised."""

    op: str
    key: Sequence
    winner: str
    ms: Mapping[str, float | None]
    date: str

    def answers(self, names: Sequence[str]) -> bool:
        return self.winner in names and set(names) <= self.ms.keys()


def _identify(op: str, key: Sequence) -> str:
    return json.dumps([op, key], default=str)


def _read(path: Path) -> dict[str, Entry]:
    """Raises OSError, or ValueError where the file is broken."""
    try:
        entries = [Entry(**entry) for entry in json.loads(path.read_text())]
        if not all(entry.answers([*entry.ms]) for entry in entries):
            raise ValueError("an entry's winner was not timed")
    except FileNotFoundError:
        return {}
    except (TypeError, AttributeError) as error:
        raise ValueError(error) from None
    return {_identify(entry.op, entry.key): entry for entry in entries}


@contextlib.contextmanager
def _locked(path: Path, seconds: float) -> Iterator[None]:
    """Between processes; the system takes the lock from one that dies. Raises TimeoutError."""
    import fcntl  # not on Windows, where the cache file is read only

    end = time.monotonic() + seconds
    with open(path, "a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise TimeoutError(f"{path} is held by another process") from None
                time.sleep(0.01)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


class CacheFile:
    """Entries in a JSON file that processes share, one a line.

    It is replaced as a whole, so that readers need no lock, and merged under a lock with what other processes have
    written. A file that cannot be read or written, or whose lock is not free in time, is left alone from then on, and
    the log told so once.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self._patience = patience
        self._usable = True
        try:
            self.entries = _read(path)
        except OSError as error:
            self._give_up(error)
        except ValueError as error:
            logger.warning("%s is broken and ignored (%s)", path, error)

    def add(self, entry: Entry) -> Entry:
        """Returns the entry that holds from now on: that of the process which wrote first, if it answers the same."""
        name = _identify(entry.op, entry.key)
        self.entries[name] = entry
        if not self._usable:
            return entry
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path.with_suffix(".lock"), self._patience):
                written = self._read_or_set_aside()
                if name in written and not written[name].answers([*entry.ms]):
                    del written[name]
                self.entries |= written
                lines = (json.dumps(vars(self.entries[e]), default=str) for e in sorted(self.entries))
                unfinished = self.path.with_suffix(".tmp")
                unfinished.write_text("[\n" + ",\n".join(lines) + "\n]\n")
                os.replace(unfinished, self.path)
        except (OSError, ImportError) as error:
            self._give_up(error)
        return self.entries[name]

    def _read_or_set_aside(self) -> dict[str, Entry]:
        try:
            return _read(self.path)
        except ValueError:
            aside = self.path.with_suffix(".broken")
            os.replace(self.path, aside)
            logger.warning("%s was broken and is now %s", self.path, aside)
            return {}

    def _give_up(self, error: Exception) -> None:
        self._usable = False
        logger.warning("autotuning goes on without %s (%s)", self.path, error)


def device_name(device: torch.device) -> str:
    """The model of a GPU or of this machine's processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _driver() -> str:
    try:
        found = re.search(r"\d+\.[\d.]+", Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        found = None
    return f"driver {found[0]}" if found else "unknown driver"


def version_of(package: str) -> str:
    """The name and version of an installed package, or that it is not there."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


_opened = functools.cache(CacheFile)


def cache_file(device: torch.device) -> CacheFile:
    """The one for this device (on CPUs: this number of threads), driver, torch, triton and gan_fast.

    In $GAN_FAST_CACHE, or gan_fast in $XDG_CACHE_HOME, which is ~/.cache by default.
    """
    folder = os.environ.get("GAN_FAST_CACHE")
    if not folder:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "gan_fast"
    around = _driver() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    versions = [version_of(package) for package in ("torch", "triton", "gan_fast")]
    name = " ".join([device_name(device), around, *versions])
    return _opened(Path(folder) / (re.sub(r"[^a-z0-9.+_]+", "-", name.lower()) + ".json"))


# ------------------------------------------------------------------------------------------------ timing


def timer(device: torch.device) -> Timer:
    """What times one call, in seconds.

    On a GPU between two events of the current stream. The second-level cache is emptied before, which also keeps the
    GPU busy while the call is launched, so that the launch is not timed.
    """
    if device.type != "cuda":

        def on_host(call: Callable[[], object]) -> float:
            begin = time.perf_counter()
            call()
            return time.perf_counter() - begin

        return on_host

    cache_size = torch.cuda.get_device_properties(device).L2_cache_size
    memory = torch.empty(4 * cache_size, dtype=torch.uint8, device=device)

    def on_device(call: Callable[[], object]) -> float:
        with torch.cuda.device(device):
            memory.zero_()
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            call()
            end.record()
            end.synchronize()
        return begin.elapsed_time(end) / 1e3

    return on_device


def _race(
    candidates: Candidates, seconds_of: Timer, clock: Callable[[], float]
) -> tuple[dict[str, float], dict[str, Exception]]:
    """Median times, and what the others raised. In turn, so that whatever else the machine does meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    failed: dict[str, Exception] = {}
    order = list(candidates)
    for turn in range(WARM_UP + ROUNDS):
        if turn == WARM_UP:
            end = clock() + SECONDS * (len(candidates) - len(failed))
        elif turn > WARM_UP and clock() >= end:
            break
        for name in order:
            if name not in failed:
                try:
                    times[name].append(seconds_of(candidates[name]))
                except Exception as error:
                    failed[name] = error
        order = order[1:] + order[:1]
    return {name: statistics.median(t[WARM_UP:]) for name, t in times.items() if name not in failed}, failed


def _winner(medians: Mapping[str, float], default: str) -> str:
    """The fastest; the default, unless it failed, where the fastest does not beat it by the margin."""
    best = min(medians, key=medians.__getitem__)
    return default if default in medians and medians[best] > MARGIN * medians[default] else best


# ------------------------------------------------------------------------------------------------ choosing

_chosen: dict[tuple, str] = {}
_one_at_a_time = threading.RLock()


def _allowed() -> bool:
    value = os.environ.get("GAN_FAST_AUTOTUNE", "1")
    if value not in ("0", "1"):
        raise ValueError(f"GAN_FAST_AUTOTUNE: got {value!r}, takes 0 or 1")
    return value == "1"


def _recorded(device: torch.device) -> bool:
    """Whether calls are now traced, transformed or captured instead of run."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or (device.type == "cuda" and torch.cuda.is_current_stream_capturing())
    )


def _symbolic(key: tuple) -> bool:
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return not all(has_static_value(part) for part in key if isinstance(part, (int, float)))


@constant_when_compiled
def _known(op: str, key: tuple, names: tuple[str, ...], device: torch.device) -> str | None:
    """The answer, without timing; None where timing would give it."""
    call = (op, key, names, device)
    if call not in _chosen:
        allowed = _allowed()
        entry = cache_file(device).entries.get(_identify(op, key))
        if entry is not None and entry.answers(names):
            _chosen[call] = entry.winner
        elif not allowed:
            _chosen[call] = names[0]
    return _chosen.get(call)


def _tune(
    op: str,
    key: tuple,
    candidates: Candidates,
    device: torch.device,
    make_timer: Callable[[torch.device], Timer] = timer,
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    names = tuple(candidates)
    with _one_at_a_time:
        if (known := _known(op, key, names, device)) is not None:  # another thread was first
            return known
        with torch.no_grad():
            medians, failed = _race(candidates, make_timer(device), clock)
        for name, error in failed.items():
            logger.warning("%s %s: '%s' is out of the race: %s: %s", op, key, name, type(error).__name__, error)
        if not medians:
            raise failed[names[0]]
        ms = {name: round(1e3 * medians[name], 4) if name in medians else None for name in names}
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        entry = cache_file(device).add(Entry(op, key, _winner(medians, names[0]), ms, today))
        logger.info("%s %s takes %s (ms: %s)", op, key, entry.winner, entry.ms)
        _chosen[op, key, names, device] = entry.winner
        return entry.winner


def fastest(op: str, key: tuple, candidates: Candidates, device: torch.device) -> str:
    """The name of the candidate that runs fastest for an op with this key on this device.

    key: all else that the answer depends on (sizes, see `bucket`; dtype, layout, settings): hashable, of numbers and of
    what `str` names. candidates: calls without arguments or lasting effects, by name; the first is the default. device:
    of their tensors, which are plain.

    What this process or the cache file knows is returned. Else the candidates are timed, without gradients, for about
    0.2 s each besides their first two calls: in turn, by medians, and another must beat the default by 3 %. One that
    raises is out, which the log tells. The default is returned untimed with GAN_FAST_AUTOTUNE=0; on devices that are
    neither CPUs nor CUDA; and, this time only, while torch.compile traces, under dispatch modes (as of fake tensors)
    and torch.func transforms, and while a CUDA graph is captured. A compiled function keeps the answer there was when
    it was traced; for a key with symbolic sizes that is the default.

    Threads time one key once. Processes may time the same one at once, by noise with other answers, and the first that
    writes the cache file decides for all: ranks that share the file and have equal GPUs take the same candidate. Ranks
    of different machines need not, nor do those whose file cannot be written (the log tells): where equal bits matter,
    give all machines one file and set GAN_FAST_AUTOTUNE=0. Nothing is exchanged between ranks, which need not meet the
    same keys.

    Raises ValueError if there are no candidates or GAN_FAST_AUTOTUNE is neither 0 nor 1, and what the default raised if
    all raise.
    """
    names = tuple(candidates)
    if not names:
        raise ValueError("candidates: got none, takes at least one")
    if len(names) == 1 or device.type not in ("cpu", "cuda") or (torch.compiler.is_compiling() and _symbolic(key)):
        return names[0]
    if (known := _known(op, key, names, device)) is not None:
        return known
    return names[0] if _recorded(device) else _tune(op, key, candidates, device)


def bucket(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape as part of a key: the batch, its first size, rounded up to a power of two, the others as they are."""
    n, *rest = shape
    size = 1
    while size < n:  # bit_length would compile anew for each batch
        size *= 2
    return (size, *rest)


def forget() -> None:
    """Drops what this process knows, but not the cache file: for a test that changes what is there."""
    _chosen.clear()
    _opened.cache_clear()
