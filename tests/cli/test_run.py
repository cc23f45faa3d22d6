"""gan-fast run: scripts as the families write them, unmodified, on a CPU; what is mended is said, and can be left."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "compat" / "scripts"

PROBE = """
    import __main__, pickle, sys

    class Thing:
        pass

    assert type(pickle.loads(pickle.dumps(Thing()))) is Thing is __main__.Thing
    print(sys.argv, __name__, sys.path[0], __file__, "torch_utils" in sys.modules)
"""
FAILS = """
    def inner():
        raise ValueError("of the script")
    inner()
"""
ADAM = """
    import torch
    parameter = [torch.nn.Parameter(torch.zeros(1))]
    for optimizer in (torch.optim.Adam, torch.optim.Adam, torch.optim.AdamW):
        print(optimizer(parameter, 0.1, [0, 0.99]).defaults["betas"], optimizer(parameter).defaults["betas"])
"""
SAMPLER = """
    import torch
    class Mine(torch.utils.data.Sampler):
        def __init__(self, dataset):
            super().__init__(dataset)
    Mine([1]), Mine([2])
    torch.utils.data.SequentialSampler([1])
    print("made")
"""
PKG_RESOURCES = """
    import pkg_resources
    from pkg_resources import parse_version
    print(parse_version("1.10") > pkg_resources.parse_version("1.9"), pkg_resources.get_distribution("torch").version)
    try:
        pkg_resources.get_distribution("no-such-thing")
    except pkg_resources.DistributionNotFound:
        print("absent")
    print(hasattr(pkg_resources, "working_set"))
"""
OTHER_NAMES = """
    import op
    from my.fir import FusedLeakyReLU
    from mmcv.ops import upfirdn2d
    from utils.style_ops import fma, own
    print(op.answer, FusedLeakyReLU.__module__, upfirdn2d.__module__, fma.__name__, own.answer)
    try:
        import models
    except ModuleNotFoundError:
        print("no models")
"""
SPAWNS = """
    import multiprocessing, sys
    import torch
    from op import FusedLeakyReLU
    from torch_utils.ops import fma

    def work(rank, queue):
        torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], betas=[0, 0.99])
        y = FusedLeakyReLU(2, scale=1)(torch.ones(1, 2))
        queue.put([rank, __name__, y.sum().item(), fma.__name__, sys.argv[1:]])

    if __name__ == "__main__":
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=work, args=(1, queue))
        process.start()
        print(queue.get())
        process.join()
        sys.exit(process.exitcode)
"""
FILES = {
    "spawns.py": SPAWNS,
    "probe.py": PROBE,
    "fails.py": FAILS,
    "exits.py": "import sys; sys.exit(3)",
    "adam.py": ADAM,
    "sampler.py": SAMPLER,
    "pkg.py": PKG_RESOURCES,
    "other/names.py": OTHER_NAMES,
    "other/op/__init__.py": "answer = 42",
    "other/utils/style_ops/fma.py": "raise OSError\ndef fma(a, b, c): pass",
    "other/utils/style_ops/own.py": "answer = 43",
    "syntax.py": "for",
}
ROSINALITY = [str(SCRIPTS / "rosinality" / "train.py"), "checkpoint.pt"]
JOBS = {
    "rosinality": ROSINALITY,
    "rosinality kept": ["--keep", "op", *ROSINALITY],
    "basicsr": [str(SCRIPTS / "basicsr" / "inference.py"), "weights.pth"],
    "probe": ["probe.py", "--help", "-x", "y z", "--keep", "op"],
    "fails": ["fails.py"],
    "syntax": ["syntax.py"],
    "exits": ["exits.py"],
    "adam": ["adam.py"],
    "adam left": ["--without", "adam-betas", "adam.py"],
    "sampler": ["sampler.py"],
    "sampler left": ["--without", "sampler", "sampler.py"],
    "pkg_resources": ["pkg.py"],
    "pkg_resources left": ["--without", "pkg-resources", "pkg.py"],
    "spawns": ["spawns.py", "--gpus", "2"],
    "other names": ["--install", "my.fir=rosinality_old", "other/names.py"],
    "unknown repair": ["--without", "betas", "probe.py"],
    "unknown dialect": ["--install", "my.fir=nvidia", "probe.py"],
    "no script": ["absent.py"],
}

# A process that has imported what is slow to import, and forks one for each job
FORKING = """
import json, os, sys
import torch, torch._dynamo, gan_fast.cli, gan_fast.compat.repairs, gan_fast.ops
for name, arguments in json.load(sys.stdin).items():
    if os.fork() == 0:
        os.dup2(os.open(f"{name}.out", os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(os.open(f"{name}.err", os.O_CREAT | os.O_WRONLY), 2)
        try:
            gan_fast.cli.app(["run", *arguments])
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    print(json.dumps([name, code]), flush=True)
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """What gan-fast told of itself."""
        return [line.removeprefix("gan-fast run: ") for line in self.err.splitlines() if line.startswith("gan-fast")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


@pytest.fixture(scope="module")
def results(folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        cwd=folder,
        env=environment,
        input=json.dumps(JOBS),
        capture_output=True,
        text=True,
        check=True,
    )
    codes = dict(json.loads(line) for line in done.stdout.splitlines())
    return {n: Result(codes[n], (folder / f"{n}.out").read_text(), (folder / f"{n}.err").read_text()) for n in JOBS}


def test_a_training_script_of_nvlabs_where_nothing_can_be_compiled_or_written(tmp_path):
    """No compiler or CUDA_HOME is found, and the home folder cannot be written: a file stands where it should be."""
    (tmp_path / "home").write_text("")
    (tmp_path / "bin").mkdir()
    hidden = ("CUDA_HOME", "CUDA_PATH", "CC", "CXX", "GAN_FAST_CACHE", "GAN_FAST_AUTOTUNE", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    script = SCRIPTS / "nvlabs" / "train.py"
    done = subprocess.run(
        [sys.executable, "-m", "gan_fast", "run", str(script), "--outdir", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1].startswith("done in 1m 01s: image ")
    assert sorted(result.said) == [
        "dnnlib is gan_fast's, dnnlib (--keep dnnlib leaves it as it is)",
        "integer betas of Adam are taken as floats (--without adam-betas leaves it as it is)",
        "pkg_resources is not installed: parse_version and get_distribution stand in for it "
        "(--without pkg-resources leaves it as it is)",
        "the argument of torch.utils.data.Sampler is dropped (--without sampler leaves it as it is)",
        "torch_utils is gan_fast's, torch_utils (--keep torch_utils leaves it as it is)",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bin", "home", "network-snapshot.pkl"]


def test_a_training_script_of_rosinality_whose_ops_do_not_compile(results):
    result = results["rosinality"]
    assert result.code == 0, result.err
    assert result.out.startswith("done: d ")
    assert result.said[0] == "op is gan_fast's, rosinality (--keep op leaves it as it is)"
    assert len(result.said) == 2
    kept = results["rosinality kept"]
    assert kept.code == 1
    assert kept.err.splitlines()[-1] == "OSError: CUDA_HOME environment variable is not set"


def test_an_inference_script_of_basicsr(results):
    result = results["basicsr"]
    assert result.code == 0, result.err
    assert result.out.startswith("done: ")
    assert result.said == ["basicsr.ops is gan_fast's, basicsr (--keep basicsr.ops leaves it as it is)"]


def test_the_script_is_main_as_python_has_it(results, folder):
    result = results["probe"]
    assert result.code == 0, result.err
    arguments = ["probe.py", "--help", "-x", "y z", "--keep", "op"]
    assert result.out.strip() == f"{arguments} __main__ {folder} probe.py False"
    assert not result.err


def test_errors_and_exits_are_the_scripts(results):
    result = results["fails"]
    assert result.code == 1
    lines = [line.strip() for line in result.err.splitlines()]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith('File "fails.py", line 4')
    assert lines[-1] == "ValueError: of the script"
    assert results["syntax"].err.splitlines()[0] == '  File "syntax.py", line 1'
    assert results["exits"].code == 3
    assert not results["exits"].err


def test_integer_betas(results):
    result = results["adam"]
    assert result.out == "(0.0, 0.99) (0.9, 0.999)\n" * 3
    assert len(result.said) == 1
    left = results["adam left"]
    assert left.code == 1
    assert "betas must be either both floats or both Tensors" in left.err
    assert not left.said


def test_samplers(results):
    assert results["sampler"].out == "made\n"
    assert len(results["sampler"].said) == 1
    left = results["sampler left"]
    assert left.code == 1
    assert left.err.splitlines()[-1].startswith("TypeError: ")
    assert not left.said


def test_pkg_resources(results):
    lines = results["pkg_resources"].out.splitlines()
    assert lines[0].startswith("True 2.")
    assert lines[1:] == ["absent", "False"]
    assert len(results["pkg_resources"].said) == 1
    left = results["pkg_resources left"]
    assert "No module named 'pkg_resources'" in left.err
    assert not left.said


def test_packages_that_are_something_else_are_left_alone(results):
    result = results["other names"]
    assert result.code == 0, result.err
    expected = "42 gan_fast.compat.rosinality_old gan_fast.compat.mmcv2 gan_fast.compat.nvlabs.fma 43"
    assert result.out.splitlines() == [expected, "no models"]
    assert [line.partition(" is ")[0] for line in result.said] == ["mmcv.ops", "utils.style_ops"]


def test_spawned_processes_see_the_same(results):
    result = results["spawns"]
    assert result.code == 0, result.err
    assert result.out.strip() == str([1, "__mp_main__", 2.0, "gan_fast.compat.nvlabs.fma", ["--gpus", "2"]])
    assert [line.partition(" is ")[0] for line in result.said] == ["op", "torch_utils"]


def test_bad_arguments(results):
    assert results["unknown repair"].code == results["unknown dialect"].code == results["no script"].code == 2
    assert results["unknown repair"].said == ["--without: got betas, takes adam-betas, sampler, pkg-resources"]
    assert results["unknown dialect"].said[0].startswith("dialect: got 'nvidia', takes nvlabs")
    assert results["no script"].said == ["SCRIPT: absent.py is not a file"]
