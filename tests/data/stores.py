"""Image files for tests to read: `picture` gives the bytes of one, `store` a small labelled set in any format."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FORMATS = ("folder", "zip", "lmdb", "webdataset", "hugging face")
COLOURS = {"ant/0.png": (200, 0, 0), "ant/1.png": (0, 200, 0), "bee/2.png": (0, 0, 200)}


def picture(colour=(200, 0, 0), size=(20, 12), mode="RGB", kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind, **options)
    return file.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_lmdb(path: Path, files: dict[str, bytes]) -> Path:
    lmdb = pytest.importorskip("lmdb", reason="lmdb is an extra")
    with lmdb.open(str(path), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for name, data in files.items():
            transaction.put(name.encode(), data)
    return path


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_hugging_face(path: Path, files: dict[str, bytes], classes: list[int], names: list[str]) -> Path:
    datasets = pytest.importorskip("datasets", reason="datasets is an extra")
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=names)})
    rows = {"photo": [{"bytes": data, "path": None} for data in files.values()], "kind": classes}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(path))
    return path


def store(kind: str, path: Path) -> Path:
    """Three images of two classes, in their order."""
    files = {name: picture(colour) for name, colour in COLOURS.items()}
    if kind == "folder":
        return write_files(path / "set", files)
    if kind == "zip":
        return write_zip(path / "set.zip", files)
    if kind == "lmdb":
        return write_lmdb(path / "set", files)
    if kind == "hugging face":
        return write_hugging_face(path / "set", files, [0, 0, 1], ["ant", "bee"])
    (path / "set").mkdir()
    for k, (name, data) in enumerate(files.items()):
        write_tar(path / "set" / f"{k:03d}.tar", {"x.png": data, "x.cls": b"1" if "bee" in name else b"0"})
    return path / "set"


def dataset_json(labels) -> bytes:
    return json.dumps({"labels": labels}).encode()


def noise(kind: str = "PNG") -> bytes:
    """An image that hardly compresses, so that a part of the file is not enough."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()
