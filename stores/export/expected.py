"""What was meant to be written, in plain binary, for those who read a format back: no loader has touched it.

A record is the number of sites, then doubles: energy, lattice (9), stress (9, NaN without one), and per site model
number, oxidation state, position (3), force (3), moment, Bader charge (NaN without one).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .prepared import ExportFrame

_HEAD, _PER_SITE = 19, 10


@dataclass(frozen=True, slots=True)
class Expected:
    """One frame as meant; NaN stands for what it has not.

    Attributes
    ----------
    energy : eV per cell.
    lattice, stress : (3, 3) A; eV/A^3, ASE sign.
    numbers, states, magmoms, bader_charges : (n_sites,) model numbers, e, muB, e.
    positions, forces : (n_sites, 3) A, eV/A.
    """

    energy: float
    lattice: NDArray[np.float64]
    stress: NDArray[np.float64]
    numbers: NDArray[np.float64]
    states: NDArray[np.float64]
    positions: NDArray[np.float64]
    forces: NDArray[np.float64]
    magmoms: NDArray[np.float64]
    bader_charges: NDArray[np.float64]


def write_expected(out: BinaryIO, frame: ExportFrame) -> None:
    """Append a frame's record."""
    arrays, n_sites = frame.arrays, len(frame.arrays.numbers)
    head = np.empty(_HEAD)
    head[0], head[1:10] = frame.energy, arrays.lattice.reshape(-1)
    head[10:] = np.nan if frame.stress is None else frame.stress.reshape(-1)
    sites = np.empty((n_sites, _PER_SITE))
    sites[:, 0] = frame.model_numbers
    sites[:, 1] = np.nan if frame.states is None else frame.states
    sites[:, 2:5], sites[:, 5:8] = arrays.positions, arrays.forces
    sites[:, 8] = np.nan if arrays.magmoms is None else arrays.magmoms
    sites[:, 9] = np.nan if arrays.bader_charges is None else arrays.bader_charges
    out.write(np.int64(n_sites).tobytes() + head.tobytes() + sites.tobytes())


def read_expected(path: Path) -> Iterator[Expected]:
    """Records of a file, one after the other."""
    with path.open("rb") as source:
        while count := source.read(8):
            n_sites = int(np.frombuffer(count, dtype=np.int64)[0])
            head = np.frombuffer(source.read(8 * _HEAD))
            sites = np.frombuffer(source.read(8 * n_sites * _PER_SITE)).reshape(n_sites, _PER_SITE)
            yield Expected(
                energy=float(head[0]),
                lattice=head[1:10].reshape(3, 3),
                stress=head[10:].reshape(3, 3),
                numbers=sites[:, 0],
                states=sites[:, 1],
                positions=sites[:, 2:5],
                forces=sites[:, 5:8],
                magmoms=sites[:, 8],
                bader_charges=sites[:, 9],
            )


class ReadBackError(ValueError):
    """What a loader read is not what was meant."""


def compare(place: str, name: str, meant: object, read: object, tolerance: float = 0.0) -> None:
    """Refuse numbers that differ.

    Parameters
    ----------
    place, name : for the error.
    meant, read : arrays of the same shape; NaN equals NaN.
    tolerance : relative to the largest number, for formats of single precision.

    Raises
    ------
    ReadBackError
        With the largest difference.
    """
    one, other = np.asarray(meant, dtype=float), np.asarray(read, dtype=float)
    if one.shape != other.shape:
        raise ReadBackError(f"{place}: {name} was read back with shape {other.shape} instead of {one.shape}")
    if np.array_equal(one, other, equal_nan=True):
        return
    gap = np.abs(one - other)
    allowed = tolerance * max(1.0, float(np.nanmax(np.abs(one), initial=0.0)))
    if np.array_equal(np.isnan(one), np.isnan(other)) and float(np.nanmax(gap)) <= allowed:
        return
    raise ReadBackError(f"{place}: {name} was read back with a difference of up to {np.nanmax(gap):.3g}")
