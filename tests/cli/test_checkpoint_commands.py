"""inspect, convert, export, and generate from other projects' files."""

import pytest
from PIL import Image
from typer.testing import CliRunner

import gan_fast
from gan_fast.cli import app
from gan_fast.models import stylegan2


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs a command in a folder with small.pt, a checkpoint in rosinality's format."""
    monkeypatch.chdir(tmp_path)
    generator, _ = stylegan2.build({"img_resolution": 8, "z_dim": 8, "w_dim": 8, "num_layers": 1, "channel_base": 32})
    gan_fast.save("small.pt", generator)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_convert_inspect_generate(call, tmp_path):
    result = call("convert", "small.pt", "small.pkl")
    assert result.exit_code == 0, result.output
    assert "small.pkl (ada) holds the generator; its images differ from small.pt's by 0.0e+00" in result.output
    assert "Next: gan-fast generate small.pkl" in result.output
    result = call("inspect", "small.pkl", "--tensors")
    assert result.exit_code == 0, result.output
    assert "img_resolution 8" in result.output
    assert "source code of" in result.output
    assert "G.synthesis.b4.const" in result.output
    result = call("generate", "small.pkl", "--seeds", "0-3", "--out", "images.png")
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "images.png").size == (98, 98)
    result = call("export", "small.pkl", "small.safetensors")
    assert result.exit_code == 0, result.output
    assert gan_fast.load(tmp_path / "small.safetensors").config.img_resolution == 8


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["inspect", "absent.pkl"], "cannot read absent.pkl: No such file"),
        (["convert", "small.pt", "small.bin"], "dialect: got None"),
        (["convert", "small.pt", "small.bin", "--to", "tf"], "dialect: got 'tf'"),
        (["export", "small.pt", "small.pb"], "small.pb"),
        (["generate", "evil.pkl"], "names 'os.system'"),
        (["convert", "evil.pkl", "x.pt"], "names 'os.system'"),
    ],
)
def test_errors_are_one_line(call, tmp_path, arguments, named):
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x04cos\nsystem\n\x8c\x05touch\x85R.")
    result = call(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_steers_a_terminal_is_not_printed(call, tmp_path):
    (tmp_path / "odd.pkl").write_bytes(b"\x80\x04}\x8c\x05a\x1b[2J\x8c\x05\x1b]0;hs.")
    result = call("inspect", "odd.pkl")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert "a?[2J = ?]0;h" in result.output
