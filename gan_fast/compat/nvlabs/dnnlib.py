"""The part of `dnnlib` and `dnnlib.util` that training and inference scripts use. Nothing is downloaded."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse

__all__ = [
    "EasyDict",
    "Logger",
    "call_func_by_name",
    "construct_class_by_name",
    "format_time",
    "get_obj_by_name",
    "is_url",
    "make_cache_dir_path",
    "open_url",
]


class EasyDict(dict):
    """A dict whose items are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


class Logger:
    """Copies what is printed to a file, until `close`."""

    def __init__(self, file_name: str | None = None, file_mode: str = "w", should_flush: bool = True):
        self.file = None if file_name is None else open(file_name, file_mode)  # noqa: SIM115
        self.should_flush = should_flush
        self.stdout, self.stderr = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, text: str | bytes) -> None:
        text = text.decode() if isinstance(text, bytes) else text
        for file in (self.stdout, self.file):
            if file is not None:
                file.write(text)
        if self.should_flush:
            self.flush()

    def flush(self) -> None:
        for file in (self.stdout, self.file):
            if file is not None:
                file.flush()

    def close(self) -> None:
        self.flush()
        if sys.stdout is self:
            sys.stdout = self.stdout
        if sys.stderr is self:
            sys.stderr = self.stderr
        if self.file is not None:
            self.file.close()
            self.file = None


def format_time(seconds: float) -> str:
    """12s, 3m 04s, 1h 02m 03s, 2d 03h 04m."""
    s = round(seconds)
    if s < 60:
        return f"{s}s"
    if s < 60 * 60:
        return f"{s // 60}m {s % 60:02}s"
    if s < 24 * 60 * 60:
        return f"{s // 3600}h {s // 60 % 60:02}m {s % 60:02}s"
    return f"{s // 86400}d {s // 3600 % 24:02}h {s // 60 % 60:02}m"


def get_obj_by_name(name: str) -> Any:
    """The object of a dotted name: the longest module in it that can be imported, then attributes."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        module_name = ".".join(parts[:n])
        try:
            found = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            continue
        for attribute in parts[n:]:
            found = getattr(found, attribute)
        return found
    raise ImportError(f"no module in {name!r} can be imported")


def call_func_by_name(*args: Any, func_name: str, **kwargs: Any) -> Any:
    """Calls the function of a dotted name."""
    return get_obj_by_name(func_name)(*args, **kwargs)


def construct_class_by_name(*args: Any, class_name: str, **kwargs: Any) -> Any:
    """An instance of the class of a dotted name."""
    return get_obj_by_name(class_name)(*args, **kwargs)


def is_url(obj: Any, allow_file_urls: bool = False) -> bool:
    """Whether obj is a URL's text."""
    if not isinstance(obj, str):
        return False
    url = urlparse(obj)
    if url.scheme == "file":
        return allow_file_urls
    return url.scheme in ("http", "https") and "." in url.netloc


def make_cache_dir_path(*paths: str) -> str:
    """A path below $DNNLIB_CACHE_DIR, or else ~/.cache/dnnlib; nothing is made."""
    return str(Path(os.environ.get("DNNLIB_CACHE_DIR") or Path.home() / ".cache" / "dnnlib", *paths))


def open_url(url: str, cache_dir: str | None = None, num_attempts: int = 10, verbose: bool = True) -> IO[bytes]:
    """Opens a file by its path or file:// URL."""
    if is_url(url):
        raise OSError(f"{url}: gan_fast downloads nothing; fetch the file and give its path")
    return open(urlparse(url).path if is_url(url, allow_file_urls=True) else url, "rb")
