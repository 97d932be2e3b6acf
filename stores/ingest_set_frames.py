"""Frames of an ASE-readable file one after the other, in constant memory; counts and lines are checked first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO

from ase import Atoms
from ase.io import iread
from ase.io.extxyz import read_extxyz

from .ingest_files import PACKED, open_text
from .ingest_reasons import PassOver

MOST_SITES = 100_000
"""More atoms than any frame of such a set has: a larger count is a damaged or hostile file."""

SETS = (*(name + ending for ending in ("", *PACKED) for name in (".extxyz", ".xyz")), ".traj", ".db")
"""Names that are read as data sets."""

_ASE_FORMATS = {".traj": "traj", ".db": "db"}
_LONGEST_LINE = 1 << 20


class EndsEarlyError(Exception):
    """The file is cut off or damaged from here on."""


def atoms_of(path: Path) -> Iterator[Atoms | None]:
    """Frames of a file; None for one that cannot be read.

    Raises
    ------
    PassOver
        If the file is no data set at all.
    EndsEarlyError
        Where it is cut off.
    """
    kind = _ASE_FORMATS.get(path.suffix)
    if kind is not None:
        yield from iread(path, index=":", format=kind)
        return
    with open_text(path) as handle:
        for text in _xyz_frames(handle):
            try:
                yield next(read_extxyz(io.StringIO(text), slice(None)))
            except PassOver:
                raise
            except Exception:  # whatever ASE's parser makes of it
                yield None


def _xyz_frames(handle: TextIO) -> Iterator[str]:
    """Text of each frame: count, comment, one line per atom. Counts are checked before they are believed."""
    number = 0
    while line := _line(handle):
        if not line.strip():
            continue
        count = line.strip()
        if not count.isdigit() or not 0 < int(count[:12]) <= MOST_SITES:
            if number == 0:
                raise PassOver("not extxyz", f"it begins with {line[:40]!r} where the number of atoms belongs")
            raise EndsEarlyError(f"frame {number + 1} begins with {line[:40]!r} where the number of atoms belongs")
        lines = [line, *(_line(handle) for _ in range(int(count) + 1))]
        if not lines[-1].endswith("\n"):  # a number that was cut is a number still
            raise EndsEarlyError(f"frame {number + 1} is cut off")
        number += 1
        yield "".join(lines)


def _line(handle: IO[str]) -> str:
    try:
        line = handle.readline(_LONGEST_LINE)
    except (EOFError, OSError) as err:
        raise EndsEarlyError(f"{err}") from err
    if len(line) >= _LONGEST_LINE:
        raise PassOver("not extxyz", f"a line is longer than {_LONGEST_LINE} letters")
    return line
