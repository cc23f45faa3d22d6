"""Pickles and torch files, read without running anything that they name.

A pickle is a program that names functions and calls them. `read` executes that language on values of its own: a name
that is not in GLOBALS or PERSISTENT is an error, a call runs the function that the table here gives for that name, and
no attribute of anything is ever looked up or set. Tensors stay in the file, as `Stored`, until `Stored.tensor` copies
one out. Three containers are read:

    pickle           one pickle, protocol 2 to 5; storages are legacy torch files inside it, as bytes (NVlabs' .pkl)
    torch zip        archive/data.pkl and archive/data/<key>, stored without compression (torch.save since 1.6)
    torch legacy     pickles of a magic number, a version, a description of the machine, the object and the keys of its
                     storages, then for each key: int64 number of elements, elements (torch.save before 1.6)

What a file can cost is bounded by its size: lengths are checked against the bytes that are there, each operation makes
at most one object, of which there are at most MAX_OPERATIONS, and a tensor has no more elements than its storage.
"""

from __future__ import annotations

import math
import mmap
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAX_OPERATIONS = 500_000  # a StyleGAN2 snapshot with G, D and G_ema at 1024x1024 takes 61,000
MAX_TEXT = 16 << 20
MAX_DIRECTORY = 16 << 20
MAX_INTEGER_BYTES = 255
MAX_PATH = 300
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


class CheckpointError(ValueError):
    """A file that is damaged, hostile, or of a kind that gan_fast does not take; the message names it and says why.

    Names in the file may come up in it: what steers a terminal, or cannot be printed, is escaped.
    """

    def __init__(self, message: str):
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))


@dataclass(eq=False)
class Storage:
    """Elements in the file; `data` is None until a legacy file's end says where they are."""

    dtype: torch.dtype
    numel: int
    data: memoryview | None = None


@dataclass(eq=False)
class Stored:
    """A tensor that is still in the file.

    Attributes:
        storage, offset, stride: where its elements are, counted in elements.
        shape: its sizes.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        return self.storage.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def tensor(self) -> Tensor:
        """A contiguous copy, on the CPU."""
        if math.prod(self.shape) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        first, size = self.offset * self.dtype.itemsize, _extent(self.shape, self.stride) * self.dtype.itemsize
        elements = torch.frombuffer(bytearray(self.storage.data[first : first + size]), dtype=self.dtype)
        return elements.as_strided(self.shape, self.stride).contiguous()


@dataclass(eq=False)
class Persistent:
    """An object of NVlabs' torch_utils.persistence; `source`, which their loader executes, is text here."""

    class_name: str
    source: str
    state: dict[str, Any]


@dataclass(eq=False)
class Array:
    """A NumPy array of numbers; `values` is filled after it is made, as pickles do it."""

    values: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Namespace(dict):
    """The attributes of an argparse.Namespace."""


@dataclass(frozen=True)
class Contents:
    """What `read` found.

    Attributes:
        path: the file.
        container: "pickle", "torch zip" or "torch legacy".
        nbytes: the file's size.
        values: every value with its path, `g_ema.conv1.weight`: dicts, lists, tuples, sets, numbers, texts,
            memoryviews (bytes), Stored, Persistent, Array, Namespace. What is within one comes after it, and once,
            whatever else refers to it.
    """

    path: Path
    container: str
    nbytes: int
    values: list[tuple[str, Any]]


def read(path: str | Path) -> Contents:
    """Read a pickle or a torch file; nothing in it is executed, and tensors stay where they are.

    Raises:
        CheckpointError: the file is missing, damaged, too large in some respect, or names what is not on the list.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            nbytes = file.seek(0, 2)
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if nbytes else b"")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        container, root = _read(data)
        return Contents(path, container, nbytes, list(_walk(root)))
    except CheckpointError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None


def _walk(root: Any) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    waiting = [("", root)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > MAX_PATH:
            raise CheckpointError(f"a name in it has more than {MAX_PATH} characters: {path[:50]!r}...")
        yield path, value
        if isinstance(value, (dict, list, tuple, Persistent)) and id(value) not in seen:
            seen.add(id(value))
            parts = value.state if isinstance(value, Persistent) else value
            items = parts.items() if isinstance(parts, dict) else enumerate(parts)
            prefix = f"{path}." if path else ""
            waiting += [(f"{prefix}{key!s:.{MAX_PATH + 1}}", child) for key, child in items][::-1]


def _read(data: memoryview) -> tuple[str, Any]:
    budget = _Budget()
    if data[:4] == b"PK\3\4":
        return "torch zip", _read_zip(data, budget)
    if data[:1] != b"\x80":
        raise CheckpointError("it is no pickle of protocol 2 or later, no torch file and no safetensors file")
    first = _Machine(data, budget, {**GLOBALS, **PERSISTENT})
    root = first.run()
    if isinstance(root, int) and root == LEGACY_MAGIC:
        return "torch legacy", _read_legacy(data, budget)
    return "pickle", root


# ---------------------------------------------------------------- the language


@dataclass
class _Budget:
    """What one file may still cost, pickles within pickles included."""

    operations: int = MAX_OPERATIONS
    text: int = MAX_TEXT

    def operate(self, count: int = 1) -> None:
        self.operations -= count
        if self.operations < 0:
            raise CheckpointError(f"its pickle takes more than {MAX_OPERATIONS} operations")

    def spell(self, length: int) -> None:
        self.text -= length
        if self.text < 0:
            raise CheckpointError(f"its pickle holds more than {MAX_TEXT} bytes of text")


@dataclass(frozen=True)
class _Global:
    """A name in a pickle; nothing but the key of a table."""

    name: str


_NUMBERS = {pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d"}
_CONSTANTS = {pickle.NONE: None, pickle.NEWTRUE: True, pickle.NEWFALSE: False}
_EMPTY = {pickle.EMPTY_LIST: list, pickle.EMPTY_DICT: dict, pickle.EMPTY_TUPLE: tuple, pickle.EMPTY_SET: set}
_INTEGERS = {pickle.LONG1: "<B", pickle.LONG4: "<I"}
_TEXTS = {pickle.SHORT_BINUNICODE: "<B", pickle.BINUNICODE: "<I", pickle.BINUNICODE8: "<Q"}
_BYTES = {pickle.SHORT_BINBYTES: "<B", pickle.BINBYTES: "<I", pickle.BINBYTES8: "<Q", pickle.BYTEARRAY8: "<Q"}
_TUPLES = {pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}
_STORES = {pickle.BINPUT: "<B", pickle.LONG_BINPUT: "<I"}
_FETCHES = {pickle.BINGET: "<B", pickle.LONG_BINGET: "<I"}


class _Machine:
    """One pickle: `run` executes it up to its STOP and returns what it leaves on the stack."""

    def __init__(
        self,
        data: memoryview,
        budget: _Budget,
        names: Mapping[str, Callable[..., Any]],
        persistent: Callable[[Any], Any] | None = None,
        start: int = 0,
    ):
        self.data, self.budget, self.names, self.persistent, self.at = data, budget, names, persistent, start
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            self.budget.operate()
            code = bytes(self.take(1))
            if code == pickle.STOP:
                return self.pop()
            self.execute(code)

    def execute(self, code: bytes) -> None:
        push = self.stack.append
        if code in _FETCHES:
            index = self.number(_FETCHES[code])
            if index not in self.memo:
                raise CheckpointError("its pickle fetches what it has not stored")
            push(self.memo[index])
        elif code in _STORES:
            self.memo[self.number(_STORES[code])] = self.top()
        elif code == pickle.MEMOIZE:
            self.memo[len(self.memo)] = self.top()
        elif code in _TEXTS:
            push(self.text(self.number(_TEXTS[code])))
        elif code in _BYTES:
            push(self.take(self.number(_BYTES[code])))
        elif code in _NUMBERS:
            push(self.number(_NUMBERS[code]))
        elif code in _INTEGERS:
            length = self.number(_INTEGERS[code])
            if length > MAX_INTEGER_BYTES:
                raise CheckpointError(f"its pickle holds an integer of {length} bytes")
            push(int.from_bytes(self.take(length), "little", signed=True))
        elif code in _CONSTANTS:
            push(_CONSTANTS[code])
        elif code in _EMPTY:
            push(_EMPTY[code]())
        elif code in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[code])]
            push(tuple(items[::-1]))
        elif code == pickle.MARK:
            self.marked.append(self.stack)
            self.stack = []
        elif code == pickle.TUPLE:
            items = self.unmark()
            self.stack.append(tuple(items))
        elif code == pickle.FROZENSET:
            items = self.unmark()
            self.stack.append(frozenset(_keys(items)))
        elif code in (pickle.APPEND, pickle.APPENDS):
            items = [self.pop()] if code == pickle.APPEND else self.unmark()
            self.top(list).extend(items)
        elif code in (pickle.SETITEM, pickle.SETITEMS):
            items = [self.pop(), self.pop()][::-1] if code == pickle.SETITEM else self.unmark()
            if len(items) % 2:
                raise CheckpointError("its pickle has a key without a value")
            self.top(dict).update(zip(_keys(items[::2]), items[1::2], strict=True))
        elif code == pickle.ADDITEMS:
            items = self.unmark()
            self.top(set).update(_keys(items))
        elif code == pickle.GLOBAL:
            module, name = self.line(), self.line()
            push(self.lookup(f"{module}.{name}"))
        elif code == pickle.STACK_GLOBAL:
            name, module = self.pop(str), self.pop(str)
            push(self.lookup(f"{module}.{name}"))
        elif code in (pickle.REDUCE, pickle.NEWOBJ):  # for the classes on the list both are calls
            arguments, function = self.pop(tuple), self.pop(_Global)
            push(_call(self.names[function.name], function.name, (self.budget, *arguments)))
        elif code == pickle.BUILD:
            state = self.pop()
            _build(self.budget, self.top(), state)
        elif code == pickle.BINPERSID and self.persistent:
            push(self.persistent(self.pop()))
        elif code == pickle.DUP:
            push(self.top())
        elif code == pickle.POP:
            self.pop()
        elif code == pickle.POP_MARK:
            self.unmark()
        elif code == pickle.PROTO:
            protocol = self.number("<B")
            if not 2 <= protocol <= 5:
                raise CheckpointError(f"its pickle has protocol {protocol}, not 2 to 5")
        elif code == pickle.FRAME:
            self.take(8)
        else:
            raise CheckpointError(f"its pickle holds operation {code!r}, which no checkpoint needs")

    def take(self, length: int) -> memoryview:
        if length > len(self.data) - self.at:
            raise CheckpointError("it is truncated or damaged: it ends before its contents do")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, length: int) -> str:
        raw = self.take(length)
        self.budget.spell(length)
        try:
            return str(raw, "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise CheckpointError("it is damaged: a text in it is no UTF-8") from None

    def line(self) -> str:
        length = bytes(self.data[self.at : self.at + 256]).find(b"\n")
        if length < 0:
            raise CheckpointError("it is damaged: a name in its pickle has no end")
        text = self.text(length)
        self.take(1)
        return text

    def lookup(self, name: str) -> _Global:
        if name not in self.names:
            raise CheckpointError(f"it names {name[:200]!r}, which is not on the list of what checkpoints may name")
        return _Global(name)

    def pop(self, kind: type = object) -> Any:
        value = self.top(kind)
        self.stack.pop()
        return value

    def top(self, kind: type = object) -> Any:
        if not self.stack:
            raise CheckpointError("it is damaged: its pickle takes what is not there")
        if not isinstance(self.stack[-1], kind):
            raise CheckpointError(
                f"it is damaged: its pickle takes a {type(self.stack[-1]).__name__} for a {kind.__name__}"
            )
        return self.stack[-1]

    def unmark(self) -> list[Any]:
        if not self.marked:
            raise CheckpointError("it is damaged: its pickle takes what is not there")
        items, self.stack = self.stack, self.marked.pop()
        return items


def _keys(values: list[Any]) -> list[Any]:
    # Hashing a tuple, or writing it out, visits all that is in it: one whose halves are the same tuple, whose halves
    # are the same, and so on, holds 2^n things after n operations. So nothing here does either.
    for value in values:
        if not isinstance(value, (str, int, float, _Global, type(None))):
            raise CheckpointError(f"its pickle has a {type(value).__name__} as a key")
    return values


def _build(budget: _Budget, target: Any, state: Any) -> None:
    if isinstance(target, Namespace) and isinstance(state, dict):
        budget.operate(len(state))
        target.update(state)
    elif isinstance(target, Array) and isinstance(state, tuple) and len(state) == 5:
        _, shape, dtype, fortran, raw = state
        target.values = _numbers(dtype, raw, shape, "F" if fortran is True else "C")
    elif isinstance(target, _NumpyType) and isinstance(state, tuple) and len(state) > 1:
        target.order = "<" if state[1] == "|" else state[1] if isinstance(state[1], str) else "?"
    elif type(target) is not dict:  # an OrderedDict's attributes, where state dicts keep versions, are not needed
        raise CheckpointError(f"its pickle sets attributes of a {type(target).__name__}")


def _call(function: Callable[..., Any], name: str, arguments: tuple) -> Any:
    try:
        return function(*arguments)
    except CheckpointError:
        raise
    except (TypeError, ValueError, OverflowError):
        raise CheckpointError(f"it is damaged: it calls {name} with what that does not take") from None


# ---------------------------------------------------------------- what may be named


def _sequence(budget: _Budget, values: Any) -> list[Any]:
    if not isinstance(values, (list, tuple)):
        raise TypeError
    budget.operate(len(values))
    return list(values)


def _ordered_dict(budget: _Budget, pairs: Any = ()) -> dict:
    pairs = _sequence(budget, pairs)
    if not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise TypeError
    return dict(zip(_keys([key for key, _ in pairs]), [value for _, value in pairs], strict=True))


def _set(budget: _Budget, values: Any = ()) -> set:
    return set(_keys(_sequence(budget, values)))


def _rebuild_tensor(budget: _Budget, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Stored:
    if not isinstance(storage, Storage) or not _are_sizes((offset,), shape, stride) or len(shape) != len(stride):
        raise TypeError
    if math.prod(shape) > storage.numel:
        raise CheckpointError(f"it declares a tensor of shape {list(shape)} over a storage of {storage.numel} elements")
    if math.prod(shape) and offset + _extent(shape, stride) > storage.numel:
        raise CheckpointError(f"it is damaged: a tensor of shape {list(shape)} reaches beyond its storage")
    return Stored(storage, offset, shape, stride)


def _are_sizes(*values: Any) -> bool:
    """Whether all are tuples of at most 16 whole numbers up to 2^40, so that products are quickly made."""
    return all(isinstance(v, tuple) and len(v) <= 16 for v in values) and all(
        type(n) is int and 0 <= n <= 2**40 for v in values for n in v
    )


def _extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    return 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))


def _rebuild_parameter(budget: _Budget, data: Any, requires_grad: Any, hooks: Any, state: Any = None) -> Stored:
    if not isinstance(data, Stored):
        raise TypeError
    return data


def _load_from_bytes(budget: _Budget, raw: Any) -> Storage:
    storage = _read_legacy(raw, budget) if isinstance(raw, memoryview) else None
    if not isinstance(storage, Storage):
        raise TypeError
    return storage


def _persistent(budget: _Budget, meta: Any) -> Persistent:
    if not isinstance(meta, dict):
        raise TypeError
    name, source, state = (meta.get(key) for key in ("class_name", "module_src", "state"))
    if not isinstance(name, str) or not isinstance(source, str) or not isinstance(state, dict):
        raise TypeError
    return Persistent(name, source, state)


def _encode(budget: _Budget, text: Any, encoding: Any) -> memoryview:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    budget.spell(len(text))
    return memoryview(text.encode("latin1"))


_NUMPY_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


@dataclass(eq=False)
class _NumpyType:
    code: str
    order: str = "<"


def _numpy_type(budget: _Budget, code: Any, *rest: Any) -> _NumpyType:
    if not isinstance(code, str) or code not in (
        "b1",
        "i1",
        "i2",
        "i4",
        "i8",
        "u1",
        "u2",
        "u4",
        "u8",
        "f2",
        "f4",
        "f8",
    ):
        raise CheckpointError("it holds a NumPy array that is not of numbers")
    return _NumpyType(code)


def _numbers(dtype: Any, raw: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(dtype, _NumpyType) or not isinstance(raw, memoryview) or not _are_sizes(shape):
        raise CheckpointError("it is damaged: a NumPy array in it is none")
    kind = np.dtype(dtype.code)
    if dtype.order not in ("<", "=", ">") or math.prod(shape) * kind.itemsize != len(raw):
        raise CheckpointError(f"it is damaged: a NumPy array of shape {list(shape)} has {len(raw)} bytes")
    return np.frombuffer(raw, kind.newbyteorder(dtype.order)).reshape(shape, order=order)


def _numpy_array(budget: _Budget, kind: Any, *rest: Any) -> Array:
    return Array()


def _numpy_scalar(budget: _Budget, dtype: Any, raw: Any) -> Any:
    return _numbers(dtype, raw, (), "C").item()


def _only_a_name(budget: _Budget, *arguments: Any) -> Any:
    raise CheckpointError("it calls what can only be named")


_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
_STORAGES = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_STORAGES["torch.storage.UntypedStorage"] = torch.uint8

# The whole list. Each function gets the file's budget before the arguments in the pickle.
GLOBALS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "__builtin__.bytes": lambda budget: memoryview(b""),  # protocol 2 has no other way to write no bytes
    "argparse.Namespace": lambda budget: Namespace(),
    "dnnlib.util.EasyDict": lambda budget: {},
    "_codecs.encode": _encode,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": lambda budget, sizes: tuple(_sequence(budget, sizes)),
    "torch.device": lambda budget, kind, index=0: kind,
    **{str(dtype): _only_a_name for dtype in _DTYPES.values()},
    **{name: _only_a_name for name in _STORAGES},
    "numpy.ndarray": _only_a_name,
    "numpy.dtype": _numpy_type,
    **{f"numpy.{core}.multiarray._reconstruct": _numpy_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _numpy_scalar for core in ("core", "_core")},
}
# Further names, in pickles that are no torch files: their storages are torch files themselves.
PERSISTENT: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch.storage._load_from_bytes": _load_from_bytes,
}


# ---------------------------------------------------------------- containers


def _storage(reference: Any, storages: dict[str, Storage]) -> Storage:
    """What a persistent id ("storage", type, key, location, numel, ...) refers to."""
    if not isinstance(reference, tuple) or len(reference) not in (5, 6):
        raise CheckpointError("it is damaged: a storage in it is none")
    word, kind, key, _, numel = reference[:5]
    dtype = _STORAGES.get(kind.name) if isinstance(kind, _Global) else None
    if word != "storage" or dtype is None or not isinstance(key, str) or type(numel) is not int or numel < 0:
        raise CheckpointError("it is damaged: a storage in it is none")
    if len(reference) == 6 and reference[5] is not None:
        raise CheckpointError("its storages are views of other storages, as torch.save wrote them before 2018")
    storage = storages.setdefault(key, Storage(dtype, numel))
    if (storage.dtype, storage.numel) != (dtype, numel):
        raise CheckpointError(f"it is damaged: storage {key[:50]!r} is described in two ways")
    return storage


def _read_legacy(data: memoryview, budget: _Budget) -> Any:
    at = 0

    def following(find: Callable[[Any], Any] | None = None) -> Any:
        nonlocal at
        machine = _Machine(data, budget, GLOBALS if find else {}, find, at)
        value = machine.run()
        at = machine.at
        return value

    if following() != LEGACY_MAGIC or following() != LEGACY_PROTOCOL:
        raise CheckpointError("it is damaged: a torch file in it is none")
    system = following()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError("it was written on a big-endian machine")
    storages: dict[str, Storage] = {}
    root = following(lambda reference: _storage(reference, storages))
    keys = following()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or {*keys} != storages.keys():
        raise CheckpointError("it is damaged: its list of storages is not what it refers to")
    for key in keys:
        storage = storages[key]
        numel, size = data[at : at + 8], storage.numel * storage.dtype.itemsize
        storage.data = data[at + 8 : at + 8 + size]
        at += 8 + size
        if len(storage.data) < size or int.from_bytes(numel, "little") != storage.numel:
            raise CheckpointError("it is truncated or damaged: it ends before its contents do")
    return root


def _read_zip(data: memoryview, budget: _Budget) -> Any:
    members = _zip_members(data)
    names = [name for name in members if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise CheckpointError("it is a zip archive without one data.pkl, so torch.save did not write it")
    folder = names[0].removesuffix("data.pkl")
    if members.get(f"{folder}byteorder", b"little") != b"little":
        raise CheckpointError("it was written on a big-endian machine")
    storages: dict[str, Storage] = {}

    def find(reference: Any) -> Storage:
        storage = _storage(reference, storages)
        storage.data = members.get(f"{folder}data/{reference[2]}")
        if storage.data is None or len(storage.data) < storage.numel * storage.dtype.itemsize:
            raise CheckpointError(f"it is truncated or damaged: storage {reference[2][:50]!r} is not all there")
        return storage

    return _Machine(members[names[0]], budget, GLOBALS, find).run()


def _zip_members(data: memoryview) -> dict[str, memoryview]:
    """The members of a zip archive by name, each where it lies in the file; compressed ones are refused.

    Zip64 records replace the fields that are too small for a file of more than 4 GB.
    """
    try:
        size, start = struct.unpack("<12x2I2x", data[-22:])
        if data[-22:-18] != b"PK\5\6":
            raise CheckpointError("it is truncated or damaged: it does not end as a zip archive does")
        if data[-42:-38] == b"PK\6\7":
            (record,) = struct.unpack("<8xQ4x", data[-42:-22])
            size, start = struct.unpack("<40x2Q", data[record : record + 56])
        if size > MAX_DIRECTORY or start + size > len(data):
            raise CheckpointError(f"its directory of members has {size} bytes")
        members: dict[str, memoryview] = {}
        at = total = 0
        directory = data[start : start + size]
        while at < size:
            entry = struct.unpack("<4s6xH8x2I3H8xI", directory[at : at + 46])
            signature, method, packed, unpacked, name_size, extra_size, comment_size, header = entry
            if signature != b"PK\1\2" or method != 0 or packed != unpacked:
                raise CheckpointError("it has a damaged or compressed member; torch.save compresses nothing")
            name = str(directory[at + 46 : at + 46 + name_size], "utf-8")
            extra = directory[at + 46 + name_size :][:extra_size]
            while len(extra) >= 4:
                kind, length = struct.unpack("<2H", extra[:4])
                if kind == 1:
                    wide = struct.unpack(f"<{length // 8}Q", extra[4 : 4 + length // 8 * 8])
                    values = iter(wide)
                    unpacked, packed, header = (
                        next(values) if field == 0xFFFFFFFF else field for field in (unpacked, packed, header)
                    )
                extra = extra[4 + length :]
            header_name, header_extra = struct.unpack("<26x2H", data[header : header + 30])
            first = header + 30 + header_name + header_extra
            total += packed
            if packed != unpacked or first + packed > len(data) or total > len(data) or name in members:
                raise CheckpointError("it is truncated or damaged: its members do not fit into it")
            members[name] = data[first : first + packed]
            at += 46 + name_size + extra_size + comment_size
    except (struct.error, UnicodeDecodeError, StopIteration, RuntimeError):
        raise CheckpointError("it is truncated or damaged: its directory of members is no such thing") from None
    return members
