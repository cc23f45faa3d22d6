import os
import sys

import pytest
import torch
from stores import (
    COLOURS,
    FORMATS,
    dataset_json,
    picture,
    store,
    write_files,
    write_hugging_face,
    write_lmdb,
    write_tar,
    write_zip,
)

from gan_fast.data import open_data, open_source


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_images(kind, in_memory, tmp_path):
    path = store(kind, tmp_path)
    assert open_source(path).kind == kind
    images, held_out = open_data(path, 8, 3, in_memory=in_memory)
    assert held_out is None
    assert images.class_names == (("0", "1") if kind == "webdataset" else ("ant", "bee"))
    assert images.labels.tolist() == [0, 0, 1]
    x, c = images.batch(torch.tensor([2, 0]))
    assert x.shape == (2, 3, 8, 8)
    assert torch.equal(c, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert images.pixels(torch.arange(3))[:, :, 4, 4].tolist() == [list(c) for c in COLOURS.values()]


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_written_where_the_data_lie_nor_at_home(kind, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = store(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for p in before:
        p.chmod(0o555 if p.is_dir() else 0o444)
    try:
        images, _ = open_data(path, 8, 3, in_memory=False)
        images.batch(torch.arange(3))
        assert sorted(tmp_path.rglob("*")) == before
    finally:
        for p in before:
            p.chmod(0o755)


def test_loose_images_have_no_classes(tmp_path):
    write_files(tmp_path, {"1.png": picture(), "2.JPG": picture(kind="JPEG"), ".hidden.png": b"", "notes.txt": b""})
    images, _ = open_data(tmp_path, 8, 1)
    assert (len(images), images.num_classes, images.c_dim) == (2, 0, 0)
    assert images.batch(torch.tensor([0, 1]))[1].shape == (2, 0)


def test_a_wrong_extension_does_not_matter(tmp_path):
    write_files(tmp_path, {"1.jpg": picture((1, 2, 3)), "2.png": picture((1, 2, 3), kind="WEBP", lossless=True)})
    assert open_data(tmp_path, 8, 3)[0].images[:, :, 0, 0].tolist() == [[1, 2, 3]] * 2


def test_folders_that_hold_no_set_are_named(tmp_path):
    with pytest.raises(ValueError, match="no images in"):
        open_source(tmp_path)
    write_files(tmp_path, {"a/1.png": picture()})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*empty"):
        open_source(tmp_path)
    (tmp_path / "empty").rmdir()
    write_files(tmp_path, {"loose.png": picture()})
    with pytest.raises(ValueError, match="beside images in sub-folders"):
        open_source(tmp_path)
    with pytest.raises(ValueError, match=r"absent\.zip"):
        open_source(tmp_path / "absent.zip")


@pytest.mark.parametrize("write", [write_files, write_zip])
def test_labels_of_dataset_json_go_before_folders(write, tmp_path):
    files = {f"0000{k % 2}/img{k}.png": picture() for k in range(3)}
    listed = [["00000/img2.png", 3], ["00001\\img1.png", 0], ["00000/img0.png", 1]]
    path = write(tmp_path / "a.zip", files | {"dataset.json": dataset_json(listed)})
    images, _ = open_data(path, 8, 3)
    assert images.labels.tolist() == [1, 3, 0]  # in the order of the names
    assert images.class_names == ("0", "1", "2", "3")
    path = write(tmp_path / "b.zip", files | {"dataset.json": dataset_json(None)})
    assert open_data(path, 8, 3)[0].c_dim == 0
    vectors = [[name, [k, 0.5]] for k, name in enumerate(files)]
    path = write(tmp_path / "c.zip", files | {"dataset.json": dataset_json(vectors)})
    images, _ = open_data(path, 8, 3)
    assert (images.c_dim, images.num_classes) == (2, 0)
    picked = images.subset(torch.tensor([2, 0]))
    assert picked.batch(torch.tensor([0]))[1].tolist() == [[1.0, 0.5]]  # 00001/img1.png, the last name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"{", r"dataset\.json: expected"),
        (b"[]", r"dataset\.json: expected"),
        (b'{"labels": 3}', r"dataset\.json: expected"),
        (dataset_json([["0.png", 0]]), r"1 of 2 images have no label, the first is 1\.png"),
        (dataset_json([["0.png", 0], ["1.png", [1.0]]]), "all vectors of one length"),
        (dataset_json([["0.png", [0, 1]], ["1.png", [1.0]]]), "all vectors of one length"),
        (dataset_json([["0.png", 0], ["1.png", -1]]), "all integers from 0"),
        (dataset_json([["0.png", 0], ["1.png", 1], ["2.png", 1]]), r"not there, the first is 2\.png"),
        (b'{"labels": [["0.png", 0], ["1.png", 1]], "class_names": ["a"]}', "class 1 has no name"),
    ],
)
def test_bad_labels_are_named(text, named, tmp_path):
    write_files(tmp_path, {"0.png": picture(), "1.png": picture(), "dataset.json": text})
    with pytest.raises(ValueError, match=named):
        open_data(tmp_path, 8, 3)


def test_a_label_without_image_can_be_passed_over(tmp_path):
    listed = dataset_json([["0.png", 0], ["gone.png", 1]])
    write_files(tmp_path, {"0.png": picture(), "dataset.json": listed})
    assert open_source(tmp_path).unmatched == ["gone.png"]
    assert open_data(tmp_path, 8, 3, on_error="skip")[0].labels.tolist() == [0]


def test_an_lmdb_may_be_opened_twice(tmp_path):
    path = store("lmdb", tmp_path)
    first, second = open_source(path), open_source(path)
    assert first.read(2) == second.read(2)


def test_a_tar_beside_images_is_no_shard(tmp_path):
    path = store("folder", tmp_path)
    write_tar(path / "backup.tar", {"x.png": picture()})
    assert open_source(path).kind == "folder"


def test_of_several_resolutions_in_an_lmdb_the_nearest_above_is_read(tmp_path):
    files = {"length": b"2"}
    for side in (8, 16, 32):
        files |= {f"{side}-0000{i}": picture((side, 0, i), (side, side)) for i in range(2)}
    path = write_lmdb(tmp_path / "faces", files)
    for asked, read in ((8, 8), (12, 16), (64, 32)):
        images, _ = open_data(path, asked, 3)
        assert images.c_dim == 0
        assert images.images[:, [0, 2], 0, 0].tolist() == [[read, 0], [read, 1]]
    path = write_lmdb(tmp_path / "cut", {k: v for k, v in files.items() if k != "16-00001"})
    with pytest.raises(ValueError, match="1 of its 2 keys are missing, the first is 16-00001"):
        open_source(path, 16)
    with pytest.raises(ValueError, match=r"cannot read the LMDB .*odd"):
        open_source(write_lmdb(tmp_path / "odd", {"length": b"two"}))
    with pytest.raises(ValueError, match="no keys such as"):
        open_source(write_lmdb(tmp_path / "none", {"length": b"2"}))


def test_shards_as_webdataset_writes_them(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset, whose files are read, is not installed")
    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"x-{shard:03d}.tar")) as sink:
            for k in range(3):
                sink.write({"__key__": f"s{k}", "png": picture((shard, k, 0)), "cls": k, "json": {"more": 1}})
    for path, count in ((tmp_path, 6), (tmp_path / "x-{000..001}.tar", 6), (tmp_path / "x-001.tar", 3)):
        images, _ = open_data(path, 8, 3, in_memory=False)
        assert images.labels.tolist() == [0, 1, 2] * (count // 3)
        assert images.pixels(torch.tensor([count - 1]))[0, :2, 0, 0].tolist() == [1, 2]


def test_damaged_shards_are_named(tmp_path):
    write_tar(tmp_path / "x.tar", {"a.png": picture(), "a.cls": b"1", "b.png": picture()})
    with pytest.raises(ValueError, match=r"1 images have no \.cls, the first is x\.tar/b\.png"):
        open_source(tmp_path)
    write_tar(tmp_path / "x.tar", {"a.png": picture(), "a.cls": b"-1"})
    with pytest.raises(ValueError, match="1 images have no class from 0"):
        open_source(tmp_path)
    write_tar(tmp_path / "x.tar", {"a.png": picture(), "a.cls": b"cat"})
    with pytest.raises(ValueError, match=r"shard .*x\.tar"):
        open_source(tmp_path)
    (tmp_path / "x.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(ValueError, match=r"shard .*x\.tar"):
        open_source(tmp_path)


def test_other_damaged_archives_are_named(tmp_path):
    path = store("zip", tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"cannot read the zip .*set\.zip"):
        open_source(path)
    (tmp_path / "data.mdb").write_bytes(b"not a database")
    pytest.importorskip("lmdb", reason="lmdb is an extra")
    with pytest.raises(ValueError, match="cannot read the LMDB"):
        open_source(tmp_path)
    (tmp_path / "data.mdb").unlink()
    pytest.importorskip("datasets", reason="datasets is an extra")
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match="cannot read the data set"):
        open_source(tmp_path)


def test_hugging_face_sets_without_images_or_train_are_named(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is an extra")
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "text"))
    with pytest.raises(ValueError, match=r"no images in .*text"):
        open_source(tmp_path / "text")
    rows = datasets.load_from_disk(str(write_hugging_face(tmp_path / "rows", {"a": picture()}, [0], ["a"])))
    datasets.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "splits"))
    assert len(open_source(tmp_path / "splits")) == 1
    datasets.DatasetDict({"test": rows}).save_to_disk(str(tmp_path / "test"))
    with pytest.raises(ValueError, match="no split 'train'"):
        open_source(tmp_path / "test")


@pytest.mark.parametrize(("kind", "package"), [("lmdb", "lmdb"), ("hugging face", "datasets")])
def test_a_missing_package_is_named(kind, package, tmp_path, monkeypatch):
    path = store(kind, tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r"pip install 'gan-fast\[data\]'"):
        open_source(path)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_named_pipe_is_no_image(tmp_path):
    write_files(tmp_path, {"1.png": picture()})
    os.mkfifo(tmp_path / "2.png")
    assert open_source(tmp_path).names == ["1.png"]
