import pytest
import torch

from gan_fast.models import stylegan2
from gan_fast.training import sample


@pytest.fixture
def generator(device):
    net, _ = stylegan2.build("digits", img_resolution=8, channel_base=64, channel_max=8, z_dim=8, w_dim=8)
    return net.to(device).eval()


def test_an_image_depends_on_its_seed_and_class_alone(generator):
    labels = torch.tensor([1, 2, 3])
    three = sample.draw(generator, [5, 6, 7], labels, psi=0.7)
    torch.testing.assert_close(sample.draw(generator, [7], labels[2:], psi=0.7)[0], three[2])
    assert not torch.allclose(three[0], three[1])


def test_no_variety_at_psi_zero(generator):
    a, b, c = sample.draw(generator, [1, 2, 3], torch.tensor([4, 4, 5]), psi=0.0)
    torch.testing.assert_close(a, b)
    assert not torch.allclose(a, c)


def test_a_grid_reads_row_by_row(tmp_path):
    values = torch.arange(6, dtype=torch.uint8).mul(40).reshape(6, 1, 1, 1).expand(6, 1, 4, 4)
    image = sample.grid(values[:5], columns=3, min_side=8)
    assert image.size == (28, 18)
    assert [image.getpixel((10 * i + 1, 1)) for i in range(3)] == [0, 40, 80]
    assert [image.getpixel((10 * i + 7, 17)) for i in range(3)] == [120, 160, 0]
    assert image.getpixel((8, 1)) == image.getpixel((1, 9)) == sample.GREY
    sample.save_png(image, tmp_path / "g.png")
    from PIL import Image

    assert Image.open(tmp_path / "g.png").size == (28, 18)


def test_a_colour_grid():
    colours = torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    image = sample.grid(colours, columns=1)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (64, 64), (255, 0, 0))
