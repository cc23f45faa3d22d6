"""Choosing a backend: names, reasons, the strict switch, the environment, threads."""

import logging
import os
import subprocess
import sys
import threading

import pytest
import torch

from gan_fast import ops
from gan_fast.ops import backends

X = torch.ones(1, 2, 2, 2)


@pytest.fixture
def without_cpu_module(monkeypatch: pytest.MonkeyPatch):
    entry = backends.BACKENDS["cpu"]
    broken = backends.Backend(entry.devices, entry.module, lambda: "taken away by a test", entry.wrap)
    monkeypatch.setitem(backends.BACKENDS, "cpu", broken)
    backends.forget()
    yield
    monkeypatch.undo()
    backends.forget()


def test_auto_takes_the_cpu_kernels() -> None:
    for op in ("bias_act", "upfirdn2d"):
        assert backends.resolve(op, X, None) == "cpu"
        assert backends.explain(op)["cpu"] == "taken"


def test_a_named_backend_never_falls_back(without_cpu_module: None) -> None:
    with pytest.raises(RuntimeError, match=r"bias_act: backend 'cpu' cannot run here: taken away by a test"):
        ops.bias_act(X, backend="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="backend 'cuda' cannot run here"):
            ops.bias_act(X, backend="cuda")


def test_auto_falls_back_and_says_so_once(without_cpu_module: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="gan_fast"):
        for _ in range(3):
            ops.bias_act(X)
    assert [r.message for r in caplog.records] == [
        "bias_act on cpu torch.float32 falls back to reference (cpu: taken away by a test)"
    ]


def test_strict_makes_a_fallback_an_error(without_cpu_module: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_FAST_STRICT", "1")
    with pytest.raises(RuntimeError, match=r"falls back to 'reference'.*taken away by a test"):
        ops.bias_act(X)
    assert torch.equal(ops.bias_act(X, backend="reference"), X)


def test_a_module_that_fails_to_import_gives_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "broken_launchers.py").write_text("raise ImportError('wrong ELF class')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = backends.Backend(lambda: ("cpu",), lambda op: "broken_launchers", lambda: None, getattr)
    monkeypatch.setitem(backends.BACKENDS, "broken", entry)
    assert backends.refusal("bias_act", "broken", "cpu", torch.float32) == "broken_launchers: wrong ELF class"


def test_use_backend_is_restored_and_belongs_to_its_thread() -> None:
    seen = {}

    def interrupted() -> None:
        with backends.use_backend("reference"):
            assert backends.resolve("bias_act", X, None) == "reference"
            assert backends.resolve("bias_act", X, "cpu") == "cpu", "a name at the call wins"
            thread = threading.Thread(target=lambda: seen.update(other=backends.resolve("bias_act", X, None)))
            thread.start()
            thread.join()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert seen == {"other": "cpu"}
    assert backends.resolve("bias_act", X, None) == "cpu"


def test_unknown_names_are_listed() -> None:
    for call in (lambda: ops.bias_act(X, backend="gpu"), lambda: backends.use_backend("gpu").__enter__()):
        with pytest.raises(ValueError, match="backend: got 'gpu', takes auto, reference, cuda, triton, cpu"):
            call()


@pytest.mark.parametrize(("value", "expected"), [("reference", "reference"), ("", "cpu"), ("auto", "cpu")])
def test_environment_variable(value: str, expected: str) -> None:
    code = "import torch; from gan_fast.ops import backends; print(backends.resolve('bias_act', torch.ones(1), None))"
    environment = os.environ | {"GAN_FAST_BACKEND": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_explain_names_every_backend_with_a_reason() -> None:
    verdict = backends.explain("upfirdn2d", "cpu", torch.float32)
    assert list(verdict) == [*backends.BACKENDS, "reference"]
    assert backends.explain("warp")["triton"] == "no triton kernel for warp"
    assert verdict["reference"] == "available"
    assert [b for b, v in verdict.items() if v == "taken"] == ["cpu"]


def test_explain_call(monkeypatch: pytest.MonkeyPatch) -> None:
    x, f = torch.randn(2, 3, 4, 4, requires_grad=True), ops.setup_filter([1, 3, 3, 1])
    assert ops.explain_call(ops.upsample2d, x, f, backend="cpu") == ["upfirdn2d on cpu"]
    assert ops.explain_call(ops.upsample2d, x, f, backend="reference") == []

    def both_ways() -> None:
        ops.bias_act(x, act="lrelu", backend="cpu").sum().backward()

    assert ops.explain_call(both_ways) == ["bias_act on cpu", "bias_act_grad on cpu"]

    class module:
        upfirdn2d_variant = staticmethod(lambda x, f, up, *rest: f"up {up[0]}")

    monkeypatch.setattr(backends, "_module", lambda name: module)
    assert ops.explain_call(ops.upsample2d, x, f, backend="cpu") == ["upfirdn2d on cpu: up 2"]
