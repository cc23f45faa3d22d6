import socket
import sys

import pytest
import torch

from gan_fast.explorer import panels
from gan_fast.training import load_generator, sample


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    """Two classes and two seeds: what a page holds is tested with the page."""
    made = panels.Explorer.__init__

    def make(explorer, *arguments):
        made(explorer, *arguments)
        explorer.page_seeds, explorer.page_classes, explorer.page_steps = 2, 2, 3

    monkeypatch.setattr(panels.Explorer, "__init__", make)


def test_an_offline_page_with_a_projection(call, tmp_path, untrained_run):
    own = sample.draw(load_generator(untrained_run)[0], [3], torch.tensor([6]))
    sample.save_png(sample.grid(own, 1), tmp_path / "own.png")
    options = ["--html", "pages/explorer.html", "--image", "own.png", "--steps", 4]
    result = call("explore", untrained_run, *options)
    assert result.exit_code == 0, result.output
    assert "8 panels are in pages/explorer.html" in result.output
    assert result.output.splitlines()[-1].startswith("Next: ")
    text = (tmp_path / "pages" / "explorer.html").read_text()
    for found in (
        "A generator of 8x8 images in 10 classes: step 1 of 00000-digits.",
        *("Latent walk", "Truncation", "Style mixing", "SeFa", "Arithmetic", "Between classes", "Noise", "own.png"),
    ):
        assert found in text
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--image", "a.png"], "--image: for --html"),
        (["--html", "a.html", "--image", "absent.png"], "absent.png"),
        (["--html", "a.html", "--image", "own.png", "--steps", "0"], "steps: got 0"),
    ],
)
def test_bad_arguments_are_named_and_leave_nothing(call, tmp_path, untrained_run, arguments, named):
    sample.save_png(sample.grid(torch.zeros(1, 1, 8, 8), 1), tmp_path / "own.png")
    result = call("explore", untrained_run, *arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "a.html").exists()


def test_a_port_that_is_taken_is_named(call, untrained_run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = call("explore", untrained_run, "--port", port)
    assert result.exit_code == 2
    assert f"127.0.0.1:{port} cannot be had" in result.stderr


def test_without_gradio_the_other_way_is_named(call, untrained_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = call("explore", untrained_run, "--port", 0)
    assert result.exit_code == 2
    assert "pip install 'gan-fast[lab]'; or write a page with --html" in result.stderr
