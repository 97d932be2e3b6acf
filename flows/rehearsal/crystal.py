"""The periodic structure that the stand-in's parts hand to each other, and its POSCAR form.

A small type of its own, so that the `springs` engine starts without pymatgen or ASE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Crystal:
    """A periodic structure in POSCAR order.

    Parameters
    ----------
    lattice : (3, 3) rows are the lattice vectors, angstrom.
    positions : (n_sites, 3) fractional coordinates.
    symbols : element symbol of every site.
    comment : the first line of the POSCAR.
    """

    lattice: NDArray[np.float64]
    positions: NDArray[np.float64]
    symbols: tuple[str, ...]
    comment: str = ""

    @property
    def volume(self) -> float:
        """Volume of the cell, cubic angstrom."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """(3, 3) rows are the reciprocal vectors without 2 pi, 1/angstrom."""
        return np.asarray(np.linalg.inv(self.lattice).T, dtype=np.float64)

    @property
    def cartesian(self) -> NDArray[np.float64]:
        """(n_sites, 3) Cartesian positions, angstrom."""
        return self.positions @ self.lattice

    @property
    def blocks(self) -> list[tuple[str, int]]:
        """Species blocks of the POSCAR: (element, number of sites) in order, repeats kept."""
        return [(symbol, len(list(sites))) for symbol, sites in groupby(self.symbols)]

    def moved(self, lattice: NDArray[np.float64], cartesian: NDArray[np.float64]) -> Crystal:
        """Return the same sites in another cell at other Cartesian positions."""
        return replace(self, lattice=lattice, positions=cartesian @ np.linalg.inv(lattice))


def read_poscar(text: str, fallback_symbols: tuple[str, ...] = ()) -> tuple[Crystal, list[tuple[str, int]]]:
    """Read a POSCAR as VASP does, and return the species blocks as they are written in it.

    Parameters
    ----------
    text : the file.
    fallback_symbols : elements of the POTCAR, for a POSCAR of the VASP 4 form without symbols.

    Raises
    ------
    InputError
        If the file is cut short, a number cannot be read, or it asks for selective dynamics.
    """
    lines = text.splitlines()
    try:
        unscaled = np.array([_floats(line) for line in lines[2:5]])
        scale = _scale(float(lines[1].split()[0]), unscaled)
        blocks, start = _blocks(lines, fallback_symbols)
        n_sites = sum(count for _, count in blocks)
        rows = [_floats(line) for line in lines[start + 1 : start + 1 + n_sites]]
    except (IndexError, ValueError) as err:
        raise InputError(f"ERROR: there must be an error in the POSCAR file: {err}") from err
    if len(rows) < n_sites:
        raise InputError(f"ERROR: POSCAR names {n_sites} sites but holds {len(rows)} positions")
    lattice, positions = scale * unscaled, np.array(rows)
    if lines[start].strip()[:1] in "CcKk":
        positions = positions @ np.linalg.inv(unscaled)  # scaled like the lattice
    symbols = tuple(symbol for symbol, count in blocks for _ in range(count))
    return Crystal(lattice, positions, symbols, lines[0].strip()), blocks


def _floats(line: str) -> list[float]:
    x, y, z = (float(word) for word in line.split()[:3])
    return [x, y, z]


def _scale(given: float, rows: NDArray[np.float64]) -> float:
    volume = abs(np.linalg.det(rows))
    if volume < 1e-6 or given == 0:
        raise ValueError("the lattice vectors span no volume")
    # A negative scale is the volume of the cell.
    return given if given > 0 else float((-given / volume) ** (1 / 3))


def _blocks(lines: list[str], fallback_symbols: tuple[str, ...]) -> tuple[list[tuple[str, int]], int]:
    at = 5
    symbols = fallback_symbols
    if not lines[at].split()[0].isdigit():
        symbols = tuple(lines[at].split())
        at += 1
    counts = [int(word) for word in lines[at].split()]
    if len(symbols) != len(counts):
        raise ValueError(f"{len(symbols)} species but {len(counts)} numbers of sites")
    if lines[at + 1].strip()[:1] in "Ss":
        raise ValueError("selective dynamics is not rehearsed; remove the line and the T/F flags")
    return list(zip(symbols, counts, strict=True)), at + 1


def format_poscar(crystal: Crystal, blocks: list[tuple[str, int]]) -> str:
    """Write a CONTCAR with VASP's 16 decimals (no velocities)."""
    lines = [f"{crystal.comment:<40}", "   1.00000000000000     "]
    lines += [" " + "".join(f"{x:22.16f}" for x in row) for row in crystal.lattice]
    lines.append("   " + "".join(f"{symbol:<5}" for symbol, _ in blocks))
    lines.append("".join(f"{count:6d}" for _, count in blocks))
    lines.append("Direct")
    lines += ["".join(f"{x:20.16f}" for x in row) for row in crystal.positions]
    return "\n".join(lines) + "\n"
