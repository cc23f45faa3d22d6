"""Installing: what setup.py builds and refuses, and what a wheel holds."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def setup(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def pure_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = tmp_path_factory.mktemp("build")
    arguments = ["bdist_wheel", "--dist-dir", str(out), "--bdist-dir", str(build / "bdist")]
    done = setup(
        "build",
        "--build-base",
        str(build),
        "egg_info",
        "--egg-base",
        str(build),
        *arguments,
        GAN_FAST_CPU="0",
        GAN_FAST_CUDA="0",
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def test_pure_python_wheel_holds_everything_but_native_modules(pure_wheel: Path) -> None:
    names = zipfile.ZipFile(pure_wheel).namelist()
    assert "gan_fast/kernels/bias_act.py" in names
    assert {"gan_fast/benchmarks/measure.py", "gan_fast/benchmarks/report.html"} <= set(names)
    assert "gan_fast/py.typed" in names
    assert "gan_fast/explorer/page.html" in names
    assert any(n.endswith(".safetensors") for n in names), "the digit classifier's weights"
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if n.endswith(".so") or n.startswith(("tests", "benchmarks", "csrc", "kernels"))]


def test_pure_python_wheel_works(pure_wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(pure_wheel).extractall(tmp_path)
    code = (
        "import torch, gan_fast; from gan_fast import ops; from gan_fast.ops.backends import explain\n"
        f"assert gan_fast.__file__.startswith({str(tmp_path)!r})\n"
        "assert ops.bias_act(torch.ones(2, 2), act='lrelu').shape == (2, 2)\n"
        "print(explain('bias_act')['cpu'], '|', explain('upfirdn2d')['cuda'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    alone = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]  # the tree under test\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
    )
    command = [sys.executable, "-P", "-c", alone + code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "gan_fast._cpu was not built (docs/install.md) | gan_fast._cuda was not built (docs/install.md)"
    )


def test_asking_for_cuda_without_a_toolchain_is_an_error(tmp_path: Path) -> None:
    done = setup("--version", GAN_FAST_CUDA="1", CUDA_HOME=str(tmp_path))
    assert done.returncode != 0
    assert "GAN_FAST_CUDA=1 asks for the CUDA module, but nvcc was found neither" in done.stderr


def test_a_switch_that_is_neither_0_nor_1_is_an_error() -> None:
    done = setup("--version", GAN_FAST_CUDA="yes")
    assert done.returncode != 0
    assert "GAN_FAST_CUDA: got 'yes', takes 0 or 1" in done.stderr


def test_instruction_sets_are_those_asked_for(tmp_path: Path) -> None:
    """What would be compiled: ninja is replaced by a program that does nothing."""
    from gan_fast import _cpu

    ninja = tmp_path / "ninja"
    ninja.write_text("#!/bin/sh\n")
    ninja.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    for wanted, expected in (("", {"plain", "avx2", "avx512"}), ("avx2", {"avx2"}), ("native", {_cpu.isa})):
        build = tmp_path / (wanted or "all")
        settings = {"GAN_FAST_CPU_ISAS": wanted, "GAN_FAST_CUDA": "0", "PATH": path}
        done = setup("build_ext", "--build-temp", str(build), "--build-lib", str(build), **settings)
        assert done.returncode == 0, done.stderr
        text = (build / "build.ninja").read_text()
        assert set(re.findall(r"bias_act\.(\w+)\.o: cxx", text)) == expected


def test_an_unknown_instruction_set_is_an_error() -> None:
    done = setup("--version", GAN_FAST_CPU_ISAS="avx2 sse9")
    assert done.returncode != 0
    assert "GAN_FAST_CPU_ISAS: got 'avx2 sse9', takes native or some of plain, avx2, avx512" in done.stderr


def test_native_modules_do_not_link_torch_and_import_without_a_driver() -> None:
    """The CPU module is always built; the CUDA one where there is nvcc, and it imports with no GPU."""
    import importlib.util
    import shutil

    built = {name: importlib.util.find_spec(f"gan_fast.{name}") for name in ("_cpu", "_cuda")}
    assert built["_cpu"] is not None
    if shutil.which("nvcc") and os.environ.get("GAN_FAST_CUDA") != "0":
        assert built["_cuda"] is not None
    for name, spec in built.items():
        if spec is None:
            continue
        needed = subprocess.run(["readelf", "-d", spec.origin], capture_output=True, text=True, check=True).stdout
        assert "torch" not in needed
        assert "libcuda" not in needed
        code = f"import gan_fast._{name[1:]} as m; print(hasattr(m, 'bias_act'))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "True", done.stderr
