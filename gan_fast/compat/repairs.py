"""What older GAN code trips over on current PyTorch and Python, mended while `gan-fast run` runs it.

A repair changes the process for good, and calls `tell` whenever it had something to mend.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

Tell = Callable[[str], None]


def adam_betas(tell: Tell) -> None:
    """Adam(betas=[0, 0.99]): an integer among floats has become an error."""

    def mended(initialise: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(initialise)
        def init(self: Any, params: Any, lr: Any = 1e-3, betas: Any = (0.9, 0.999), *args: Any, **kwargs: Any) -> None:
            if any(type(beta) is int for beta in betas):
                tell("integer betas of Adam are taken as floats")
                betas = tuple(float(beta) if type(beta) is int else beta for beta in betas)
            initialise(self, params, lr, betas, *args, **kwargs)

        return init

    for optimizer in (torch.optim.Adam, torch.optim.AdamW):
        optimizer.__init__ = mended(optimizer.__init__)


def sampler(tell: Tell) -> None:
    """Sampler.__init__(data_source): an argument that torch.utils.data.Sampler no longer takes."""
    if "__init__" in vars(torch.utils.data.Sampler):
        return

    def init(self: Any, data_source: Any = None) -> None:
        if data_source is not None:
            tell("the argument of torch.utils.data.Sampler is dropped")

    torch.utils.data.Sampler.__init__ = init


def pkg_resources(tell: Tell) -> None:
    """import pkg_resources: no longer in setuptools; parse_version and get_distribution are what such code wants."""
    if importlib.util.find_spec("pkg_resources") is not None:
        return
    from importlib.metadata import PackageNotFoundError, distribution

    from torch.torch_version import Version

    class Module(ModuleType):
        def __getattr__(self, name: str) -> Any:
            found = {
                "parse_version": Version,
                "get_distribution": distribution,
                "DistributionNotFound": PackageNotFoundError,
            }.get(name)
            if found is None:
                raise AttributeError(name)
            tell("pkg_resources is not installed: parse_version and get_distribution stand in for it")
            return found

    module = sys.modules["pkg_resources"] = Module("pkg_resources")
    module.__spec__ = ModuleSpec("pkg_resources", None)  # which others look for


REPAIRS = {"adam-betas": adam_betas, "sampler": sampler, "pkg-resources": pkg_resources}
