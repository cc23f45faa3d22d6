"""Files that mean harm get an error that names them: nothing in them runs, and they cost no more than their size."""

import argparse
import io
import pickle
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import nvlabs_style
import pytest
import rosinality_style
import torch

import gan_fast
from gan_fast.compat import checkpoints, pickles
from gan_fast.compat.pickles import CheckpointError


class Calls:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def hostile(canary):
    """Objects whose unpickling would make the canary, by name."""
    import os

    touch = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w')"
    inner = io.BytesIO()
    torch.save(Calls(os.system, touch), inner, _use_new_zipfile_serialization=False)
    return {
        "system": Calls(os.system, touch),
        "popen": Calls(subprocess.Popen, ["touch", str(canary)]),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "getattr": Calls(getattr, argparse.ArgumentParser, "exit"),
        "import": Calls(__import__, "os"),
        "open": Calls(open, str(canary), "w"),
        "torch.load": Calls(torch.load, str(canary)),
        "pickle.loads": Calls(pickle.loads, pickle.dumps(Calls(os.system, touch))),
        "bytes": Calls(torch.storage._load_from_bytes, inner.getvalue()),
        "nested": {"G": [({"state": Calls(eval, code)},)]},
        "argument": Calls(set, [Calls(eval, code)]),
        "class": argparse.ArgumentParser,
        "function": os.system,
        "numpy": np.array([Calls(eval, code)], dtype=object),
    }


NAMES = list(hostile(""))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_executed(tmp_path, canary, name):
    value = hostile(canary)[name]
    path = tmp_path / "file.pkl"
    for protocol in range(2, 6):
        path.write_bytes(pickle.dumps({"G_ema": value}, protocol))
        with pytest.raises(CheckpointError, match=r"file\.pkl.*(list|NumPy)"):
            gan_fast.load(path)
        with pytest.raises(CheckpointError, match=r"file\.pkl"):
            checkpoints.inspect(path)
    for new in (False, True):
        torch.save({"g_ema": value}, path, _use_new_zipfile_serialization=new)
        with pytest.raises(CheckpointError, match=r"file\.pkl.*(list|NumPy)"):
            gan_fast.load(path)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_within_a_network_is_executed(tmp_path, canary, name):
    """A network with one hostile attribute, whose source is hostile too."""
    network = nvlabs_style.Generator({4: 4, 8: 4})
    network.extra = hostile(canary)[name]
    path = nvlabs_style.write(tmp_path / "file.pkl", {"G_ema": network}, f"open({str(canary)!r}, 'w')")
    with pytest.raises(CheckpointError, match=r"file\.pkl"):
        gan_fast.load(path)


def test_refusals_name_what_is_refused(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(Calls(eval, "1")))
    with pytest.raises(CheckpointError, match=r"cannot read .*file\.pkl: it names 'builtins\.eval', which is not on"):
        gan_fast.load(path)
    path.write_bytes(b"\x80\x04cdnnlib.tflib.network\nNetwork\n.")
    with pytest.raises(CheckpointError, match=r"'dnnlib\.tflib\.network\.Network'"):
        gan_fast.load(path)


def test_names_on_the_list_cannot_be_misused(tmp_path):
    """Attributes are never set, wrong arguments are refused, and what is only a name is never called."""
    path = tmp_path / "file.pkl"
    for code in (
        b"ctorch\nFloatStorage\n)R.",
        b"cnumpy\nndarray\n)\x81.",
        b"ccollections\nOrderedDict\n}b.",
        b"ccollections\nOrderedDict\n)\x81K\x01b.]}b.",
        b"cargparse\nNamespace\n)\x81K\x01b.",
        b"cbuiltins\nset\nK\x01\x85R.",
        b"ctorch\nSize\nX\x03\0\0\0abc\x85R.",
        b"c_codecs\nencode\nX\1\0\0\0aX\5\0\0\0rot13\x86R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_parameter\nK\1K\1K\1\x87R.",
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R.",
        b"ctorch.storage\n_load_from_bytes\nC\x02ab\x85R.",
        b"cnumpy\ndtype\nX\1\0\0\0O\x85R.",
        b"cnumpy.core.multiarray\nscalar\nK\1K\1\x86R.",
        b"K\1)R.",
        b"}K\1\x85K\2s.",
        b"(K\1u.",
        b"}(K\1u.",
        b"h\0.",
        b"t.",
        b"1.",
        b"0.",
        b"2.",
        b"R.",
        b".",
        b"",
        b"K\1Q.",
        b"\x80\1.",
        b"\x80\x09.",
        b"i\n\n.",
        b"c" + b"a" * 5000,
        b"X\xff\xff\xff\x7fabc.",
        b"\x8d" + b"\xff" * 8 + b".",
        b"\x8e" + b"\xff" * 8 + b".",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8b\0\1\0\0" + b"\1" * 256 + b".",
        b"\x8c\1\xff.",
        b"\xff.",
    ):
        path.write_bytes(b"\x80\x04" + code)
        with pytest.raises(CheckpointError, match=r"cannot (read|load) .*file\.pkl: it"):
            gan_fast.load(path)


def bombs():
    """Small files that would take much memory or time."""
    tower = b"\x80\x04]" + b"2\x86" * 60
    made = b"h\0}\x8c\x0aclass_name\x8c\1as\x8c\x0amodule_src\x8c\0s\x8c\5state}\x8c\1xj%sss\x85R\x940"
    return {
        "marks": b"\x80\x04" + b"(" * 600_000,
        "sets": b"\x80\x04" + b"\x8f" * 600_000,
        "memo": b"\x80\x04N" + b"".join(b"r" + struct.pack("<I", i * 999) for i in range(600_000)) + b".",
        "key": b"\x80\x04}]" + b"2\x86" * 60 + b"Ns.",
        "walk of a tower": tower + b".",
        "printed tower": tower + b"\x940ctorch\ndevice\n\x8c\3cpuh\0\x86R.",
        "tower of numbers": tower + b"\x940cnumpy\ndtype\nh\0\x85R.",
        "shape of towers": tower + b"\x940ctorch._utils\n_rebuild_tensor_v2\n(h\0K\0h\0h\0\x89}tR.",
        "long product": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R(K\1("
        + (b"\x8a\xff" + b"\x7f" * 255) * 60_000
        + b"tcnumpy\ndtype\n\x8c\2f8\x85R\x89C\0tb.",
        "text of towers": tower + b"\x940c_codecs\nencode\nh\0h\0\x86R.",
        "depth": b"\x80\x04" + b"]" * 240_000 + b"a" * 239_999 + b".",
        "copies": b"\x80\x04ctorch\nSize\n\x940](" + b"N" * 100_000 + b"e\x940(" + b"h\0h\1\x85R" * 90_000 + b"t.",
        "namespaces": b"\x80\x04cargparse\nNamespace\n\x940}("
        + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(50_000))
        + b"u\x940("
        + b"h\0)\x81h\1b" * 60_000
        + b"t.",
        "long keys": b"\x80\x04}X" + struct.pack("<I", 10_000_000) + b"k" * 10_000_000 + b"}\x940" * 1 + b"Ns.",
        "text": b"\x80\x04X" + struct.pack("<I", 20 << 20) + "😀".encode() * (5 << 20) + b".",
        "names": b"\x80\x04}X\x20\1\0\0" + b"k" * 288 + b"](" + b"N" * 150_000 + b"es.",
        "objects": b"\x80\x04ctorch_utils.persistence\n_reconstruct_persistent_obj\n\x940N\x940"
        + b"".join(made % struct.pack("<I", i) for i in range(1, 20_000))
        + b"j\x20\x4e\0\0.",
        "length": b"\x80\x04B\xff\xff\xff\xff.",
    }


SCRIPT = """
import resource, sys, time
import gan_fast.compat.checkpoints as checkpoints
from gan_fast.compat.pickles import CheckpointError
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (400 << 20),) * 2)
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        checkpoints.inspect(path)
    except CheckpointError as error:
        assert path in str(error), error
    assert time.process_time() - start < 10, path
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Small files of each container, by name."""
    folder = tmp_path_factory.mktemp("small")
    network = rosinality_style.Generator([1], style=2, layers=1)
    torch.save({"g_ema": network.state_dict()}, folder / "zip.pt")
    torch.save({"g_ema": network.state_dict()}, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    ada = nvlabs_style.Generator({4: 1}, z=2, w=2, layers=1)
    nvlabs_style.write(folder / "pickle.pkl", {"G_ema": ada}, "")
    gan_fast.save(folder / "ours.safetensors", gan_fast.load(folder / "zip.pt"))
    return {path.suffix + path.stem: path for path in folder.iterdir()}


def zip_bombs(folder, true):
    """Archives that declare more than they hold."""
    with zipfile.ZipFile(folder / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + b"\0" * (200 << 20))
    data = bytearray(true.read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 20 : at + 28] = struct.pack("<2I", 1 << 31, 1 << 31)
    (folder / "declared.pt").write_bytes(data)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    many = b"PK\3\4" + b"\0" * 26 + entry * 400_000
    (folder / "members.pt").write_bytes(
        many + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, len(entry) * 400_000, 30, 0)
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory as Linux does")
def test_memory_and_time_are_bounded(tmp_path, checkpoint):
    """With 400 MB more than after importing, every bomb is refused or read."""
    for name, code in bombs().items():
        (tmp_path / f"{name.replace(' ', '-')}.pkl").write_bytes(code)
    zip_bombs(tmp_path, checkpoint[".ptzip"])
    paths = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", SCRIPT, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shapes_cannot_ask_for_more_than_the_file_has(tmp_path):
    """Expanded tensors, and tensors that share a storage."""
    state = rosinality_style.Generator([4, 4], style=4, layers=1).state_dict()
    state["convs.0.conv.weight"] = torch.zeros(1).expand(1, 1 << 20, 1 << 20, 3, 3)
    torch.save({"g_ema": state}, tmp_path / "expanded.pt")
    with pytest.raises(CheckpointError, match="declares a tensor"):
        gan_fast.load(tmp_path / "expanded.pt")
    state["convs.0.conv.weight"] = torch.zeros(1, 4, 4, 3, 3)
    shared = torch.zeros(1 << 16)
    torch.save({"g_ema": {**state, **{f"x{i}": shared for i in range(100)}}}, tmp_path / "shared.pt")
    with pytest.raises(CheckpointError, match="overlap"):
        gan_fast.load(tmp_path / "shared.pt")
    deep = {f"to_rgbs.{i}.bias": torch.zeros(1, 3, 1, 1) for i in range(40)}
    torch.save({"g_ema": {**state, **deep}}, tmp_path / "deep.pt")
    with pytest.raises(CheckpointError, match=r"has synthesis\.b1024\.torgb\.bias"):
        gan_fast.load(tmp_path / "deep.pt")


@pytest.mark.parametrize("name", [".ptzip", ".ptlegacy", ".pklpickle", ".safetensorsours"])
def test_truncated_files_are_named(tmp_path, checkpoint, name):
    data = checkpoint[name].read_bytes()
    path = tmp_path / f"cut{checkpoint[name].suffix}"
    for length in [*range(0, len(data), 1024), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=rf"cannot (read|load) .*{path.name}: ."):
            gan_fast.load(path)


def mutated(data, random):
    """One to four bytes changed, dropped, doubled, or swapped with those of another place."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data))
        kind = random.randrange(5)
        if kind == 0:
            data[at] = random.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 2:
            del data[at : at + random.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + random.randint(1, 8)]
        else:
            other = random.randrange(len(data))
            data[at : at + 4] = data[other : other + 4]
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "count"), [(".ptzip", 3000), (".ptlegacy", 3000), (".pklpickle", 1000), (".safetensorsours", 3000)]
)
def test_mutations_raise_our_error_alone(tmp_path, checkpoint, name, count, monkeypatch):
    """10,000 in all; of those that can still be inspected the first twelve of each container are loaded."""
    monkeypatch.setattr(checkpoints, "W_SAMPLES", 8)
    chance = random.Random(name)
    data = checkpoint[name].read_bytes()
    path = tmp_path / f"mutant{checkpoint[name].suffix}"
    refused = loaded = 0
    for _ in range(count):
        path.write_bytes(mutated(data, chance))
        error = error_of(checkpoints.inspect, path)
        if not error and loaded < 12:
            loaded += 1
            error = error_of(gan_fast.load, path)
        refused += bool(error)
        assert not error or str(path) in error
    assert refused > count // 5
    assert loaded == 12


def error_of(read, path):
    try:
        read(path)
    except CheckpointError as error:
        return str(error)
    return ""


def test_numbers_of_numpy_are_read(tmp_path):
    values = {
        "array": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">f4"),
        "empty": np.zeros((0, 3)),
        "scalar": np.float64(1.5),
    }
    for protocol in (2, 3, 4):
        path = tmp_path / "numbers.pkl"
        path.write_bytes(pickle.dumps(values, protocol))
        read = dict(pickles.read(path).values)
        assert read["scalar"] == 1.5
        for name in ("array", "fortran", "big endian", "empty"):
            assert np.array_equal(read[name].values, values[name])


def test_tensors_of_every_type_and_stride_are_read(tmp_path):
    x = torch.arange(24.0).reshape(2, 3, 4)
    dtypes = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
    values = {
        "turned": x.permute(2, 0, 1),
        "part": x[1, :, 1:3],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(x),
        **{str(t): torch.ones(3).to(t) for t in dtypes},
    }
    for new in (False, True):
        torch.save(values, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        read = dict(pickles.read(tmp_path / "x.pt").values)
        for name, true in values.items():
            assert read[name].tensor().equal(true.data)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(values))
    read = dict(pickles.read(tmp_path / "x.pkl").values)
    assert all(read[name].tensor().equal(true.data) for name, true in values.items())
    assert read["parameter"].tensor().is_contiguous()


def test_archives_of_more_than_4_gb_are_read(tmp_path, checkpoint, monkeypatch):
    """Their directories are wider, which zipfile writes for small archives too if told that 4 GB are little."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    path = tmp_path / "wide.pt"
    with zipfile.ZipFile(checkpoint[".ptzip"]) as narrow, zipfile.ZipFile(path, "w") as wide:
        for member in narrow.infolist():
            wide.writestr(zipfile.ZipInfo(member.filename), narrow.read(member))
    assert b"PK\6\6" in path.read_bytes()
    mine, true = (gan_fast.load(p).generator.state_dict() for p in (path, checkpoint[".ptzip"]))
    assert all(x.equal(true[name]) for name, x in mine.items())


def test_missing_and_other_files_are_named(tmp_path):
    for name, data in (("empty", b""), ("text", b"hello"), ("old pickle", pickle.dumps([1], 0)), ("zip", b"PK\3\4")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=f"cannot read .*{name}: it"):
            gan_fast.load(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"absent: No such file"):
        gan_fast.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"Is a directory"):
        gan_fast.load(tmp_path)
