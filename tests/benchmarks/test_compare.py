"""The verdict: a slow-down of 20 % is told, noise is not."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gan_fast.benchmarks import compare as comparison
from gan_fast.benchmarks.compare import compare
from gan_fast.benchmarks.record import Results

PLANTED = "bias_act-demo-4x128x32x32"


@pytest.mark.parametrize("runs", [1, 5])
@pytest.mark.parametrize("seed", range(10))
def test_two_runs_of_one_revision_do_not_differ(make_results: Callable[..., Results], seed: int, runs: int) -> None:
    a, b = ([make_results(1000 * side + 10 * seed + run) for run in range(runs)] for side in (0, 1))
    found = compare(a, b)
    assert {change.verdict for change in found.changes} == {"same"}
    assert len(found.changes) == 20


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_slow_down_is_told(make_results: Callable[..., Results], seed: int) -> None:
    a = [make_results(10 * seed + run, noise=0.04) for run in range(5)]
    b = [make_results(1000 + 10 * seed + run, {PLANTED: 1.2}, noise=0.04) for run in range(5)]
    assert {change.row.case for change in compare(a, b).of("slower")} == {PLANTED}
    assert {change.row.case for change in compare(b, a).of("faster")} == {PLANTED}
    for change in compare(a, b).of("slower"):
        assert 1.1 < change.factor < 1.3
        assert change.low > 1


def test_noise_is_what_unchanged_contenders_do(make_results: Callable[..., Results]) -> None:
    """On a machine where plain PyTorch itself changes by a third, 20 % cannot be told."""
    found = compare([make_results(1, noise=0.3)], [make_results(2, {PLANTED: 1.2}, noise=0.3)])
    assert found.noise > 1.2
    assert not found.of("slower")


BUILDS = "from pathlib import Path; Path('gan_fast/_cpu.so').write_text('built from ' + Path('csrc/a.cpp').read_text())"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit of a tree whose setup.py writes what it was built from, and its module, just built."""
    for folder in ("benchmarks", "csrc", "gan_fast"):
        (tmp_path / folder).mkdir()
    (tmp_path / "csrc" / "a.cpp").write_text("first")
    (tmp_path / "gan_fast" / "benchmarks.py").write_text("")
    (tmp_path / "benchmarks" / "cases.py").write_text("")
    (tmp_path / "setup.py").write_text(BUILDS)
    (tmp_path / ".gitignore").write_text("*.so\n.benchmarks/\n")
    commit(tmp_path, "init", "-q")
    (tmp_path / "gan_fast" / "_cpu.so").write_text("copied")
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    return tmp_path


def commit(root: Path, *first: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e")
    for command in ((*first,) if first else (), ("add", "-A"), (*who, "commit", "-qm", "message")):
        if command:
            subprocess.run(["git", *command], cwd=root, check=True)


def test_a_revision_takes_this_tree_s_module_only_if_it_was_built_from_its_sources(repository: Path) -> None:
    tree = comparison.source_tree("HEAD")
    assert (tree / "gan_fast" / "_cpu.so").read_text() == "copied"
    assert comparison.source_tree(".") == repository
    source = repository / "csrc" / "a.cpp"
    source.write_text("second")
    later = (repository / "gan_fast" / "_cpu.so").stat().st_mtime + 10
    os.utime(source, (later, later))
    commit(repository)
    tree = comparison.source_tree("HEAD")
    assert (tree / "gan_fast" / "_cpu.so").read_text() == "built from second"
    with pytest.raises(ValueError, match="older than csrc"):
        comparison.source_tree(".")
