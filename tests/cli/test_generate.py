import numpy as np
import pytest
import torch
from PIL import Image

from gan_fast import latents
from gan_fast.data import to_uint8
from gan_fast.training import load_generator, sample, sample_set

CELL = 50  # an 8x8 digit in a grid: enlarged six times, and a line


@pytest.fixture(scope="module")
def generator(untrained_run):
    return load_generator(untrained_run)[0]


def cell(path, row, column):
    """The image at a place of a grid, uint8 [8, 8]."""
    pixels = torch.from_numpy(np.array(Image.open(path)))
    return pixels[row * CELL : row * CELL + 48 : 6, column * CELL : column * CELL + 48 : 6]


def drawn(generator, seed, label, psi=1.0):
    return to_uint8(sample.draw(generator, [seed], torch.tensor([label]), psi))[0, 0]


def same(a, b):
    return (a.int() - b.int()).abs().max() <= 1


def test_a_grid_beside_the_checkpoint(call, untrained_run, generator):
    result = call("generate", untrained_run, "--classes", 3, "--psi", 0.7)
    assert result.exit_code == 0, result.output
    path = untrained_run / "generated.png"
    assert f"10 images are in {path}" in result.output
    assert f"Next: gan-fast explore {untrained_run}" in result.output
    assert Image.open(path).size == (4 * CELL - 2, 3 * CELL - 2)
    assert same(cell(path, 1, 2), drawn(generator, 6, 3, 0.7))


def test_a_grid_of_a_given_shape(call, tmp_path, untrained_run):
    options = ["--seeds", "0-2,9", "--class", "4,7-8", "--grid", "2x7", "--out", "a/b.png"]
    assert call("generate", untrained_run, *options).exit_code == 0
    assert Image.open(tmp_path / "a" / "b.png").size == (7 * CELL - 2, 2 * CELL - 2)
    assert cell("a/b.png", 1, 6).max() == 0


def test_several_psi_are_a_sweep(call, untrained_run, generator):
    assert call("generate", untrained_run, "--seeds", "0,5", "--classes", 2, "--psi", "0,0.5,1", "--out", "s.png")
    assert Image.open("s.png").size == (3 * CELL - 2, 2 * CELL - 2)
    assert same(cell("s.png", 0, 0), cell("s.png", 1, 0)), "psi 0: the class's mean, whatever the seed"
    for column, psi in enumerate((0, 0.5, 1)):
        assert same(cell("s.png", 1, column), drawn(generator, 5, 2, psi))


def test_a_mixing_table_has_its_sources_on_the_rim(call, untrained_run, generator):
    options = ["--seeds", "0-2", "--styles", "7,8", "--classes", "1,2", "--layers", "0-1", "--out", "m.png"]
    result = call("generate", untrained_run, "--as", "mixing", *options)
    assert result.exit_code == 0, result.output
    assert Image.open("m.png").size == (3 * CELL - 2, 4 * CELL - 2)
    assert cell("m.png", 0, 0).max() == 0
    assert same(cell("m.png", 0, 2), drawn(generator, 8, 2))
    assert same(cell("m.png", 3, 0), drawn(generator, 2, 1))
    row, column = (latents.seeded_ws(generator, [seed], torch.tensor([label])) for seed, label in ((2, 1), (8, 2)))
    mixed = latents.render(generator, torch.cat([column[:, :2], row[:, 2:]], 1))
    assert same(cell("m.png", 3, 2), to_uint8(mixed)[0, 0])


@pytest.mark.parametrize("suffix", [".webp", ".mp4", ".gif"])
def test_a_walk_is_a_loop_with_a_cell_a_class(call, untrained_run, generator, suffix):
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg", reason="video is an extra")
    options = ["--seeds", "0,1", "--classes", "3,4", "--frames", "3", "--fps", "10", "--out", f"walk{suffix}"]
    result = call("generate", untrained_run, "--as", "video", *options)
    assert result.exit_code == 0, result.output
    assert "6 frames, 0.6 s in a loop" in result.output
    if suffix == ".mp4":
        import imageio.v3

        frames = imageio.v3.imread("walk.mp4", plugin="FFMPEG")
        assert frames.shape == (6, 128, 258, 3)
    else:
        with Image.open(f"walk{suffix}") as film:
            film.seek(3)
            film.load()
            assert (film.n_frames, film.info["duration"], film.info["loop"]) == (6, 100, 0)
            pixels = torch.from_numpy(np.array(film.convert("L")))
            assert same(pixels[:128:16, 130::16], drawn(generator, 1, 4))


@pytest.mark.parametrize("form", ["png", "npz"])
def test_any_number_of_images_goes_on_where_it_stopped(call, tmp_path, untrained_run, generator, monkeypatch, form):
    monkeypatch.setattr(sample_set, "SHARD", 3)
    arguments = ["generate", untrained_run, "--as", form, "--seeds", "3-6", "--classes", "0-1", "--out", "many"]
    assert "8 images (8 of them new)" in call(*arguments).output
    folder = tmp_path / "many"
    if form == "png":
        assert np.array_equal(np.array(Image.open(folder / "seed000005-1.png")), drawn(generator, 5, 1))
        gone, missing = "seed000005-1.png", 1
    else:
        shards = [np.load(path) for path in sorted(folder.glob("*.npz"))]
        assert [shard["images"].shape for shard in shards] == [(3, 8, 8, 1), (3, 8, 8, 1), (2, 8, 8, 1)]
        assert np.concatenate([shard["seeds"] for shard in shards]).tolist() == [3, 4, 5, 6] * 2
        assert np.concatenate([shard["labels"] for shard in shards]).tolist() == [0] * 4 + [1] * 4
        assert same(torch.from_numpy(shards[2]["images"])[0, ..., 0], drawn(generator, 5, 1))
        gone, missing = "00000003.npz", 3
    names = sorted(path.name for path in folder.iterdir())
    (folder / gone).unlink()
    assert f"8 images ({missing} of them new)" in call(*arguments).output
    assert sorted(path.name for path in folder.iterdir()) == names
    result = call(*arguments, "--psi", 0.5)
    assert result.exit_code == 2
    assert "many holds images drawn otherwise (psi); give another folder" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seeds", "3-1"], "--seeds"),
        (["--classes", "12"], "--classes: there are 10"),
        (["--grid", "2by3"], "--grid"),
        (["--grid", "1x1"], "no place for 100"),
        (["--psi", "-1"], "--psi"),
        (["--psi", "a"], "--psi"),
        (["--psi", "0,1", "--as", "video"], "--psi: several"),
        (["--grid", "1x1", "--as", "npz"], "--grid: --as npz"),
        (["--as", "mixing", "--layers", "4"], "--layers: this generator has 0-3"),
        (["--as", "video", "--out", "a.avi"], ".mp4, .webp, .gif"),
    ],
)
def test_bad_options_are_named(call, untrained_run, arguments, named):
    result = call("generate", untrained_run, *arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
