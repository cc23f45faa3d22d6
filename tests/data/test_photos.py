import pytest
import torch

from gan_fast.data import open_data, photos


def test_patches_are_cut_from_the_photographs():
    train, held_out = open_data("photos", 64, 3)
    assert (len(train), len(held_out)) == (4876, 1196)
    assert train.images.shape[1:] == held_out.images.shape[1:] == (3, 64, 64)
    assert train.class_names == ("china", "flower")
    assert torch.bincount(train.labels).tolist() == [2438, 2438]
    assert train.images.float().std() > 40
    # Neighbours overlap by all but eight columns.
    assert torch.equal(train.images[0, :, :, 8:], train.images[1, :, :, :-8])


def test_no_pixel_is_both_trained_on_and_held_out(monkeypatch):
    """Photographs whose pixels hold their column: the last of the training patches lies before the first held out."""
    columns = torch.arange(640) // 4
    picture = columns.to(torch.uint8).expand(427, 640)[..., None].expand(-1, -1, 3).numpy()
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: type("Photos", (), {"images": [picture] * 2}))
    train, held_out = photos.__wrapped__(64)
    assert train.images.max() == 119
    assert held_out.images.min() == 120


def test_bad_requests_are_named():
    with pytest.raises(ValueError, match="resolution"):
        open_data("photos", 60, 3)
    with pytest.raises(ValueError, match="channels"):
        open_data("photos", 64, 1)
