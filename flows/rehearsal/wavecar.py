"""WAVECAR: a stub that says it is one. The stand-in has no wavefunctions; what counts is that the file is there."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError
from .incar import Tags

_FIRST_LINE = "stub WAVECAR of the rehearsal stand-in of valenceflow: holds no wavefunctions"


def write_wavecar(folder: Path, shape: tuple[int, int, int]) -> None:
    """Write the stub.

    Parameters
    ----------
    folder : run folder.
    shape : numbers of bands, k-points and spins, for readers of the stub.
    """
    bands, points, spins = shape
    (folder / "WAVECAR").write_text(f"{_FIRST_LINE}\nbands {bands} k-points {points} spins {spins}\n")


def effective_istart(folder: Path, tags: Tags) -> int:
    """ISTART as VASP takes it: 1 by default where there is a WAVECAR, and 0 where there is none to start from.

    MAGMOM decides the charge states in either case.

    Raises
    ------
    InputError
        If WAVECAR is needed and is not the stand-in's.
    """
    path = folder / "WAVECAR"
    there = path.exists() and path.stat().st_size > 0
    istart = int(tags.get("ISTART", 1 if there else 0))
    if istart == 0:
        return 0
    if not there:
        print(f" WARNING: ISTART = {istart} but there is no WAVECAR; starting from scratch (ISTART = 0)")
        return 0
    if not path.read_bytes().startswith(_FIRST_LINE.encode()):
        raise InputError("ERROR: while reading WAVECAR, plane wave coefficients changed: it is none of the rehearsal's")
    print(" found WAVECAR, reading the header\n the WAVECAR file was read successfully")
    return istart
