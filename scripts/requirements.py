"""Prints what pyproject.toml asks for, a line each: python scripts/requirements.py [EXTRA ...].

The Makefile installs it while it builds the package, whose native modules need none of it.
"""

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: dict, extras: list[str]) -> list[str]:
    """The dependencies, and those of extras, which may name further extras of the package itself."""
    found = list(project["dependencies"])
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", line)
            found += requirements(project, own[1].split(",")) if own else [line]
    return found


if __name__ == "__main__":
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    print(*requirements(tomllib.loads(pyproject.read_text())["project"], sys.argv[1:]), sep="\n")
