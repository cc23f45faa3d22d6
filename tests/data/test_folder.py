import numpy as np
import pytest
import torch
from PIL import Image

from gan_fast.data import folder, open_data


def write(path, size=(20, 12), colour=(255, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_sub_folders_are_classes_in_order_of_name(tmp_path):
    write(tmp_path / "cat" / "1.png", colour=(0, 0, 255))
    write(tmp_path / "ant" / "1.png")
    write(tmp_path / "ant" / "deeper" / "2.jpg")
    images = folder(tmp_path, 8, 3)
    assert images.class_names == ("ant", "cat")
    assert images.labels.tolist() == [0, 0, 1]
    assert images.images.shape == (3, 3, 8, 8)
    assert images.images[2, :, 4, 4].tolist() == [0, 0, 255]


def test_loose_images_have_no_classes(tmp_path):
    write(tmp_path / "1.png")
    write(tmp_path / "2.png")
    train, held_out = open_data(tmp_path, 8, 1)
    assert (len(train), train.num_classes, held_out) == (2, 0, None)
    assert train.batch(torch.tensor([0, 1]))[1].shape == (2, 0)


def test_the_centre_is_kept(tmp_path):
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert (folder(tmp_path, 8, 1).images == 200).all()


def test_a_broken_image_is_named(tmp_path):
    write(tmp_path / "fine.png")
    good = write(tmp_path / "cut.png", size=(64, 64)).read_bytes()
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match=r"cut\.png"):
        folder(tmp_path, 8)
    (tmp_path / "cut.png").write_bytes(b"no image at all")
    with pytest.raises(ValueError, match=r"cut\.png"):
        folder(tmp_path, 8)


def test_sixteen_bit_images_are_refused_not_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png.*8 bits"):
        folder(tmp_path, 8, 1)


def test_folders_that_hold_no_set_are_named(tmp_path):
    with pytest.raises(ValueError, match="no images in"):
        folder(tmp_path, 8)
    write(tmp_path / "a" / "1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*empty"):
        folder(tmp_path, 8)
    (tmp_path / "empty").rmdir()
    write(tmp_path / "loose.png")
    with pytest.raises(ValueError, match="beside images in sub-folders"):
        folder(tmp_path, 8)
    with pytest.raises(ValueError, match="channels"):
        folder(tmp_path, 8, 2)
