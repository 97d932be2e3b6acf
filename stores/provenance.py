"""Where a number came from: the engine, told by the output's own version string, and the packages that made it."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .documents import Engine

_PACKAGES = (
    "valenceflow",
    "atomate2",
    "custodian",
    "emmet-core",
    "jobflow",
    "maggma",
    "pymatgen",
    "pymatgen-core",
    "chgnet",
)
_REHEARSAL = re.compile(r"rehearsal-([a-z][a-z-]*)")


def engine_of(version_string: str) -> Engine:
    """Engine that wrote an output, e.g. `6.4.0-rehearsal-springs` -> rehearsal:springs, `6.4.2` -> vasp."""
    match = _REHEARSAL.search(version_string)
    return Engine(name=f"rehearsal:{match.group(1)}" if match else "vasp", version=version_string)


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that take part; those that are not installed are left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
