"""A bug planted in any kernel is noticed: each mutant is built, run through the checks of `verify`, and must fail."""

import functools
import importlib.util
import itertools
import os
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch

from gan_fast import testing
from gan_fast.ops import backends

ROOT = Path(__file__).resolve().parents[1]
SHIM = ROOT / "tests" / "csrc" / "cuda_on_cpu"
NO_SANITIZER = ROOT / "tests" / "csrc" / "no_sanitizer.cpp"
MODULE = "mutant"

sys.path.insert(0, str(SHIM))
import emulated  # noqa: E402


class Mutant(NamedTuple):
    """Every occurrence of `old` becomes `new`; the file must hold it, so that a mutant cannot silently go stale."""

    file: str
    bug: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}-{self.bug}".replace(" ", "_")


# where the headers make code for dtypes that the checks here leave out: it takes half of the compiler's time
UNCHECKED = {
    ".cpp": (
        "common.h",
        "    case gan_fast::DType::f64:\n      return f(double());\n",
        "    case gan_fast::DType::bf16:\n      return f(BFloat16());\n",
    ),
    ".cu": (
        "vector.h",
        "    case DType::f64:\n      return f(double{});\n",
        "    case DType::bf16:\n      return f(__nv_bfloat16{});\n",
    ),
}
CHECKED = (torch.float32, torch.float16)
MASK = "v = (y < A(0) ? -y : y) >= s.clamp ? A(0) : v;"
MUTANTS = [
    Mutant("csrc/cpu/bias_act.cpp", "clamp mask lost", MASK, ""),
    Mutant("csrc/cpu/bias_act.cpp", "last element unwritten", "in_steps(n, step)", "in_steps(n - 1, step)"),
    Mutant("csrc/cpu/bias_act.cpp", "second cotangent lost", "v *= ddx[i + j];", ""),
    Mutant("csrc/cpu/bias_act.cpp", "bias sum short of a lane", "sum[j] += v;", "if (j) sum[j] += v;"),
    Mutant("csrc/cpu/conv2d.cpp", "last tile unwritten", "t < count; ++t, from", "t + 1 < count; ++t, from"),
    Mutant("csrc/cpu/conv2d.cpp", "kernel not flipped", 'if (matrix == "flipped")', "if (false)"),
    Mutant("csrc/cpu/conv2d.cpp", "coefficient wrong", "{0, 4, 0, -5, 0, 1}", "{0, 4, 0, -4, 0, 1}"),
    Mutant("csrc/cpu/conv2d.cpp", "one tap for all", "MATRIX::at[i][kColumns - 1 - j]", "MATRIX::at[i][j]"),
    Mutant(
        "kernels/modulated_conv2d.py",
        "taps not mirrored",
        "(KH - 1 - ky) * KW + KW - 1 - kx",
        "ky * KW + kx",
    ),
    Mutant(
        "kernels/modulated_conv2d.py",
        "phase lost",
        "first_x = ((pad_x - phase_x * DOWN) % UP + UP) % UP",
        "first_x = (pad_x % UP + UP) % UP",
    ),
    Mutant(
        "kernels/modulated_conv2d.py",
        "last channel lost",
        "c_inside = (c < IN)",
        "c_inside = (c < IN - 1)",
    ),
    Mutant(
        "kernels/modulated_conv2d.py",
        "weights not turned",
        "(w.flip([2, 3]) if flip else w)",
        "w",
    ),
    Mutant("csrc/cpu/upfirdn2d.cpp", "tap dropped", "phase.taps};", "phase.taps - (phase.taps > 1)};"),
    Mutant("csrc/cpu/upfirdn2d.cpp", "filter not flipped", "filter_(f, flip, gain)", "filter_(f, true, gain)"),
    Mutant("csrc/cpu/upfirdn2d.cpp", "last row unwritten", "i < last; ++i, y += ", "i < last - 1; ++i, y += "),
    Mutant("csrc/cpu/upfirdn2d.cpp", "sums not kept", "store_vector<L>(sums + k * width + j, next[k]);", ";"),
    Mutant("csrc/cpu/upfirdn2d.cpp", "what lies beside is read", "? -1 : 0;", "? -1 : -1;"),
    Mutant("csrc/cpu/bias_act.cpp", "noise of the first sample", "noise += row / t.channels * t.inner", "noise += 0"),
    Mutant("csrc/cpu/modulate.cpp", "clamp mask lost", "masks(y) ? A(0) : y > A(0)", "y > A(0)"),
    Mutant(
        "csrc/cpu/modulate.cpp", "noise of the first sample", "noise.given() ? first : 0", "noise.given() ? pixel : 0"
    ),
    Mutant("csrc/cpu/modulate.cpp", "sums short of a tile", "tile < t.tiles; ++tile", "tile < t.tiles - 1; ++tile"),
    Mutant("csrc/cpu/modulate.cpp", "cotangent of a sum lost", "r0[j] + r2[j] * z[j]", "r0[j]"),
    Mutant("csrc/cpu/noise.cpp", "last numbers undrawn", "(n + step - 1) / step", "n / step"),
    Mutant("kernels/noise.py", "last number unwritten", "mask=at < n", "mask=at < n - 1"),
    Mutant("csrc/cuda/noise.cu", "offset lost", "static_cast<uint64_t>(seed[1])", "0"),
    Mutant(
        "kernels/bias_act.py",
        "noise of the first sample",
        "[:, None] * width + w[None, :]",
        "[:, None] * 0 + w[None, :]",
    ),
    Mutant("csrc/cuda/bias_act.cu", "noise of the first sample", ": row * p.width + x;", ": x;"),
    Mutant("csrc/cpu/minibatch_stddev.cpp", "mean of w lost", "load(ws[i]) - of.w_mean[i]", "load(ws[i])"),
    Mutant("csrc/cpu/minibatch_stddev.cpp", "first group for all", "members[offsets[m] + j]", "members[j]"),
    Mutant(
        "csrc/cpu/minibatch_stddev.cpp",
        "one span summed",
        "int64_t i = 0; i < w.spans()",
        "int64_t i = w.spans() - 1; i < w.spans()",
    ),
    Mutant(
        "csrc/cpu/minibatch_stddev.cpp",
        "last pixel unwritten",
        "int64_t i = 0; i < w.pixels",
        "int64_t i = 0; i < w.pixels - 1",
    ),
    Mutant("csrc/cpu/grid_sample.cpp", "corner outside counted", "bits &= inside;", ""),
    Mutant(
        "csrc/cpu/grid_sample.cpp",
        "second derivative of a sign",
        "wx[1][i] = wx[2][i] = -ey;",
        "wx[1][i] = wx[2][i] = ey;",
    ),
    Mutant("csrc/cpu/grid_sample.cpp", "two corners on the left", "bottom_at + right_at", "bottom_at + left_at"),
    Mutant("csrc/cpu/grid_sample.cpp", "one channel scattered", "c * in.pixels() + i]", "i]"),
    Mutant("csrc/cpu/filtered_lrelu.cpp", "clamp code lost", ">= clamp ? kClamped : code;", ">= clamp ? code : code;"),
    Mutant("csrc/cpu/filtered_lrelu.cpp", "shared row added once", "sum1[v] += w1 * x;", ""),
    Mutant("csrc/cpu/filtered_lrelu.cpp", "signs not shifted", "t.column * set_.down + set_.sign_x", "t.column"),
    Mutant("csrc/cpu/filtered_lrelu.cpp", "strips do not move", "t.column / out_planes_ * in_planes_", "0"),
    Mutant("csrc/cpu/filtered_lrelu.cpp", "last column unwritten", "t.columns - r,", "t.columns - r - 1,"),
    Mutant("kernels/bias_act.py", "clamp mask lost", "d = tl.where(tl.abs(y) >= clamp, 0.0, d)", "d = d"),
    Mutant("kernels/bias_act.py", "last element unwritten", "& (w < width)[None, :]", "& (w < width - 1)[None, :]"),
    Mutant("kernels/bias_act.py", "slope lost", "slope = tl.where(u > 0, one, alpha)", "slope = one"),
    Mutant("kernels/bias_act.py", "sums of one part", "sums_ptr + part.to(tl.int64) * groups", "sums_ptr"),
    Mutant("kernels/modulate.py", "clamp mask lost", "d = tl.where(masked, 0.0, d)", "d = d"),
    Mutant("kernels/modulate.py", "sums of one part", "sums_ptr + part.to(tl.int64) * 3 * planes", "sums_ptr"),
    Mutant(
        "kernels/modulate.py", "styles of the first sample", "plane = sample * channels + channel", "plane = channel"
    ),
    Mutant("kernels/minibatch_stddev.py", "mean of w lost", "d = w - (tl.sum(w, 0) / count)[None, :]", "d = w"),
    Mutant("kernels/minibatch_stddev.py", "values outside counted", "tl.where(value < values, sigma, 0.0)", "sigma"),
    Mutant("kernels/minibatch_stddev.py", "neighbours grouped", "sample = m + j * groups", "sample = m * size + j"),
    Mutant("kernels/minibatch_stddev.py", "one share", "channels + k)", "channels)"),
    Mutant("csrc/cuda/bias_act.cu", "clamp mask lost", "v[i] = masked(v[i], s[i], n.clamp);", ""),
    Mutant("csrc/cuda/bias_act.cu", "no clamp mask of x", "magnitude(y) >= clamp ? A(0) : d", "d"),
    Mutant(
        "csrc/cuda/bias_act.cu",
        "last element unwritten",
        "int64_t(p.across - 1) * tile_width >= p.width",
        "int64_t(p.across - 1) * tile_width >= p.width - 1",
    ),
    Mutant("csrc/cuda/bias_act.cu", "second cotangent lost", "d *= w;", ";"),
    Mutant("csrc/cuda/bias_act.cu", "bias sum short of a row", "plan.partial_rows, p.c", "plan.partial_rows - 1, p.c"),
    Mutant("csrc/cuda/grid_sample.cu", "weights swapped", "w[1] = x1 * y0;", "w[1] = x0 * y1;"),
    Mutant("csrc/cuda/grid_sample.cu", "channels lost", "y.pixel == 1 ? kChannels : 1", "1"),
    Mutant("csrc/cuda/grid_sample.cu", "scale of the other axis", "* points.scale_y * both", "* points.scale_x * both"),
    Mutant(
        "csrc/cuda/grid_sample.cu",
        "corner lost",
        "c * in.channel;\n#pragma unroll\n    for (int q = 0;",
        "c * in.channel;\n#pragma unroll\n    for (int q = 1;",
    ),
    Mutant("csrc/cuda/modulate.cu", "clamp mask lost", "vs[i] = masked(vs[i], ys[i], n.clamp);", ""),
    Mutant("csrc/cuda/modulate.cu", "sums of one part", "(part * 3 + k) * p.planes", "k * p.planes"),
    Mutant("csrc/cuda/modulate.cu", "noise of the first sample", "z_at = sample * p.pixels", "z_at = 0"),
    Mutant("csrc/cuda/modulate.cu", "cotangent of a sum lost", "r[2].v[k] * z[j]", "A(0)"),
    Mutant("csrc/cuda/minibatch_stddev.cu", "mean of w lost", "(o - w_mean[i] - slope", "(o - slope"),
    Mutant("csrc/cuda/minibatch_stddev.cu", "statistic of one sample", "i / p.pixels) * p.y_sample", "0) * p.y_sample"),
    Mutant(
        "csrc/cuda/minibatch_stddev.cu", "running mean of two", "A(1) / A(some + f + 1)", "A(1) / A(f + 1 < 2 ? 1 : 2)"
    ),
    Mutant("csrc/cuda/minibatch_stddev.cu", "last tile lost", ": p.tiles;\n  A result", ": p.tiles - 1;\n  A result"),
    Mutant("kernels/upfirdn2d.py", "filter not flipped", "if flip else height * width - 1 - a * width - b", ""),
    Mutant("kernels/upfirdn2d.py", "last output unwritten", "mask=out_rows & (ox + 1 <", "mask=out_rows & (ox + 2 <"),
    Mutant("kernels/upfirdn2d.py", "phase lost", "return q, q * UP - position", "return q, q * 0"),
    Mutant("kernels/upfirdn2d.py", "NaN past the filter", "((b < FW) & (ix >= 0) &", "((ix >= 0) &"),
    Mutant("csrc/cuda/upfirdn2d.cu", "filter not flipped", "p.flip ? i : last - i", "i"),
    Mutant("csrc/cuda/upfirdn2d.cu", "no barriers", "__syncthreads();", ""),
    Mutant("csrc/cuda/upfirdn2d.cu", "last column outside", "ix + c < p.across.in)", "ix + c < p.across.in - 1)"),
    Mutant("csrc/cuda/upfirdn2d.cu", "odd padding", "p.skip_x = skip_of(p.across);", ""),
    Mutant("csrc/cuda/upfirdn2d.cu", "phase lost", "first = phase + begin * axis.up;", "first = begin * axis.up;"),
    Mutant("csrc/cuda/filtered_lrelu.cu", "clamp code lost", "codes += over ? 2 * one :", "codes +="),
    Mutant("csrc/cuda/filtered_lrelu.cu", "signs of one byte", "| bits_of(byte + 1) << 8", ""),
    Mutant("csrc/cuda/filtered_lrelu.cu", "last column unwritten", "column + 1 < p.out_w", "column + 2 < p.out_w"),
    Mutant("csrc/cuda/filtered_lrelu.cu", "phase lost", "{grid, phase, below", "{grid, 0, below"),
    Mutant("csrc/cuda/filtered_lrelu.cu", "no barriers", "__syncthreads();", ""),
    Mutant("csrc/cuda/filtered_lrelu.cu", "strip's signs of one byte", "if (!whole)", "if (false)"),
    Mutant("csrc/cuda/filtered_lrelu.cu", "strip's column", "out_column + j < p.out_w", "out_column + j + 1 < p.out_w"),
    Mutant("csrc/cuda/filtered_lrelu.cu", "strip's skew lost", "s.skew = s.head % K::DOWN;", "s.skew = 0;"),
    Mutant("csrc/cuda/filtered_lrelu.cu", "strip's window empty", "chunk = -kBefore;;", "chunk = 0;;"),
    Mutant("csrc/cpu/square_sum.cpp", "last elements lost", "for (; i < length; ++i) sum +=", "for (; false;) sum +="),
    Mutant("csrc/cpu/square_sum.cpp", "first span only", "i < spans.of_sample; ++i", "i < 1; ++i"),
    Mutant("csrc/cpu/square_sum.cpp", "gain of the derivative lost", "static_cast<A>(gain) * v", "v"),
    Mutant("kernels/square_sum.py", "second factor lost", "x * y, 0", "x * x, 0"),
    Mutant("kernels/square_sum.py", "factor of the first sample", "v_ptr + program // parts", "v_ptr"),
    Mutant("csrc/cuda/square_sum.cu", "one part for all", "sums[blockIdx.x * parts + k]", "sums[blockIdx.x * parts]"),
    Mutant("csrc/cuda/square_sum.cu", "factor of the first sample", "gain * v[n]", "gain * v[0]"),
    Mutant("csrc/cuda/square_sum.cu", "tile lost", "int j = 0; j < kTiles", "int j = 1; j < kTiles"),
    Mutant("csrc/cpu/interpolate.cpp", "ends swapped", "scale(A(1) - t, da", "scale(t, da"),
    Mutant("csrc/cpu/interpolate.cpp", "one number for all", "static_cast<uint64_t>(n))", "uint64_t{0})"),
    Mutant("kernels/interpolate.py", "numbers of a block swapped", "tl.where(lane == 0, c0, c1)", "c0"),
    Mutant("kernels/interpolate.py", "offset lost", "tl.load(seed_ptr + 1)", "tl.load(seed_ptr + 1) * 0"),
    Mutant("csrc/cuda/interpolate.cu", "ends swapped", "stored<T>(p.t *", "stored<T>((A(1) - p.t) *"),
    Mutant("csrc/cuda/interpolate.cu", "seed lost", "static_cast<uint64_t>(seed[0])", "uint64_t{0}"),
]


@functools.cache
def binding() -> Path:
    """csrc/python.cpp, compiled once for all mutants."""
    import pybind11

    folder = ROOT / "build" / "mutants"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"python-{os.getpid()}.o"
    include = [f"-I{sysconfig.get_path('include')}", f"-I{pybind11.get_include()}", f"-DGAN_FAST_MODULE={MODULE}"]
    compile_(["-O0", *include, "-c", str(ROOT / "csrc" / "python.cpp"), "-o", str(out)])
    return out


def compile_(arguments: list[str]) -> None:
    command = [emulated.CXX, "-std=c++17", "-fPIC", "-fvisibility=hidden", "-w", f"-I{ROOT / 'csrc'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def lighten(headers: Path, unchecked: tuple[str, ...], folder: Path) -> None:
    """Copies the headers to where a source finds them first, without the code of unchecked dtypes."""
    name, *lines = unchecked
    for header in headers.glob("*.h"):
        text = header.read_text()
        for line in lines if header.name == name else ():
            assert line in text, f"{header} no longer holds {line!r}"
            text = text.replace(line, "")
        (folder / header.name).write_text(text)


def build(mutant: Mutant, folder: Path) -> tuple[ModuleType, Callable]:
    """The mutated module, and what makes launchers of it."""
    original = ROOT / mutant.file
    text = original.read_text()
    assert mutant.old in text, f"{mutant.file} no longer holds {mutant.old!r}"
    source = folder / original.name
    source.write_text(text.replace(mutant.old, mutant.new))
    if source.suffix in UNCHECKED:
        lighten(original.parent, UNCHECKED[source.suffix], folder)
    name = f"{MODULE}_{zlib.crc32(str(folder).encode())}"  # modules are kept by name, by Python and by pybind11
    path, wrap = source, getattr
    if source.suffix != ".py":
        cuda = source.suffix == ".cu"
        flags = ["-x", "c++", f"-I{SHIM}"] if cuda else ["-fopenmp", "-fno-math-errno", "-fno-trapping-math"]
        path = folder / f"{name}.so"
        compile_(["-O0", *flags, f"-I{original.parent}", "-c", str(source), "-o", str(folder / "op.o")])
        init = f"-Wl,--defsym=PyInit_{name}=PyInit_{MODULE}"
        stubs = [str(NO_SANITIZER)] if cuda else []
        compile_(["-shared", "-fopenmp", init, *stubs, str(folder / "op.o"), str(binding()), "-o", str(path)])
        wrap = emulated.launcher if cuda else backends.BACKENDS["cpu"].wrap
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module, wrap


def passes(samples: tuple[testing.Sample, ...]) -> bool:
    """Whether every check does; stops at the first that does not. Neighbours are alike: others are tried first."""
    in_turn = [sample for first in range(7) for sample in samples[first::7]]
    return all(
        check.passed
        for dtype, sample in itertools.product(CHECKED, in_turn)
        for check in testing.check(sample, MODULE, dtype)
    )


def survives(mutant: Mutant, step: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether every step-th sample of the op passes with the mutant in place of the kernel."""
    interpreted = mutant.file.endswith(".py")
    if interpreted and torch.cuda.is_available():
        pytest.skip("Triton is not in its interpreter where there is a GPU, and this runs on CPU tensors")
    module, wrap = build(mutant, folder)
    mutated, sound = Path(mutant.file).stem, backends.BACKENDS["triton" if interpreted else "cpu"].module
    entry = backends.Backend(
        lambda: ("cpu",), lambda op: module.__name__ if op == mutated else sound(op), lambda: None, wrap
    )
    monkeypatch.setitem(backends.BACKENDS, MODULE, entry)
    backends.forget()
    try:
        return passes(testing.samples(mutated)[::step])
    finally:
        backends.forget()
        sys.modules.pop(module.__name__, None)


@pytest.mark.exhaustive
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_is_noticed(mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = 4 if mutant.file == "kernels/modulated_conv2d.py" else 1  # convolutions take long in the interpreter
    assert not survives(mutant, step, tmp_path, monkeypatch), "the checks pass with this bug in the kernel"


@pytest.mark.exhaustive
@pytest.mark.parametrize("file", sorted({m.file for m in MUTANTS}))
def test_unmutated_kernels_survive(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What kills the mutants is their bug, not the way in which they are built, for which some samples are enough."""
    text = (ROOT / file).read_text()
    assert survives(Mutant(file, "none", text, text), 8, tmp_path, monkeypatch)


def test_every_kernel_file_has_mutants() -> None:
    files = {
        str(p.relative_to(ROOT)) for g in ("csrc/cpu/*.cpp", "csrc/cuda/*.cu", "kernels/*.py") for p in ROOT.glob(g)
    }
    assert files - {"kernels/__init__.py"} == {m.file for m in MUTANTS}


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", [["verify", "--ops", "square_sum", "--backends", "cpu"]])
def test_verify_fails_with_a_mutant(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's exit code, not only the function under it."""
    from typer.testing import CliRunner

    from gan_fast.cli import app

    assert CliRunner().invoke(app, command).exit_code == 0
    mutant = next(m for m in MUTANTS if m.file == "csrc/cpu/square_sum.cpp" and m.bug == "first span only")
    module, wrap = build(mutant, tmp_path)
    entry = backends.Backend(lambda: ("cpu",), lambda op: module.__name__, lambda: None, wrap)
    monkeypatch.setitem(backends.BACKENDS, "cpu", entry)
    backends.forget()
    try:
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert "WRONG" in result.output
        program = result.output[result.output.index("# square_sum, sample") :]
        with pytest.raises(AssertionError, match="WRONG"):
            exec("".join(program.partition("testing.assert_verified(sample, run)")[:2]))
    finally:
        monkeypatch.undo()
        backends.forget()
