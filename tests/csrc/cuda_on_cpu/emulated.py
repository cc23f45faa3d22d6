"""Runs csrc/cuda on the CPU, under AddressSanitizer and UBSan: builds the module, and is the program that loads it.

`emulated.py reference OP...` holds ops against the float64 reference: every sample, and samples drawn from their whole
argument space;
`emulated.py planted LAUNCHER` calls one launcher of planted.cu.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]
SHIM = Path(__file__).resolve().parent
BUILDS = ROOT / "build" / "cuda_on_cpu"
MODULE = "_cuda_emulated"
CXX = os.environ.get("CXX", "g++")
variants: set[str] = set()  # kernels that launchers took, where they have a choice, and why
# not optimised: the compiler would take longer than the kernels do
FLAGS = ["-std=c++17", "-O0", "-g1", "-fPIC", "-fvisibility=hidden", "-Wall", f"-I{ROOT / 'csrc'}"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# shared memory is a section of its own, with guards between its variables
DEVICE = ["-Wno-unknown-pragmas", f"-I{SHIM}", *SANITIZERS, "-fsanitize-sections=cuda_shared", "-x", "c++"]


def build() -> Path:
    """The folder of the module, built from all of csrc/cuda; built once for the same sources."""
    import pybind11

    kernels = [*sorted(ROOT.glob("csrc/cuda/*.cu")), SHIM / "planted.cu"]
    binding = ROOT / "csrc" / "python.cpp"
    sources = [*kernels, binding, *sorted(ROOT.glob("csrc/**/*.h")), *sorted(SHIM.glob("*.h")), Path(__file__)]
    digest = hashlib.sha256(sys.version.encode() + pybind11.__version__.encode())
    digest.update(subprocess.run([CXX, "--version"], check=True, capture_output=True).stdout)
    for path in sources:
        digest.update(path.name.encode() + path.read_bytes())
    folder = BUILDS / digest.hexdigest()[:16]
    BUILDS.mkdir(parents=True, exist_ok=True)
    with (BUILDS / "lock").open("w") as lock, TemporaryDirectory(dir=BUILDS) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        include = [f"-I{sysconfig.get_path('include')}", f"-I{pybind11.get_include()}", f"-DGAN_FAST_MODULE={MODULE}"]
        built = Path(scratch, "module")
        built.mkdir()

        def compile_(source: Path) -> str:
            out = str(Path(scratch, source.stem + ".o"))
            flags = [*FLAGS, *(include if source is binding else DEVICE)]
            subprocess.run([CXX, *flags, "-c", source, "-o", out], check=True)
            return out

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_, [binding, *kernels]))
        subprocess.run([CXX, "-shared", *SANITIZERS, *objects, "-o", built / f"{MODULE}.so"], check=True)
        built.rename(folder)
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """This program in a process of its own, with the sanitizers loaded before everything else."""
    folder = build()
    libraries = [
        subprocess.run([CXX, f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = os.environ | {
        "LD_PRELOAD": ":".join(libraries),
        # fresh memory is NaN, so that a kernel which reads what nobody wrote shows it
        "ASAN_OPTIONS": "detect_leaks=0:malloc_fill_byte=255:max_malloc_fill_size=1000000000",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}:{folder}",
    }
    return subprocess.run([sys.executable, __file__, *arguments], env=environment, capture_output=True, text=True)


def launcher(module: ModuleType, primitive: str) -> Callable[..., None]:
    """What the cuda backend does, with memory of the CPU and no stream."""
    import torch

    from gan_fast.ops.backends import _view

    function, scratch = getattr(module, primitive), getattr(module, f"{primitive}_scratch", None)
    variant = getattr(module, f"{primitive}_variant", None)

    def launch(*args: object) -> None:
        views = [_view(a) for a in args]
        if variant is not None:
            variants.add(variant(*views))
        if scratch is not None:
            memory = torch.empty(scratch(*views), dtype=torch.uint8)
            views.append(_view(memory))
        function(*views, 0)

    return launch


def register() -> None:
    from gan_fast.ops import backends

    backends.BACKENDS[MODULE] = backends.Backend(
        devices=lambda: ("cpu",), module=lambda op: MODULE, unavailable=lambda: None, wrap=launcher
    )


def reference(*ops: str) -> int:
    sys.path.insert(0, str(ROOT / "tests" / "ops"))
    from argument_space import holds_everywhere

    from gan_fast import testing
    from gan_fast.ops import backends

    register()
    wrong = []
    for op in ops:
        for sample in testing.samples(op):
            for dtype in backends.FLOATS:  # each has kernels of its own
                wrong += [str(c) for c in testing.check(sample, MODULE, dtype) if not c.passed]
        print(*wrong, f"{op}: {len(testing.samples(op))} samples", sep="\n")
        holds_everywhere(op, MODULE, 30)
        print(f"{op}: drawn samples")
    print(*sorted(variants), sep="\n")
    return len(wrong) > 0


def planted(name: str) -> None:
    import ctypes

    import _cuda_emulated

    n, float32 = 256, 0
    x, y = ((ctypes.c_float * n)() for _ in range(2))
    views = [(ctypes.addressof(t), float32, (n,), (1,)) for t in (x, y)]
    getattr(_cuda_emulated, f"planted_{name}")(*views)
    print("NaN" if any(v != v for v in y) else "no NaN")


if __name__ == "__main__":
    what, *names = sys.argv[1:]
    sys.exit({"reference": reference, "planted": planted}[what](*names))
