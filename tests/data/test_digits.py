import pytest
import torch

from gan_fast.data import digits, open_data, to_float, to_uint8


def test_digits_are_all_there_in_ten_classes():
    images = digits(16)
    assert images.images.shape == (1797, 1, 16, 16)
    assert images.images.dtype == torch.uint8
    assert images.images.min() == 0
    assert images.images.max() == 255
    assert images.num_classes == 10
    assert torch.bincount(images.labels).min() >= 170


def test_small_digits_are_the_scans_themselves():
    from sklearn.datasets import load_digits

    scans = torch.from_numpy(load_digits().images)
    torch.testing.assert_close(digits(8).images[:, 0].double() / 255 * 16, scans, atol=16 / 255 / 2 + 1e-6, rtol=0)


def test_enlarged_digits_keep_their_content():
    small, large = digits(8).images.float(), digits(32).images.float()
    back = torch.nn.functional.avg_pool2d(large, 4)
    assert torch.corrcoef(torch.stack([back.flatten(), small.flatten()]))[0, 1] > 0.95


def test_split_is_stratified_and_disjoint():
    train, held_out = open_data("digits", 16, 1)
    assert len(train) + len(held_out) == 1797
    share = torch.bincount(held_out.labels) / torch.bincount(digits(16).labels)
    assert (share - 0.2).abs().max() < 0.01
    again, _ = open_data("digits", 16, 1)
    assert torch.equal(train.images, again.images)


def test_batches_are_floats_and_one_hot(device):
    x, c = digits(16).batch(torch.tensor([0, 5]), device)
    assert x.device.type == c.device.type == device.type
    assert -1 <= x.min() < x.max() <= 1
    assert c.argmax(1).tolist() == digits(16).labels[[0, 5]].tolist()
    assert c.sum() == 2


def test_bytes_survive_the_way_to_floats_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)


@pytest.mark.parametrize(
    ("source", "resolution", "channels", "named"),
    [
        ("digits", 17, 1, "resolution"),
        ("digits", 16, 3, "channels"),
        ("no/such/folder", 16, 1, "no/such/folder"),
    ],
)
def test_bad_sources_are_named(source, resolution, channels, named):
    with pytest.raises(ValueError, match=named):
        open_data(source, resolution, channels)
