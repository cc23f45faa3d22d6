"""Commands in an installation without extras: what needs none works, and what needs one says which."""

import re
import sys
import tomllib
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

import gan_fast
from gan_fast.models import stylegan2

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = {
    re.match(r"[\w-]+", package)[0].replace("-", "_")
    for name, packages in PYPROJECT["optional-dependencies"].items()
    if name != "dev"
    for package in packages
}


@pytest.fixture
def plain(call, tmp_path, monkeypatch):
    """Runs the command without extras, in a folder with a checkpoint and data of every kind."""
    generator, _ = stylegan2.build({"img_resolution": 8, "z_dim": 8, "w_dim": 8, "num_layers": 1, "channel_base": 32})
    gan_fast.save(tmp_path / "small.pt", generator)
    for name in ("set.lmdb/data.mdb", "rows/dataset_info.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    find = PathFinder.find_spec

    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in EXTRAS else find(name, path, target)

    monkeypatch.setattr(PathFinder, "find_spec", find_spec)
    for name in list(sys.modules):
        if name.partition(".")[0] in EXTRAS or name.startswith("torch.utils.tensorboard"):
            monkeypatch.delitem(sys.modules, name)
    return call


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("explore small.pt", "lab"),
        ("lab", "lab"),
        ("generate small.pt --as video --out walk.mp4", "lab"),
        ("export small.pt small.onnx", "export"),
        ("train --set tensorboard=true", "tensorboard"),
        ("data check set.lmdb", "data"),
        ("data check rows", "data"),
    ],
)
def test_an_extra_that_is_missing_is_named(plain, command, extra):
    result = plain(*command.split())
    assert result.exit_code == 2, result.output
    assert f"pip install 'gan-fast[{extra}]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert extra in PYPROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    "command",
    [
        "generate small.pt --as video --seeds 0-1 --frames 2 --out walk.webp",
        "explore small.pt --html explorer.html",
        "inspect small.pt",
        "doctor",
    ],
)
def test_the_rest_needs_none(plain, command):
    result = plain(*command.split())
    assert result.exit_code == 0, result.output
    assert "Next: " in result.output
