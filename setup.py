"""Builds the native modules: gan_fast._cpu (C++), and gan_fast._cuda (CUDA C++) where nvcc is found.

Neither needs torch: they receive addresses. Environment variables:
  GAN_FAST_CUDA=1  an error if CUDA cannot be built; =0 leaves CUDA out; unset: built if nvcc is found.
  GAN_FAST_CPU=0   leaves the C++ CPU module out (with GAN_FAST_CUDA=0 the install is pure Python).
  GAN_FAST_CPU_ISAS="plain avx2 avx512"  instruction sets to build for, of which the best is taken when the module is
    loaded; "native": only the best that this processor has.
  GAN_FAST_CUDA_ARCHS="80 90 100 120"  compute capabilities to build for; the last one is kept as PTX too.
  CUDA_HOME, CXX, MAX_JOBS  as usual.
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
# lowest first: where the linker merges a template that several objects hold, the copy that every processor runs wins
CPU_ISAS = {
    "plain": [],
    "avx2": ["-march=x86-64-v3", "-DGAN_FAST_ISA=1"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512", "-DGAN_FAST_ISA=2"],
}
# what a processor must have for each, as csrc/python.cpp asks for it
CPU_NEEDS = {
    "plain": set(),
    "avx2": {"avx2", "fma", "bmi2"},
    "avx512": {"avx2", "fma", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
}
CXX_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", f"-I{CSRC}"]
# no -ffast-math: NaN and infinity are values here
CPU_FLAGS = [*CXX_FLAGS, "-fopenmp", "-fno-math-errno", "-fno-trapping-math"]
NVCC_FLAGS = ["-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden", "--expt-relaxed-constexpr", f"-I{CSRC}"]


def switch(name: str) -> bool | None:
    value = os.environ.get(name)
    if value not in (None, "", "0", "1"):
        sys.exit(f"{name}: got {value!r}, takes 0 or 1")
    return None if not value else value == "1"


def cpu_isas() -> list[str]:
    if platform.machine() not in ("x86_64", "AMD64"):
        return ["plain"]
    wanted = (os.environ.get("GAN_FAST_CPU_ISAS") or " ".join(CPU_ISAS)).split()
    if wanted == ["native"]:
        cpuinfo = Path("/proc/cpuinfo")
        has = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
        wanted = [isa for isa, needs in CPU_NEEDS.items() if needs <= has][-1:]
    if not wanted or set(wanted) - set(CPU_ISAS):
        sys.exit(f"GAN_FAST_CPU_ISAS: got {' '.join(wanted)!r}, takes native or some of {', '.join(CPU_ISAS)}")
    return [isa for isa in CPU_ISAS if isa in wanted]


def find_nvcc() -> str | None:
    if home := os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        return shutil.which("nvcc", path=str(Path(home) / "bin"))
    return shutil.which("nvcc")


def sources(pattern: str) -> list[str]:
    """Largest first: no processor waits at the end for the one that takes longest."""
    files = sorted(CSRC.glob(pattern), key=lambda p: (-p.stat().st_size, p.name))
    return [str(p.relative_to(ROOT)) for p in files]


def modules() -> list[Extension]:
    found = []
    cpu_isas()  # says what is wrong with it now instead of in the middle of a build
    if switch("GAN_FAST_CPU") is not False:
        found.append(Extension("gan_fast._cpu", sources("cpu/*.cpp")))
    wanted = switch("GAN_FAST_CUDA")
    if wanted and find_nvcc() is None:
        sys.exit("GAN_FAST_CUDA=1 asks for the CUDA module, but nvcc was found neither on PATH nor in CUDA_HOME")
    if wanted is not False and find_nvcc() is not None:
        found.append(Extension("gan_fast._cuda", sources("cuda/*.cu")))
    return found


class NinjaBuild(build_ext):
    """Writes a build.ninja for all modules and runs it: parallel and incremental."""

    def build_extensions(self) -> None:
        import pybind11

        folder = Path(self.build_temp).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        cxx = os.environ.get("CXX", "g++")
        include = f"-I{sysconfig.get_path('include')} -I{pybind11.get_include()}"
        lines = [
            "rule cxx\n  command = $cxx $flags -MMD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc",
            "rule nvcc\n  command = $nvcc $flags -MD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc",
            "rule link_cpu\n  command = $cxx -shared $in -o $out -fopenmp",
            # nvcc knows where its runtime lies; linked statically, the module imports without a driver
            "rule link_cuda\n  command = $nvcc -shared -cudart=static --no-device-link $in -o $out",
            f"cxx = {cxx}",
        ]
        if nvcc := find_nvcc():
            lines.append(f"nvcc = {nvcc}")
        for extension in self.extensions:
            module = extension.name.rsplit(".", 1)[1]
            target = Path(self.get_ext_fullpath(extension.name)).resolve()
            target.parent.mkdir(parents=True, exist_ok=True)
            compile_ = self.cpu_objects if module == "_cpu" else self.cuda_objects
            objects = compile_(extension, folder, lines)
            binding = folder / f"{module}.python.o"
            flags = " ".join([*CXX_FLAGS, include, f"-DGAN_FAST_MODULE={module}"])
            lines.append(f"build {binding}: cxx {CSRC / 'python.cpp'}\n  flags = {flags}")
            lines.append(f"build {target}: link{module} {binding} {' '.join(objects)}")
        (folder / "build.ninja").write_text("\n".join(lines) + "\n")
        jobs = ["-j", os.environ["MAX_JOBS"]] if "MAX_JOBS" in os.environ else []
        subprocess.run(["ninja", "-C", str(folder), *jobs], check=True)

    def cpu_objects(self, extension: Extension, folder: Path, lines: list[str]) -> list[str]:
        objects = []
        for isa in cpu_isas():
            isa_flags = CPU_ISAS[isa]
            for source in extension.sources:
                out = str(folder / f"{Path(source).stem}.{isa}.o")
                lines.append(f"build {out}: cxx {ROOT / source}\n  flags = {' '.join(CPU_FLAGS + isa_flags)}")
                objects.append(out)
        return objects

    def cuda_objects(self, extension: Extension, folder: Path, lines: list[str]) -> list[str]:
        archs = os.environ.get("GAN_FAST_CUDA_ARCHS", "80 90 100 120").split()
        targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in archs]
        targets.append(f"-gencode=arch=compute_{archs[-1]},code=compute_{archs[-1]}")
        objects = []
        for source in extension.sources:
            out = str(folder / f"{Path(source).stem}.cuda.o")
            flags = " ".join([*NVCC_FLAGS, "--threads=2", *targets])
            lines.append(f"build {out}: nvcc {ROOT / source}\n  flags = {flags}")
            objects.append(out)
        return objects


setup(
    packages=[*find_packages(include=["gan_fast", "gan_fast.*"]), "gan_fast.kernels", "gan_fast.benchmarks"],
    package_dir={"gan_fast.kernels": "kernels", "gan_fast.benchmarks": "benchmarks"},
    package_data={
        "gan_fast": ["**/*.safetensors", "**/*.html", "py.typed"],
        "gan_fast.benchmarks": ["results/*.json", "report.html"],
    },
    ext_modules=modules(),
    cmdclass={"build_ext": NinjaBuild},
)
