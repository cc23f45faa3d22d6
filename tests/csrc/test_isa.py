"""Each instruction set of the CPU module against the reference, and what must not depend on threads or on the run."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pybind11
import pytest
import torch

from gan_fast import _cpu, ops, testing

ROOT = Path(__file__).resolve().parents[2]
ISAS = ("plain", "avx2", "avx512")
FEW = {
    "bias_act": ("lrelu-bias-clamp", "swish-bias", "softplus-bias-clamp", "elu-bias", "lrelu-large", "lrelu-2d"),
    "conv2d": ("winograd2-contiguous", "winograd2-channels_last", "winograd4-contiguous", "winograd4-channels_last"),
    "square_sum": ("contiguous", "spans-channels_last", "odd-contiguous", "one-long", "numbers"),
    "interpolate": ("contiguous", "spans-channels_last", "odd-contiguous", "numbers"),
    "filtered_lrelu": (
        *(
            "up2-down2-wide-contiguous",
            "up2-down2-wide-channels_last",
            "radial-wide-contiguous",
            "up4-down2-contiguous",
        ),
        *("up3-down2-contiguous", "crop-channels_last", "broad-channels_last", "tall"),
    ),
    "modulate": ("lrelu-recover-clamp", "large-contiguous", "large-channels_last", "aligned-channels_last", "2d"),
    "upfirdn2d": (
        *("up2-wide-contiguous", "up2-wide-channels_last", "down2-wide-contiguous", "fir-wide-channels_last"),
        *("12-taps-up2-contiguous", "12-taps-down2-contiguous", "asymmetric-contiguous", "flip-channels_last"),
        *("4-taps-16x5-21", "4-taps-8x2-03", "4-taps-32x70-30"),
        *("4-taps-down2-16x6-20", "4-taps-down2-16x6--13", "4-taps-down2-32x4-20", "4-taps-down2-8x8--13"),
    ),
}
CHECK = f"""
import sys, torch
from gan_fast import _cpu, testing
assert _cpu.isa == sys.argv[1], _cpu.isa
few = {FEW!r}
for op, names in few.items():
    found = [s for s in testing.samples(op) if s.name in names]
    assert len(found) == len(names), [s.name for s in found]
    for sample in found:
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            testing.assert_matches_reference(sample, "cpu", dtype)
"""


@pytest.mark.parametrize("isa", ISAS[: ISAS.index(_cpu.isa) + 1])
def test_every_instruction_set_matches_the_reference(isa: str) -> None:
    environment = os.environ | {"GAN_FAST_ISA": isa}
    done = subprocess.run([sys.executable, "-c", CHECK, isa], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
@pytest.mark.skipif(_cpu.isa == "plain", reason="runs code that was built for AVX2")
def test_a_module_built_for_other_processors_says_so(tmp_path: Path) -> None:
    sources = [str(ROOT / "csrc/python.cpp"), str(ROOT / "csrc/cpu/noise.cpp")]
    include = [f"-I{path}" for path in (ROOT / "csrc", sysconfig.get_path("include"), pybind11.get_include())]
    flags = ["-std=c++17", "-O0", "-fPIC", "-fopenmp", "-w", "-march=x86-64-v3", "-DGAN_FAST_ISA=1", "-shared"]
    command = ["g++", *flags, "-DGAN_FAST_MODULE=narrow", *include, *sources, "-o", str(tmp_path / "narrow.so")]
    subprocess.run(command, check=True)
    for isa, told in (("avx2", ""), ("plain", "ImportError: built for other instruction sets than plain")):
        environment = os.environ | {"GAN_FAST_ISA": isa}
        command = [sys.executable, "-c", "import narrow"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert told in done.stderr
        assert (done.returncode == 0) == (not told), done.stderr


def test_unknown_instruction_set_is_an_error() -> None:
    environment = os.environ | {"GAN_FAST_ISA": "sse9"}
    done = subprocess.run(
        [sys.executable, "-c", "import gan_fast._cpu"], env=environment, capture_output=True, text=True
    )
    assert "GAN_FAST_ISA: got 'sse9', takes plain, avx2 or avx512" in done.stderr


def _results(threads: int, channels_last: bool) -> list[torch.Tensor]:
    """Everything that runs in parallel, above the size from which it does."""
    torch.manual_seed(0)
    x = torch.randn(5, 70, 33, 31, requires_grad=True)
    b, s = torch.randn(70, requires_grad=True), torch.randn(5, 70, requires_grad=True)
    noise, strength = torch.randn(5, 1, 33, 31), torch.ones([], requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1])
    if channels_last:
        x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = ops.bias_act(x, b, act="swish", clamp=1.0, backend="cpu")
        up, down = ops.upsample2d(x, f, backend="cpu"), ops.downsample2d(x, f, backend="cpu")
        grads = torch.autograd.grad(y, [x, b], torch.ones_like(y))
        z = ops.filtered_lrelu(x, f, f, b, up=2, down=2, padding=3, clamp=1.0, backend="cpu")
        grads += torch.autograd.grad(z, [x, b], torch.ones_like(z))
        m = ops.modulate(x, s, noise=noise, strength=strength, b=b, act="lrelu", clamp=1.0, backend="cpu")
        grads += torch.autograd.grad(m, [x, s, strength, b], torch.ones_like(m))
        w = torch.randn(64, 70, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
        c = ops.conv2d(x, w, padding=1, backend="cpu")
        grads += (c.detach(), *torch.autograd.grad(c, [x, w], torch.ones_like(c)))
        squares = ops.square_sum(x, backend="cpu")
        between = ops.interpolate(x, 2 * x.flip(0), torch.tensor([1, 2]), backend="cpu")
        for p in (squares, between):
            grads += (p.detach(), *torch.autograd.grad(p, [x], torch.ones_like(p)))
        return [y.detach(), up.detach(), down.detach(), z.detach(), m.detach(), *grads]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("channels_last", [False, True])
def test_bits_do_not_depend_on_the_number_of_threads(channels_last: bool) -> None:
    one = _results(1, channels_last)
    for threads in (1, 2, 3, 8):
        for a, b in zip(one, _results(threads, channels_last), strict=True):
            assert torch.equal(a, b), f"{threads} threads"


@pytest.mark.parametrize("channels_last", [False, True])
def test_long_bias_sums_stay_accurate(channels_last: bool) -> None:
    """A sum of a million equal numbers in float32, one after the other, would be off by percents."""
    dy = torch.full((4, 3, 512, 512), 0.1)
    if channels_last:
        dy = dy.contiguous(memory_format=torch.channels_last)
    b = torch.zeros(3, requires_grad=True)
    for op in (ops.bias_act, ops.modulate):
        (db,) = torch.autograd.grad(op(dy, b=b, backend="cpu"), [b], dy)
        torch.testing.assert_close(db.double(), dy.double().sum([0, 2, 3]), rtol=1e-6, atol=0)


STREAMED = """
import torch
from gan_fast import ops
f = ops.setup_filter([1, 3, 3, 1])
for channels_last in (False, True):
    for op, settings in (("bias_act", {"act": "lrelu"}), ("modulate", {"act": "lrelu"}),
                         ("upsample2d", {"f": f}), ("downsample2d", {"f": f}),
                         ("filter2d", {"f": f}), ("filter2d", {"f": f[0]})):
        x, b = torch.randn(3, 32, 34, 64), torch.randn(32, requires_grad=True)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        given = settings | ({"b": b} if op in ("bias_act", "modulate") else {})
        y, true = (getattr(ops, op)(x, **given, backend=backend) for backend in ("cpu", "reference"))
        torch.testing.assert_close(y, true)
        if op in ("bias_act", "modulate"):
            dy = torch.randn(y.shape)
            grads = [torch.autograd.grad(t, b, dy)[0] for t in (y, true)]
            torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-3)
"""


@pytest.mark.parametrize("isa", ISAS[: ISAS.index(_cpu.isa) + 1])
def test_outputs_larger_than_the_caches(isa: str) -> None:
    """They are streamed past the caches; here those of any size are."""
    environment = os.environ | {"GAN_FAST_STREAM_BYTES": "1", "GAN_FAST_ISA": isa}
    done = subprocess.run([sys.executable, "-c", STREAMED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 129])
def test_alignment_and_tails(offset: int, width: int) -> None:
    """Tensors that begin anywhere in memory and rows of every length, in vectors of every width."""
    memory = torch.randn(2 * 3 * 5 * width + offset)
    x = memory[offset:].view(2, 3, 5, width)
    b = torch.randn(3)
    f = ops.setup_filter([1, 2, 4, 3])
    for layout in (torch.contiguous_format, torch.channels_last):
        t = x.contiguous(memory_format=layout)
        for up, down in ((1, 1), (2, 1), (1, 2), (2, 3)):
            y = ops.upfirdn2d(t, f, up=up, down=down, padding=2, backend="cpu")
            torch.testing.assert_close(y, ops.upfirdn2d(t, f, up=up, down=down, padding=2, backend="reference"))
        y = ops.bias_act(t, b, act="lrelu", backend="cpu")
        torch.testing.assert_close(y, ops.bias_act(t, b, act="lrelu", backend="reference"))


def test_half_precision_is_rounded_to_nearest_even() -> None:
    """Every float16 and bfloat16 number passes unchanged, and every midpoint of two rounds as PyTorch rounds it."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        x = bits.view(dtype)
        y = ops.bias_act(x, dim=0, backend="cpu")
        assert torch.equal(y.isnan(), x.isnan())
        assert torch.equal(y[~x.isnan()], x[~x.isnan()])
        for gain in (0.75, 1 / 3, 2.0**-9, 3.0):
            y = ops.bias_act(x, dim=0, gain=gain, backend="cpu")
            true = (x.float() * gain).to(dtype)
            assert torch.equal(y.nan_to_num(nan=0.125), true.nan_to_num(nan=0.125))


@pytest.mark.parametrize("name", ["lrelu-large", "up2-wide-channels_last"])
def test_equal_bits_on_two_runs(name: str) -> None:
    op = "bias_act" if name.startswith("lrelu") else "upfirdn2d"
    (sample,) = (s for s in testing.samples(op) if s.name == name)
    first, again = (testing.evaluate(sample, "cpu", torch.float32) for _ in range(2))
    assert all(torch.equal(first[k], again[k]) for k in first)
