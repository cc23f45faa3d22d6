import pytest
import torch
from stores import dataset_json, noise, picture, store, write_files

from gan_fast.data import ImageFiles, ImageSet, Protocol, open_data, open_source

DAMAGED = {f"{k}.png": picture((k, 0, 0)) for k in range(6)} | {
    "1.png": b"",
    "2.png": noise("JPEG")[:3000],
    "5.png": b"no image",
}


@pytest.fixture
def damaged(tmp_path):
    listed = dataset_json([[name, k] for k, name in enumerate(sorted(DAMAGED))])
    return write_files(tmp_path / "damaged", DAMAGED | {"dataset.json": listed})


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_broken_file_is_named(damaged, in_memory):
    with pytest.raises(ValueError, match=r"cannot read the image .*damaged: 1\.png"):
        open_data(damaged, 8, 3, in_memory=in_memory)[0].pixels(torch.arange(6))


def test_skipped_files_leave_a_set_in_memory(damaged, caplog):
    images, _ = open_data(damaged, 8, 3, on_error="skip")
    assert images.labels.tolist() == images.images[:, 0, 4, 4].tolist() == [0, 3, 4]
    assert sorted(record.getMessage().split(": ")[2] for record in caplog.records) == ["1.png", "2.png", "5.png"]
    assert images.describe()["skipped"] == ["1.png", "2.png", "5.png"]


def test_the_next_image_stands_in_for_a_skipped_one_that_is_read_when_needed(damaged, caplog):
    images, _ = open_data(damaged, 8, 3, on_error="skip", in_memory=False)
    for _ in range(2):
        x, c = images.batch(torch.tensor([5, 1, 3]))
        assert c.argmax(1).tolist() == [0, 3, 3]
        assert ((x[:, 0, 4, 4] + 1) * 127.5).round().tolist() == [0, 3, 3]
    assert sorted(record.getMessage().split(": ")[2] for record in caplog.records) == ["1.png", "2.png", "5.png"]
    assert images.describe()["skipped"] == ["1.png", "2.png", "5.png"]


def test_a_set_of_broken_files_alone_ends(tmp_path):
    write_files(tmp_path, {f"{k}.png": b"" for k in range(20)})
    with pytest.raises(ValueError, match="none of the 20 images"):
        open_data(tmp_path, 8, 3, on_error="skip")


def test_a_file_that_goes_missing_is_named(tmp_path):
    path = store("folder", tmp_path)
    images, _ = open_data(path, 8, 3, in_memory=False)
    (path / "ant" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"ant/1\.png"):
        images.batch(torch.arange(3))
    images.batch(torch.tensor([0, 2]))


def test_a_damaged_member_of_a_zip_is_named(tmp_path):
    path = store("zip", tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"IHDR")] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"ant/0\.png: Bad CRC"):
        open_data(path, 8, 3)


def test_what_a_run_stores_about_its_data(tmp_path):
    path = store("zip", tmp_path)
    source = open_source(path)
    described = ImageFiles(source, Protocol(8, 1, "wide")).describe()
    hashed = described.pop("hash")
    assert described == {
        "source": str(path), "kind": "zip", "resolution": 8, "channels": 1, "crop": "wide", "filter": "lanczos",
        "skipped": [], "images": 3, "classes": {"ant": 2, "bee": 1}, "c_dim": 2,
    }  # fmt: skip
    assert ImageFiles(source, Protocol(8)).describe()["hash"] == hashed
    assert ImageFiles(source, Protocol(8)).subset(torch.tensor([0, 1])).describe()["hash"] != hashed
    loaded, _ = open_data(path, 8, 1)
    assert loaded.describe() | {"crop": "wide", "hash": ""} == described | {"hash": ""}
    assert loaded.describe() == open_data(path, 8, 1)[0].describe()
    assert loaded.describe()["hash"] != loaded.subset(torch.tensor([0, 1])).describe()["hash"]


def test_large_sets_are_read_when_needed(tmp_path, monkeypatch):
    path = store("folder", tmp_path)
    monkeypatch.setattr("gan_fast.data.IN_MEMORY", 3 * 3 * 64)
    assert isinstance(open_data(path, 8, 3)[0], ImageSet)
    images, _ = open_data(path, 9, 3)
    assert isinstance(images, ImageFiles)
    picked = images.subset(torch.tensor([2, 1, 0])).subset(torch.tensor([True, False, True]))
    assert picked.pixels(torch.arange(2))[:, :, 4, 4].tolist() == [[0, 0, 200], [200, 0, 0]]
    assert picked.batch(torch.tensor([0]))[1].tolist() == [[0.0, 1.0]]
    assert images.class_rank().tolist() == [0, 1, 0]


def test_images_may_lie_on_the_device(tmp_path, device):
    images, _ = open_data(store("folder", tmp_path), 8, 3)
    x, c = images.to(device).batch(torch.tensor([2, 0]), device)
    wanted, labels = images.batch(torch.tensor([2, 0]))
    assert torch.equal(x.cpu(), wanted)
    assert torch.equal(c.cpu(), labels)


def test_on_error_takes_two_words(tmp_path):
    with pytest.raises(ValueError, match=r"on_error.*'ignore'"):
        open_data(store("folder", tmp_path), 8, 3, on_error="ignore")
