"""Offers dialects under the names that code imports them by, instead of what is found there, until it is undone.

Nothing is imported before it is asked for: two finders on `sys.meta_path` answer, one before all others for the modules
of a dialect, one after all others for parents that do not exist. A package that is replaced keeps its folder, so that
modules beside ours are still found there; its own `__init__` does not run, unless it defines more than the dialect has:
then the modules under it are replaced, and not the package.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_OPS = ("bias_act", "conv2d_gradfix", "conv2d_resample", "filtered_lrelu", "fma", "grid_sample_gradfix", "upfirdn2d")
_NVLABS = {"": "nvlabs", **{op: f"nvlabs.{op}" for op in _OPS}}
_SUPPORT = ("custom_ops", "misc", "persistence", "training_stats")

# dialect: its modules, relative to the name that it is installed under, and which of gan_fast.compat they are. Packages
# ("" and what has modules under it) are made anew and show what __all__ lists there; None: only the modules under them.
DIALECTS: dict[str, dict[str, str | None]] = {
    "nvlabs": _NVLABS,
    "torch_utils": {
        "": None,
        **{name: f"nvlabs.{name}" for name in _SUPPORT},
        **{f"ops.{op}".rstrip("."): module for op, module in _NVLABS.items()},
    },
    "dnnlib": {"": "nvlabs.dnnlib", "util": "nvlabs.dnnlib"},
    "rosinality": {
        "": "rosinality",
        "fused_act": "rosinality",
        "upfirdn2d": "rosinality",
        "conv2d_gradfix": "conv2d_gradfix",
    },
    **{name: {"": name, "fused_act": name, "upfirdn2d": name} for name in ("rosinality_old", "basicsr", "gpen", "lia")},
    "mmcv1": {"": "mmcv1", "fused_bias_leakyrelu": "mmcv1", "upfirdn2d": "mmcv1"},
    "mmcv2": {
        "": "mmcv2",
        "bias_act": "mmcv2",
        "conv2d_gradfix": "conv2d_gradfix",
        "filtered_lrelu": "mmcv2",
        "fused_bias_leakyrelu": "mmcv1",
        "upfirdn2d": "mmcv2",
    },
    "mmgen": {
        "": "conv2d_gradfix",
        "bias_act": "nvlabs.bias_act",
        "conv2d_gradfix": "conv2d_gradfix",
        "filtered_lrelu": "nvlabs.filtered_lrelu",
    },
}

# what is meant by these names where no original is at hand that says it itself
NAMES = {
    "torch_utils": "torch_utils",
    "torch_utils.ops": "nvlabs",
    "dnnlib": "dnnlib",
    "utils.style_ops": "nvlabs",
    "third_party.stylegan2_official_ops": "nvlabs",
    "op": "rosinality",
    "model.stylegan.op": "rosinality",
    "models.stylegan2.op": "rosinality_old",
    "models.networks.stylegan2_op": "rosinality_old",
    "stylegan2.op": "rosinality_old",
    "score_sde.op": "rosinality_old",
    "face_model.op": "gpen",
    "basicsr.ops": "basicsr",
    "mmcv.ops": "mmcv2",
    "mmgen.ops": "mmgen",
}

# the part of these projects that is meant
_PARTS = {"basicsr": "basicsr.ops", "mmcv": "mmcv.ops", "mmgen": "mmgen.ops"}

# of NAMES, what a script gets that has no such package; parents of the others have names that any script may look for
MADE_UP = ("torch_utils", "dnnlib", "op", "basicsr.ops", "mmcv.ops", "mmgen.ops")


class _Faces(MetaPathFinder, Loader):
    """Finds and makes the modules of one dialect under one name, for which `folders` hold the original."""

    def __init__(
        self, name: str, dialect: str, folders: Sequence[str] = (), tell: Callable[[str, str], None] | None = None
    ):
        self.name, self.dialect, self.tell = name, dialect, tell
        self.modules = {f"{name}.{part}".rstrip("."): module for part, module in DIALECTS[dialect].items()}
        if (defined := _defined(folders)) and not defined <= self._names(name):
            del self.modules[name]

    def _below(self, package: str) -> list[str]:
        return [name for name in self.modules if name.rpartition(".")[0] == package]

    def _names(self, package: str) -> set[str]:
        source = self.modules[package]
        public = [] if source is None else importlib.import_module(f"gan_fast.compat.{source}").__all__
        return {*public, *(name.rpartition(".")[2] for name in self._below(package))}

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self.modules:
            return None
        is_package = fullname == self.name or bool(self._below(fullname))
        spec = ModuleSpec(fullname, self, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = _folders(fullname, path)
        return spec

    def exec_module(self, module: ModuleType) -> None:
        name, source = module.__name__, self.modules[module.__name__]
        if self.tell is not None:
            self.tell(self.name, self.dialect)
            self.tell = None
        face = None if source is None else importlib.import_module(f"gan_fast.compat.{source}")
        if not hasattr(module, "__path__"):
            sys.modules[name] = face  # the import system takes what it finds there
            return
        for below in self._below(name):
            importlib.import_module(below)
        for public in () if face is None else face.__all__:
            setattr(module, public, getattr(face, public))


class _Parents(MetaPathFinder, Loader):
    """Makes the packages above a name that nobody else finds; they are empty."""

    def __init__(self, name: str):
        self.names = {name[:i] for i, letter in enumerate(name) if letter == "."}
        self.made: list[str] = []

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in self.names else None

    def exec_module(self, module: ModuleType) -> None:
        self.made.append(module.__name__)


class _Recognise(MetaPathFinder):
    """Replaces a package when it is imported, if its name says "op" and its files are those of a dialect."""

    def __init__(self, keep: Sequence[str], tell: Callable[[str, str], None]):
        self.keep, self.tell = keep, tell

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        top, _, _ = fullname.partition(".")
        if "op" not in fullname.rpartition(".")[2] or fullname in self.keep or top == "gan_fast":
            return None
        folders = _folders(fullname, path)
        dialect = _dialect_of(folders)
        if dialect is None:
            return None
        faces = _Faces(fullname, dialect, folders, self.tell)
        sys.meta_path.insert(0, faces)
        return faces.find_spec(fullname, path)


def _folders(fullname: str, path: object) -> list[str]:
    """Where a package would be found if there were no faces."""
    for finder in sys.meta_path:
        if not isinstance(finder, (_Faces, _Parents, _Recognise)) and (spec := finder.find_spec(fullname, path)):
            return list(spec.submodule_search_locations or ())
    return []


def _folders_of(name: str) -> list[str]:
    """As `_folders`, of a package whose parents need not be imported."""
    top, *parts = name.split(".")
    return [folder for parent in _folders(top, None) if Path(folder := str(Path(parent, *parts))).is_dir()]


def _parsed(files: Iterable[Path]) -> Iterator[ast.Module]:
    for file in files:
        with contextlib.suppress(SyntaxError, UnicodeDecodeError, FileNotFoundError):
            yield ast.parse(file.read_text(encoding="utf-8"))


def _defined(folders: Sequence[str]) -> set[str]:
    """The public names that a package's own __init__ defines."""
    names: set[str] = set()
    for tree in _parsed(Path(folder, "__init__.py") for folder in folders):
        for statement in tree.body:
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                names.add(statement.name)
                continue
            for node in ast.walk(statement):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.add(node.id)
    return {name for name in names if not name.startswith("_")}


def _signatures(tree: ast.Module) -> dict[str, list[str]]:
    """The parameters of the public functions of a file, and of its classes' __init__."""
    found = {}
    for node in tree.body:
        inits = [f for f in node.body if getattr(f, "name", "") == "__init__"] if isinstance(node, ast.ClassDef) else []
        for function in [node] if isinstance(node, ast.FunctionDef) else inits:
            found[node.name] = [a.arg for a in function.args.args if a.arg != "self"]
    return {name: parameters for name, parameters in found.items() if not name.startswith("_")}


def _dialect_of(folders: Sequence[str]) -> str | None:
    """The first dialect whose files are there, with parameters that its own begin with."""
    for dialect, modules in DIALECTS.items():
        agreed = []
        for part, source in modules.items():
            for tree in _parsed(Path(folder, f"{part}.py") for folder in folders if part):
                face = importlib.import_module(f"gan_fast.compat.{source}")
                for name, parameters in _signatures(tree).items():
                    if callable(ours := getattr(face, name, None)):
                        agreed.append([*inspect.signature(ours).parameters][: len(parameters)] == parameters)
        if agreed and all(agreed):
            return dialect
    return None


@contextlib.contextmanager
def _set_aside(name: str) -> Iterator[None]:
    """Forgets a module and all under it, and afterwards forgets what was imported there since, and restores."""

    def take() -> dict[str, ModuleType]:
        return {n: sys.modules.pop(n) for n in [*sys.modules] if n == name or n.startswith(f"{name}.")}

    parent, _, child = name.rpartition(".")
    attributes = vars(sys.modules[parent]) if parent in sys.modules else {}
    attribute = {child: attributes[child]} if child in attributes else {}
    before = take()
    try:
        yield
    finally:
        take()
        sys.modules.update(before)
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)
            vars(sys.modules[parent]).update(attribute)


@contextlib.contextmanager
def _finders(first: list[MetaPathFinder], last: list[MetaPathFinder]) -> Iterator[None]:
    sys.meta_path[:] = [*first, *sys.meta_path, *last]
    try:
        yield
    finally:
        sys.meta_path[:] = [f for f in sys.meta_path if f not in first and f not in last]


@contextlib.contextmanager
def _missing_parents(name: str) -> Iterator[None]:
    parents = _Parents(name)
    try:
        with _finders([], [parents]):
            yield
    finally:
        for parent in parents.made:
            sys.modules.pop(parent, None)


_active: list[contextlib.ExitStack] = []


def install(*names: str, dialect: str | None = None) -> contextlib.ExitStack:
    """Makes `import name` give a dialect of gan_fast.compat, for each name, until `uninstall()` or the end of a `with`.

        install("torch_utils.ops", "op")
        with install("my.vendored.op", dialect="rosinality_old"): ...

    names: dotted names of packages: those of NAMES, of which basicsr, mmcv and mmgen may be said without ".ops"; those
    where an original is found whose parameters tell its dialect; with `dialect` any at all. dialect: a key of DIALECTS;
    by default that of the original found there, or else that of NAMES: packages called "op" come in two dialects that
    differ in the second parameter of FusedLeakyReLU.

    An original is shadowed, also if it has been imported already, and is back afterwards; names that other modules have
    imported from it stay as they are. Parents that do not exist are made up; those that do are imported as ever.

    Returns what undoes it. Raises ValueError for a name or dialect that is not known, with those that are.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise ValueError(f"dialect: got {dialect!r}, takes {', '.join(DIALECTS)}")
    chosen = {}
    for name in (_PARTS.get(name, name) for name in names):
        chosen[name] = dialect or _dialect_of(_folders_of(name)) or NAMES.get(name)
        if chosen[name] is None:
            raise ValueError(
                f"name: got {name!r}, takes {', '.join(NAMES)}, or any name with a dialect: {', '.join(DIALECTS)}"
            )
    with contextlib.ExitStack() as stack:
        for name, its in chosen.items():
            faces = _Faces(name, its, _folders_of(name))
            stack.enter_context(_missing_parents(name))
            stack.enter_context(_set_aside(name))
            stack.enter_context(_finders([faces], []))
        _active.append(stack.pop_all())
    return _active[-1]


def install_for_scripts(keep: Sequence[str], tell: Callable[[str, str], None]) -> None:
    """For a process that runs somebody's script: recognises packages where they are imported, and makes up MADE_UP.

    keep: names of packages to leave alone. tell: is called with the name and the dialect of every package replaced.
    """
    sys.meta_path.insert(0, _Recognise(keep, tell))
    for name in MADE_UP:
        if name not in keep:
            sys.meta_path += [_Faces(name, NAMES[name], (), tell), _Parents(name)]


def uninstall() -> None:
    """Undoes every `install` that is still in force, the last first."""
    while _active:
        _active.pop().close()
