import io
import json
import shlex
import tomllib
import zipfile

import pytest
from PIL import Image
from typer.testing import CliRunner

from gan_fast.cli import app
from gan_fast.data import open_data


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs the command in a folder with images of two classes."""
    monkeypatch.chdir(tmp_path)
    for k in range(5):
        file = tmp_path / "set" / "ab"[k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 12 + k // 3), (40 * (k % 3), 0, 0)).save(file)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["data", *map(str, arguments)])


def test_check_counts(call):
    result = call("check", "set")
    assert result.exit_code == 0, result.output
    for found in ("5 images", "20x12 (3), 20x13 (2)", "RGB (5)", "a (3), b (2)", "build set OUT.zip --resolution 8"):
        assert found in result.output


def test_check_names_what_is_broken_and_what_is_alike(call, tmp_path):
    (tmp_path / "set" / "a" / "0.png").write_bytes((tmp_path / "set" / "b" / "1.png").read_bytes()[:45])
    (tmp_path / "set" / "b" / "copy.png").write_bytes((tmp_path / "set" / "b" / "3.png").read_bytes())
    result = call("check", "set")
    assert result.exit_code == 1
    assert "broken: cannot read the image a/0.png" in result.output
    assert "alike: b/3.png, b/copy.png" in result.output
    assert "1 broken files" in result.output


def test_check_names_labels_without_an_image(call, tmp_path):
    names = [f"{'ab'[k % 2]}/{k}.png" for k in range(6)]
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": [[name, [0.5, 1]] for name in names]}))
    result = call("check", "set")
    assert result.exit_code == 1
    assert "a label without an image: b/5.png" in result.output
    assert "vectors of 2" in result.output


@pytest.mark.parametrize("channels", [1, 3])
def test_build_writes_what_train_and_other_tools_read(call, tmp_path, channels):
    result = call("build", "set", "out.zip", "--resolution", "8", "--channels", channels)
    assert result.exit_code == 0, result.output
    next_line = result.output.splitlines()[-1]
    assert next_line.startswith("Next: gan-fast train --data out.zip --preset auto")
    arguments = shlex.split(next_line)[2:]
    printed = tomllib.loads(CliRunner().invoke(app, [*arguments, "--print-config"]).stdout)
    assert (printed["model"]["img_resolution"], printed["model"].get("img_channels", 3)) == (8, channels)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == [*(f"00000/img0000000{k}.png" for k in range(5)), "dataset.json"]
        content = json.loads(archive.read("dataset.json"))
        assert Image.open(io.BytesIO(archive.read("00000/img00000002.png"))).mode == {1: "L", 3: "RGB"}[channels]
    assert content["labels"] == [[f"00000/img0000000{k}.png", label] for k, label in enumerate([0, 0, 0, 1, 1])]
    assert (content["built"]["filter"], content["built"]["source"]) == ("lanczos", "set")
    built, _ = open_data("out.zip", 8, channels)
    source, _ = open_data("set", 8, channels)
    assert built.class_names == source.class_names == ("a", "b")
    assert built.images.equal(source.images)
    assert built.labels.equal(source.labels)


def test_build_gives_the_same_bytes_and_keeps_what_is_there(call, tmp_path):
    for out in ("1.zip", "2.zip"):
        assert call("build", "set", out, "--resolution", "8", "--crop", "wide").exit_code == 0
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    result = call("build", "set", "1.zip", "--resolution", "16")
    assert result.exit_code == 2
    assert "not overwritten" in result.stderr
    assert call("build", "1.zip", "3.zip", "--resolution", "4").exit_code == 0


def test_build_leaves_broken_files_out_only_where_asked(call, tmp_path):
    (tmp_path / "set" / "a" / "2.png").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    result = call("build", "set", "out.zip", "--resolution", "8")
    assert result.exit_code == 2
    assert "a/2.png" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before
    result = call("build", "set", "out.zip", "--resolution", "8", "--on-error", "skip")
    assert result.exit_code == 0
    assert "left out: cannot read the image set: a/2.png" in result.output
    assert open_data("out.zip", 8, 3)[0].labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["check", "absent"], "gan-fast data check: data: no such folder"),
        (["build", "absent.zip", "out.zip", "--resolution", "8"], "absent.zip"),
        (["build", "set", "out.tar", "--resolution", "8"], "ends in .zip"),
        (["build", "set", "out.zip", "--resolution", "0"], "resolution"),
        (["build", "set", "out.zip", "--resolution", "8", "--crop", "left"], "crop: expected center or wide"),
        (["build", "set", "out.zip", "--resolution", "8", "--on-error", "ignore"], "on_error"),
    ],
)
def test_bad_arguments_are_named_in_one_line(call, tmp_path, arguments, named):
    result = call(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.zip").exists()
