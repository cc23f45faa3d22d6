import numpy as np
import pytest
import torch
from PIL import Image

from gan_fast import latents
from gan_fast.data import to_uint8
from gan_fast.training import load_generator, sample


@pytest.fixture
def drawn(untrained_run, tmp_path):
    """An image of the generator's own, uint8 [8, 8], and its file."""
    image = to_uint8(sample.draw(load_generator(untrained_run)[0], [3], torch.tensor([6])))[0, 0].numpy()
    Image.fromarray(image).save(tmp_path / "mine.png")
    return image, tmp_path / "mine.png"


def test_an_image_becomes_a_w_a_picture_and_a_film(call, untrained_run, drawn, tmp_path):
    image, path = drawn
    result = call("project", path, untrained_run, "--steps", 40, "--class", 6, "--out", "found")
    assert result.exit_code == 0, result.output
    assert "in 40 steps, from the mean of class 6" in result.output
    assert "Root mean square difference of pixels" in result.output
    assert f"Next: gan-fast explore {untrained_run}" in result.output
    generator, _ = load_generator(untrained_run)
    with np.load(tmp_path / "found" / "w.npz") as stored:
        noise = {name.removeprefix("noise."): torch.from_numpy(v) for name, v in stored.items() if "noise." in name}
        found = to_uint8(latents.render(generator, torch.from_numpy(stored["ws"])[None], noise))[0, 0].numpy()
        assert (stored["label"], len(stored["distances"])) == (6, 41)
        assert stored["distances"][-1] < 0.5 * stored["distances"][0]
    pair = np.array(Image.open(tmp_path / "found" / "projected.png"))
    assert pair.shape == (192, 386)
    assert np.abs(pair[::24, :192:24].astype(int) - image).max() <= 1
    assert np.abs(pair[::24, 194::24].astype(int) - found).max() <= 1
    with Image.open(tmp_path / "found" / "search.webp") as film:
        assert 30 <= film.n_frames <= 41, "equal frames in a row are kept as one"
        film.seek(film.n_frames - 1)
        assert np.abs(np.array(film.convert("L"))[::24, 194::24].astype(int) - found).max() <= 1


def test_results_lie_beside_the_checkpoint_unless_told_otherwise(call, untrained_run, drawn):
    assert call("project", drawn[1], untrained_run, "--steps", 2, "--space", "w+").exit_code == 0
    assert (untrained_run / "projected-mine" / "projected.png").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["absent.png"], "absent.png"),
        (["bad.png"], "cannot read the image bad.png"),
        (["mine.png", "--space", "z"], "space: got 'z', takes w, w+"),
        (["mine.png", "--steps", "0"], "steps: got 0"),
        (["mine.png", "--class", "12"], "--class: there are 10"),
        (["mine.png", "--class", "1-3"], "--class: expected one class"),
    ],
)
def test_bad_arguments_are_named_and_leave_nothing(call, untrained_run, drawn, tmp_path, arguments, named):
    (tmp_path / "bad.png").write_bytes(b"no image")
    result = call("project", arguments[0], untrained_run, *arguments[1:], "--out", "found")
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "found").exists()
