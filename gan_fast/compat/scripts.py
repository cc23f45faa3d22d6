"""What a process needs to run somebody's script on gan_fast: `gan-fast run`, and those that multiprocessing spawns."""

from __future__ import annotations

import functools
import json
import multiprocessing.spawn
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_fast.compat.install import install, install_for_scripts
from gan_fast.compat.repairs import REPAIRS

_VARIABLE = "GAN_FAST_RUN"


class Settings(NamedTuple):
    """The options of `gan-fast run`. install: NAME or NAME=DIALECT."""

    script: str
    install: Sequence[str] = ()
    keep: Sequence[str] = ()
    without: Sequence[str] = ()


def prepare(settings: Settings, tell: Callable[[str, str], None]) -> None:
    """Installs dialects and repairs, here and in processes spawned from here.

    tell: is called with what was done and the option that undoes it, when it is done for the first time. Raises
    ValueError for names that are not known.
    """
    if unknown := set(settings.without) - set(REPAIRS):
        raise ValueError(f"--without: got {', '.join(sorted(unknown))}, takes {', '.join(REPAIRS)}")
    install_for_scripts(settings.keep, lambda name, dialect: tell(f"{name} is gan_fast's, {dialect}", f"--keep {name}"))
    for entry in settings.install:
        name, _, dialect = entry.partition("=")
        install(name, dialect=dialect or None)
    for name, repair in REPAIRS.items():
        if name not in settings.without:
            repair(functools.cache(lambda what, name=name: tell(what, f"--without {name}")))
    _prepare_spawned(settings)


def _prepare_spawned(settings: Settings) -> None:
    """A spawned process imports the script to find its functions: it is given gan_fast.compat.spawned instead."""
    os.environ[_VARIABLE] = json.dumps(settings)
    script, unprepared = os.path.abspath(settings.script), multiprocessing.spawn.get_preparation_data

    def preparation_data(name: str) -> dict[str, Any]:
        data = unprepared(name)
        if data.get("init_main_from_path") == script:
            data["init_main_from_path"] = str(Path(__file__).with_name("spawned.py"))
        return data

    multiprocessing.spawn.get_preparation_data = preparation_data


def settings_of_parent() -> Settings:
    return Settings(*json.loads(os.environ[_VARIABLE]))
