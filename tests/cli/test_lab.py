import sys

import pytest
from PIL import Image

SHORT = ["--steps", 4, "--frames", 2]


def test_an_offline_page(call, tmp_path):
    games = ["--objective", "logistic", "--objective", "ebgan"]
    result = call("lab", "--html", "pages/lab.html", *games, "--mixture", "line", "--seed", 2, *SHORT)
    assert result.exit_code == 0, result.output
    assert "2 games of 4 steps are in pages/lab.html" in result.output
    assert result.output.splitlines()[-1].startswith("Next: ")
    text = (tmp_path / "pages" / "lab.html").read_text()
    assert "2 games of 4 steps on the line, penalty r1, seed 2." in text
    assert '"values":["logistic","ebgan"]' in text
    assert '"values":["0","2","4"]' in text
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation(call, tmp_path, suffix):
    result = call("lab", "--save", f"films/game{suffix}", "--penalty", "none", "--gamma", 0, *SHORT)
    assert result.exit_code == 0, result.output
    assert f"4 steps in 3 pictures are in films/game{suffix}" in result.output
    with Image.open(tmp_path / "films" / f"game{suffix}") as film:
        assert film.n_frames == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--objective", "tug-of-war"], "objective: got 'tug-of-war', takes minimax"),
        (["--objective", "hinge", "--objective", "logistic"], "--objective: several are for --html"),
        (["--html", "a.html", "--save", "a.gif"], "--html, --save: give one"),
        (["--save", "a.png"], "an animation is written as"),
        (["--save", "a.gif", "--steps", 10, "--frames", 3], "a multiple of the 3 frames"),
        (["--gamma", "-1", "--html", "a.html"], "gamma: got -1.0"),
    ],
)
def test_bad_arguments_are_named_and_leave_nothing(call, tmp_path, monkeypatch, arguments, named):
    monkeypatch.delattr("gan_fast.cli.options.serve")  # it would wait for Ctrl-C
    result = call("lab", *arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_gradio_the_other_way_is_named(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = call("lab", "--port", 0)
    assert result.exit_code == 2
    assert "pip install 'gan-fast[lab]'; or write a page with --html" in result.stderr
