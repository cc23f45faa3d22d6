"""What the compilers make of the kernels for GPUs that need not be there: registers, spills, memory, instructions.

Triton kernels are compiled as ops launch them: CALLS run on tensors without memory, both orders, and what each launch
would compile is compiled for the named chips. CUDA kernels are read from the built module where it is as new as its
sources and has code for the chip, else compiled by nvcc. Nothing is launched.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gan_fast import ops
from gan_fast.ops import backends

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SUMS = ("s", "noise", "strength", "f")  # tensors that layers keep in float32


@dataclass(frozen=True)
class Chip:
    """Of a multiprocessor: warps, blocks, bytes of shared memory, of which a block may have so many, and registers."""

    capability: int
    warps: int
    blocks: int
    shared: int
    shared_of_block: int
    registers: int = 65536

    def occupancy(self, registers: int, shared: int, threads: int) -> float:
        """Warps that are resident together, as a share of those that could be."""
        warps = -(-threads // 32)
        of_warp = -(-registers * 32 // 256) * 256  # as registers are handed out
        by_registers = self.registers // (of_warp * warps)
        by_memory = self.shared // (shared + 1024)  # what the system takes of each block
        return min(self.blocks, self.warps // warps, by_registers, by_memory) * warps / self.warps


CHIPS = {
    "sm_80": Chip(80, 64, 32, 164 << 10, 163 << 10),
    "sm_90": Chip(90, 64, 32, 228 << 10, 227 << 10),
    "sm_100": Chip(100, 64, 32, 228 << 10, 227 << 10),
    "sm_120": Chip(120, 48, 24, 100 << 10, 99 << 10),
}


@dataclass(frozen=True)
class Call:
    """A layer's call of an op. tensors: their shapes. order: of the derivatives that are launched."""

    op: str
    name: str
    tensors: dict[str, tuple[int, ...]]
    settings: dict[str, Any] = field(default_factory=dict)
    order: int = 2
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16)
    layouts: tuple[torch.memory_format, ...] = (torch.contiguous_format, torch.channels_last)


def _upfirdn2d(name: str, f: tuple[int, ...], **settings: Any) -> Call:
    return Call("upfirdn2d", name, {"x": (16, 128, 64, 64), "f": f}, settings, order=0)


def _layer(name: str, i: int, o: int, size: int, n: int = 4, order: int = 1, **settings: Any) -> Call:
    """Of a StyleGAN2 network, in bfloat16 and channels_last."""
    up, down = settings.get("up", 1), settings.get("down", 1)
    out = size * up // down
    tensors = {"x": (n, i, size, size), "w": (o, i, 3, 3), "s": (n, i), "b": (o,), "noise": (n, 1, out, out)}
    tensors |= {"strength": ()} | ({"f": (4, 4)} if up * down > 1 else {})
    settings = {"padding": 1, "act": "lrelu", "clamp": 256.0} | settings
    last = (torch.channels_last,)
    return Call("modulated_conv2d", name, tensors, settings, order, settings.pop("dtypes", (torch.bfloat16,)), last)


_ACTIVATION = (16, 128, 64, 64)
_SEED = {"seed": (2,)}
CALLS = (
    Call("bias_act", "tanh", {"x": _ACTIVATION, "b": (128,)}, {"act": "tanh", "clamp": 256.0}),
    Call("interpolate", "batch", {"a": (8, 3, 128, 128), "b": (8, 3, 128, 128), **_SEED}, order=1),
    Call("minibatch_stddev", "end", {"x": (16, 512, 4, 4)}),
    Call("minibatch_stddev", "labels", {"x": (16, 512, 4, 4), "labels": (16,)}, dtypes=(torch.float32, torch.float64)),
    Call(
        "modulate",
        "layer",
        {"x": _ACTIVATION, "s": (16, 128), "noise": (16, 1, 64, 64), "strength": (), "b": (128,)},
        {"act": "lrelu", "clamp": 256.0},
    ),
    Call("modulate", "scale", {"x": _ACTIVATION, "s": (16, 128)}, dtypes=(torch.bfloat16,)),
    _layer("512>512 64^2", 512, 512, 64, order=2),
    _layer("512>512 16^2", 512, 512, 16, n=32),
    _layer("512>512 16^2", 512, 512, 16, n=32, dtypes=(torch.float32,)),
    _layer("512>512 4^2", 512, 512, 4, n=32),
    _layer("128>128 256^2", 128, 128, 256),
    _layer("64>64 512^2", 64, 64, 512),
    _layer("32>32 1024^2", 32, 32, 1024),
    _layer("256>128 up2", 256, 128, 128, up=2),
    _layer("64>128 down2", 64, 128, 512, down=2),
    _layer("513>512 odd", 513, 512, 4, n=32),
    _layer("512>3 rgb", 512, 3, 64),
    _layer("64>64 pixel", 64, 64, 1, n=1),
    _layer("64>64 2^32", 64, 64, 8192),
    Call("noise", "plane", {"strength": (), **_SEED}, {"shape": (8, 1, 64, 64)}, order=0),
    Call("square_sum", "penalty", {"x": (8, 3, 128, 128)}, dtypes=(torch.float32, torch.float64, torch.bfloat16)),
    _upfirdn2d("up2", (4, 4), up=2, padding=[2, 1, 2, 1], gain=4),
    _upfirdn2d("fir", (4, 4), padding=[2, 1, 2, 1]),
    _upfirdn2d("down2", (4, 4), down=2, padding=1),
    _upfirdn2d("12-taps", (12,), up=2, padding=[6, 5, 6, 5]),
    _upfirdn2d("up3-down2", (6, 6), up=3, down=2, padding=[4, 3, 4, 3]),
)


OPS = {
    "triton": tuple(dict.fromkeys(call.op for call in CALLS)),
    "cuda": (
        *("bias_act", "filtered_lrelu", "grid_sample", "interpolate", "minibatch_stddev", "modulate", "noise"),
        *("square_sum", "upfirdn2d"),
    ),
}


@dataclass(frozen=True)
class Code:
    """A file of compiled kernels, disassembled when instructions are asked for: that takes as long as compiling."""

    chip: str
    file: bytes = field(repr=False)

    @functools.cached_property
    def instructions(self) -> dict[str, Counter[str]]:
        """Of each symbol."""
        mnemonic = r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)"
        functions = (f.split("\n", 1) for f in self.dump("-sass").split("Function : ")[1:])
        return {symbol.strip(): Counter(re.findall(mnemonic, text, re.M)) for symbol, text in functions}

    def dump(self, *flags: str) -> str:
        with TemporaryDirectory() as scratch:
            path = Path(scratch, "code")
            path.write_bytes(self.file)
            return _cuobjdump(path, "-arch", self.chip, *flags)


@dataclass(frozen=True)
class Kernel:
    """One kernel, compiled. local: bytes of stack and spills of a thread. shared: bytes of a block."""

    op: str
    backend: str
    chip: str
    name: str
    threads: int
    registers: int
    local: int
    shared: int
    symbol: str
    code: Code = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} for {self.chip}"

    @functools.cached_property
    def instructions(self) -> Counter[str]:
        """Their number by their names."""
        return self.code.instructions[self.symbol]

    def count(self, pattern: str) -> int:
        return sum(n for name, n in self.instructions.items() if re.match(pattern, name))

    @property
    def occupancy(self) -> float:
        return CHIPS[self.chip].occupancy(self.registers, self.shared, self.threads)

    @property
    def mma(self) -> int:
        """Matrix products of a warp."""
        return self.count("[HQID]MMA")

    @property
    def wgmma(self) -> int:
        """Of a group of four warps, or the fifth generation's."""
        return self.count("[HQI]GMMA|UTC[A-Z]*MMA")

    @property
    def wide_loads(self) -> int:
        """Of 16 bytes, from global memory: into registers, or past them."""
        return self.count(r"(LDG|LDGSTS)\.E(\.\w+)*\.128")

    @property
    def wide_stores(self) -> int:
        return self.count(r"STG\.E(\.\w+)*\.128")

    @property
    def wide_shared(self) -> int:
        """Loads of 16 bytes from shared memory."""
        return self.count(r"LDS(\.\w+)*\.128")

    @property
    def loads(self) -> int:
        return self.count("LDG")


@dataclass(frozen=True)
class Limit:
    """Of kernels whose name matches: at most so many registers, loads and bytes, at least so many of the rest."""

    backend: str
    name: str
    registers: int
    wide_loads: int = 0
    wide_stores: int = 0
    wide_shared: int = 0
    wgmma: int = 0
    loads: int | None = None
    shared: int | None = 48 << 10  # what a block has without asking for more
    local: int = 0
    chips: tuple[str, ...] = ("sm_90",)

    def broken_by(self, kernel: Kernel) -> Iterator[str]:
        for what in ("registers", "loads", "shared", "local"):
            if (most := getattr(self, what)) is not None and (found := getattr(kernel, what)) > most:
                yield f"{kernel}: {what} {found}, at most {most}"
        for what in ("wide_loads", "wide_stores", "wide_shared", "wgmma"):
            if (least := getattr(self, what)) and (found := getattr(kernel, what)) < least:
                yield f"{kernel}: {what} {found}, at least {least}"


def _triton(name: str, registers: int, wide_loads: int = 0, wide_stores: int = 0, **more: Any) -> Limit:
    return Limit("triton", name, registers, wide_loads, wide_stores, **more)


def _cuda(name: str, registers: int, wide_loads: int = 0, wide_stores: int = 0, **more: Any) -> Limit:
    return Limit("cuda", name, registers, wide_loads, wide_stores, **more)


# The first row that matches counts. Registers say how many blocks share a multiprocessor, wide loads that every operand
# is read in vectors, and how many are in flight together.
LIMITS = (
    _triton(r"^bias_act bias_act_kernel", 96, 1, 1),
    _triton(r"^bias_act_grad bias_act_kernel", 96, 2, 1),
    _triton(r"^bias_act_grad2 bias_act_kernel", 96, 3, 1),
    _triton(r"bias_act_sum_kernel", 96),
    _triton(r"interpolate_\w*kernel", 64, 1, 1),
    _triton(r"^minibatch_stddev minibatch_stddev_kernel end .* contiguous", 128, 1, 1),
    _triton(r"^minibatch_stddev_\w+ minibatch_stddev_kernel end .* contiguous", 128, 2, 1),
    _triton(r"minibatch_stddev_kernel", 128),
    _triton(r"^modulate modulate_kernel", 128, 1, 1),
    _triton(r"^modulate_\w+ modulate_kernel layer", 128, 3, 1),
    _triton(r"^modulate_\w+ modulate_kernel scale", 128, 2, 1),
    # both operands arrive asynchronously, in vectors
    _triton(
        r"modulated_conv2d(_weight_grad)?_kernel \d+>\d+ (\d+\^2|up2|down2) bfloat16", 255, 6, wgmma=2, shared=None
    ),
    _triton(r"modulated_conv2d(_weight_grad)?_kernel .* float32", 255, wgmma=1, shared=None),
    _triton(r"modulated_conv2d(_weight_grad|_sum)?_kernel", 255, shared=None),
    _triton(r"noise_kernel", 64),
    _triton(r"square_sum_parts_kernel", 80),
    _triton(r"square_sum_kernel", 80, 4),
    _triton(r"square_sum_grad_kernel", 80, 4, 4),
    # an input of a window is read once, and so is a tap; four outputs
    _triton(r"upfirdn2d_window_kernel up2 float32 channels_last", 168, 36, 16, loads=52),
    _triton(r"upfirdn2d_window_kernel up2 bfloat16 channels_last", 168, 18, 8, loads=34),
    _triton(r"upfirdn2d_window_kernel fir float32 channels_last", 168, 100, 16, loads=116),
    _triton(r"upfirdn2d_window_kernel fir bfloat16 channels_last", 168, 50, 8, loads=66),
    _triton(r"upfirdn2d_window_kernel down2 float32 channels_last", 168, 144, 16, loads=160),
    _triton(r"upfirdn2d_window_kernel down2 bfloat16 channels_last", 168, 72, 8, loads=88),
    _triton(r"upfirdn2d_window_kernel (up2|fir|down2) .* contiguous", 168, 0, 2),
    _triton(r"upfirdn2d_(window_)?kernel", 168),
    # <type, order, slopes, noise, pixels, elements of a vector>; two tiles in flight
    _cuda(r"^bias_act_kernel<\w+, .*, 1>", 64),
    _cuda(r"^bias_act_kernel<\w+, 0, true", 64, 2, 2),
    _cuda(r"^bias_act_kernel<\w+, 1, true", 64, 4, 2),
    _cuda(r"^bias_act_kernel<\w+, 0", 64, 1, 1),
    _cuda(r"^bias_act_kernel<\w+, 1", 64, 2, 1),
    _cuda(r"^bias_act_kernel<\w+, 2", 64, 3, 1),
    _cuda(r"^sum_rows_kernel", 64),
    # of the general kernel, whose tiles fill 47 KiB, two blocks a multiprocessor
    _cuda(r"^filtered_lrelu_tile_kernel<\w+, Known<0", 128, wide_shared=2, chips=tuple(CHIPS)),
    _cuda(r"^filtered_lrelu_tile_kernel", 80, shared=32 << 10, chips=tuple(CHIPS)),  # filters of one tap
    # sixteen warps a multiprocessor; twelve where shared memory, which a launch asks for, holds rows of the grid
    _cuda(r"^filtered_lrelu_strip_kernel<.* true, false>", 168, wide_shared=32, chips=tuple(CHIPS)),
    # sm_80 spills a few
    _cuda(r"^filtered_lrelu_strip_kernel<.*<2, 4, .* true, true>", 128, wide_shared=32, local=48, chips=tuple(CHIPS)),
    _cuda(r"^filtered_lrelu_strip_kernel", 128, wide_shared=32, chips=tuple(CHIPS)),
    _cuda(r"^grid_sample_\w*kernel", 80),
    _cuda(r"^interpolate_\w*kernel<\w+, 1>", 64),
    _cuda(r"^interpolate_kernel", 64, 2, 1),
    _cuda(r"^interpolate_grad_kernel", 64, 1, 2),
    # one block of 512 threads; half precision moves 8 bytes, for its registers' sake
    _cuda(r"^minibatch_stddev_kernel<(float|double), [01]", 128, 4, 1),
    _cuda(r"^minibatch_stddev_kernel<(float|double), 2", 128, 8, 1),
    _cuda(r"^minibatch_stddev_kernel", 128),
    # <type, pass, planes, elements of a vector>; of pixels as many as 16 bytes of their sums have
    _cuda(r"^modulate_kernel<\w+, .*, 1>", 64),
    _cuda(r"^modulate_kernel<(half|bfloat16), \S*[12], false", 64),
    _cuda(r"^modulate_kernel<\w+, \S*0, ", 64, 1, 1),
    _cuda(r"^modulate_kernel<\w+, \S*[12], ", 64, 3, 1),
    _cuda(r"^noise_kernel<float>", 64, 0, 1),
    _cuda(r"^noise_kernel", 64),
    _cuda(r"^square_sum_parts_kernel|^square_sum_\w*kernel<\w+, 1>", 80),
    _cuda(r"^square_sum_kernel", 80, 4),
    _cuda(r"^square_sum_grad_kernel", 80, 1, 1),
    # blocks of 128 threads a multiprocessor: six planes, three pixels
    _cuda(r"^upfirdn2d_planes_kernel", 152, 2, 1),
    _cuda(r"^upfirdn2d_pixels_kernel", 168, 3, 2),
    _cuda(r"^upfirdn2d_(separable_)?kernel", 64),
)


def broken(kernel: Kernel) -> list[str]:
    """In what a kernel falls short of LIMITS, where they are about its chip; on any it must find its shared memory."""
    wrong = []
    if kernel.shared > CHIPS[kernel.chip].shared_of_block:
        wrong.append(f"{kernel}: {kernel.shared} bytes of shared memory")
    limit = next((r for r in LIMITS if r.backend == kernel.backend and re.search(r.name, kernel.name)), None)
    if limit is None:
        return [*wrong, f"{kernel}: no row of LIMITS is about it"]
    return wrong + (list(limit.broken_by(kernel)) if kernel.chip in limit.chips else [])


def missing(backend: str) -> str | None:
    """Why kernels of a backend cannot be compiled here; None if they can."""
    if importlib.util.find_spec("triton") is None and (backend == "triton" or shutil.which("cuobjdump") is None):
        return "triton is not installed, whose compiler and cuobjdump are needed"
    if backend == "triton" and os.environ.get("TRITON_INTERPRET") == "1":
        return "TRITON_INTERPRET=1 binds the kernels to the interpreter: unset it"
    if backend == "cuda" and _module() is None and shutil.which("nvcc") is None:
        return "nvcc was not found, and gan_fast._cuda is not built"
    if backend == "cuda" and _module() is None and not CSRC.exists():
        return "the sources in csrc/ are not there"
    return None


def kernels(op: str, backend: str, chips: tuple[str, ...], calls: tuple[Call, ...] = CALLS) -> list[Kernel]:
    """All kernels of an op for the chips: Triton's as calls launch them, CUDA's as they are built."""
    return _of_triton(op, chips, calls) if backend == "triton" else _of_cuda(op, chips)


def _cuobjdump(path: Path, *flags: str) -> str:
    triton = importlib.util.find_spec("triton")
    bundled = triton and Path(triton.origin).parent / "backends/nvidia/bin/cuobjdump"
    tool = bundled if bundled and bundled.exists() else "cuobjdump"
    return subprocess.run([tool, *flags, path], check=True, capture_output=True, text=True).stdout


def _read(code: Code) -> list[dict[str, Any]]:
    """Of every kernel: op (its source's name), symbol, threads, registers, local, shared, code."""
    bounds = {}
    for section in code.dump("-elf").split("\n.nv.info.")[1:]:
        if found := re.search(r"EIATTR_(?:MAX_THREADS|REQNTID)\n.*\n\tValue:\t(\w+) (\w+) (\w+)", section):
            x, y, z = (int(n, 16) for n in found.groups())
            bounds[section.split(None, 1)[0]] = x * y * z
    usage = r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)"
    found = []
    for part in code.dump("--dump-resource-usage").split("Fatbin elf code:"):  # of a source each
        source = re.search(r"_\d+_(\w+?)_cu_", part)
        for symbol, registers, stack, shared, local in re.findall(usage, part):
            sizes = {"registers": int(registers), "local": int(stack) + int(local), "shared": int(shared)}
            about = {"op": source and source[1], "symbol": symbol, "threads": bounds.get(symbol, 1024), "code": code}
            found.append(about | sizes)
    return found


def _readable(mangled: list[str]) -> list[str]:
    """bias_act_kernel<float, 0, false>: without namespaces and arguments. Where c++filt is missing, as they are."""
    if not shutil.which("c++filt"):
        return mangled
    names = subprocess.run(["c++filt", *mangled], check=True, capture_output=True, text=True).stdout.splitlines()
    left_out = r"^void |gan_fast::|\(anonymous namespace\)::|\((\([^()]*\)|[^()])*\)$"
    return [re.sub(left_out, "", n).replace("__nv_bfloat16", "bfloat16").replace("__half", "half") for n in names]


@functools.cache
def _module() -> Path | None:
    """The built CUDA module, if no source is newer."""
    found = importlib.util.find_spec("gan_fast._cuda")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin)
    sources = [*CSRC.glob("*.h"), *CSRC.glob("cuda/*")]
    return path if all(s.stat().st_mtime <= path.stat().st_mtime for s in sources) else None


def built_chips() -> tuple[str, ...]:
    """The chips that the built CUDA module has code for; none where it was not built, or not of these sources."""
    module = _module()
    return () if module is None else tuple(chip for chip in CHIPS if chip in _cuobjdump(module, "-lelf"))


@functools.cache
def _module_kernels(chip: str) -> list[dict[str, Any]]:
    module = _module()
    return [] if module is None or chip not in _cuobjdump(module, "-lelf") else _read(Code(chip, module.read_bytes()))


def _of_cuda(op: str, chips: tuple[str, ...]) -> list[Kernel]:
    found = []
    for chip in chips:
        read = [k for k in _module_kernels(chip) if k["op"] == op]
        if not read:
            with TemporaryDirectory() as scratch:
                cubin = Path(scratch, f"{op}.cubin")
                flags = ["-std=c++17", "-O3", "--expt-relaxed-constexpr", f"-I{CSRC}", f"-arch={chip}", "-cubin"]
                subprocess.run(["nvcc", *flags, CSRC / f"cuda/{op}.cu", "-o", cubin], check=True)
                read = _read(Code(chip, cubin.read_bytes()))
        names = _readable([k["symbol"] for k in read])
        found += [
            Kernel(backend="cuda", chip=chip, **k | {"name": n, "op": op}) for k, n in zip(read, names, strict=True)
        ]
    return found


class _Recorder:
    """Takes a kernel's place in its module and keeps what it is launched with."""

    def __init__(self, kernel: Any, primitive: str, launches: list) -> None:
        self.kernel, self.primitive, self.launches = kernel, primitive, launches

    def __getitem__(self, grid: tuple) -> Callable[..., None]:
        return lambda *args, **options: self.launches.append((self.primitive, self.kernel, args, options))


def _launches(call: Call, dtype: torch.dtype, layout: torch.memory_format) -> list[tuple]:
    """(primitive, kernel, arguments, options) of every launch of a call and its derivatives, nothing being launched."""
    from triton.runtime.jit import JITFunction

    launches: list[tuple] = []

    def wrap(module: ModuleType, primitive: str) -> Callable[..., None]:
        def launch(*args: Any) -> None:
            kernels = {n: k for n, k in vars(module).items() if isinstance(k, JITFunction) and n.endswith("_kernel")}
            vars(module).update({n: _Recorder(k, primitive, launches) for n, k in kernels.items()})
            try:
                getattr(module, primitive)(*args)
            finally:
                vars(module).update(kernels)

        return launch

    entry = backends.Backend(lambda: ("meta",), backends.BACKENDS["triton"].module, lambda: None, wrap)
    backends.BACKENDS["compiled"] = entry
    backends.forget()
    try:
        tensors = {name: _tensor(name, shape, dtype, layout) for name, shape in call.tensors.items()}
        wanted = [t.requires_grad_() for n, t in tensors.items() if t.is_floating_point() and n != "f"]
        y = getattr(ops, call.op)(**tensors, **call.settings, backend="compiled")
        if call.order:
            dy = torch.empty_like(y).requires_grad_(call.order > 1)
            grads = torch.autograd.grad(y, wanted, dy, create_graph=call.order > 1)
        if call.order > 1:
            directions = [torch.empty_like(g) for g in grads]
            torch.autograd.grad(grads, [*wanted, dy], directions, allow_unused=True)
    finally:
        del backends.BACKENDS["compiled"]
        backends.forget()
    return launches


def _tensor(name: str, shape: tuple[int, ...], dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    dtype = torch.int64 if name in ("seed", "labels") else torch.float32 if name in SUMS else dtype
    t = torch.empty(shape, dtype=dtype, device="meta")
    return t.to(memory_format=layout) if t.ndim == 4 else t


def _source(kernel: Any, args: tuple, options: dict[str, Any]) -> Any:
    """What Triton compiles for a launch."""
    from triton.compiler import ASTSource
    from triton.runtime.jit import mangle_type

    signature, constants, attributes = {}, {}, {}
    given = dict(zip(kernel.arg_names, args, strict=False)) | {k: options[k] for k in kernel.arg_names if k in options}
    for i, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[parameter.name], constants[parameter.name] = "constexpr", value
            continue
        signature[parameter.name] = parameter.annotation_type or mangle_type(value)
        if isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0):
            attributes[(i,)] = [["tt.divisibility", 16]]
    return ASTSource(kernel, signature, constants, attributes)


def _of_triton(op: str, chips: tuple[str, ...], calls: tuple[Call, ...]) -> list[Kernel]:
    import triton
    from triton.backends.compiler import GPUTarget

    found: dict[tuple, Kernel] = {}
    for call in (c for c in calls if c.op == op):
        for dtype, layout in product(call.dtypes, call.layouts):
            about = f"{call.name} {str(dtype).removeprefix('torch.')} {str(layout).removeprefix('torch.')}"
            for primitive, kernel, args, options in _launches(call, dtype, layout):
                if not kernel.__name__.startswith(op):
                    continue  # of another op, which has its own calls
                source = _source(kernel, args, options)
                settings = {k: options[k] for k in ("num_warps", "num_stages", "maxnreg") if k in options}
                for chip in chips:
                    key = (source.hash(), chip, *settings.items())
                    if key in found:
                        continue
                    target = GPUTarget("cuda", CHIPS[chip].capability, 32)
                    compiled = triton.compile(source, target=target, options=settings)
                    (read,) = _read(Code(chip, compiled.asm["cubin"]))
                    more = {"shared": compiled.metadata.shared, "threads": 32 * compiled.metadata.num_warps}
                    more |= {"name": f"{primitive} {kernel.__name__} {about}", "op": op}
                    found[key] = Kernel(backend="triton", chip=chip, **read | more)
    return list(found.values())
