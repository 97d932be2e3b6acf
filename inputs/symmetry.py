"""Space-group operations of an idealised crystal by spglib, with an explicit tolerance and a clear failure."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Element, Structure


def space_group_operations(
    structure: Structure, symbols: Sequence[str], symprec: float
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Operations that map a crystal onto itself.

    Parameters
    ----------
    structure : lattice and positions.
    symbols : (n_sites,) element of each site, as it counts for the symmetry.
    symprec : tolerance, A.

    Returns
    -------
    rotations (n, 3, 3) and translations (n, 3), in fractional coordinates.

    Raises
    ------
    ValueError
        If spglib finds no symmetry at this tolerance (overlapping atoms, say).
    """
    numbers = [Element(symbol).Z for symbol in symbols]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    found = _spglib_symmetry(cell, symprec)
    if found is None:
        raise ValueError(f"spglib finds no symmetry of {structure.formula} at {symprec} A; are two atoms on one place?")
    return np.array(found["rotations"], dtype=np.int64), np.array(found["translations"], dtype=np.float64)


def _spglib_symmetry(
    cell: tuple[list[list[float]], list[list[float]], list[int]], symprec: float
) -> dict[str, NDArray[Any]] | None:
    # spglib 2.8 tells of failure by None, or by an exception where a process-wide switch that pymatgen does not expect
    # is set, and warns of that at each call; both ways are read here.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)
        try:
            return spglib.get_symmetry(cell, symprec=symprec)
        except spglib.SpglibError:
            return None
