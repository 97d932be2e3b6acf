"""Integer relations between lattices: settings of a supercell, and the superlattices of a host that fit a structure.

Vectors are rows throughout: `matrix @ lattice` are the new vectors. Relaxed or measured cells differ from the idealised
host by strain, so lattices are compared within `LENGTH_TOLERANCE` and `ANGLE_TOLERANCE`; whether the atoms then find
their sites is judged by `mapping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice

from ..hosts import Host
from ..supercells import HostSupercell

LENGTH_TOLERANCE, ANGLE_TOLERANCE = 0.10, 6.0
"""Relative length and degrees by which a relaxed cell may differ from the host's supercell."""

IntMatrix = NDArray[np.int_]


def lattice_text(lattice: Lattice) -> str:
    """Lengths and angles for a message."""
    lengths = " ".join(f"{length:.2f}" for length in lattice.abc)
    return f"{lengths} A, " + " ".join(f"{angle:.0f}" for angle in lattice.angles) + " deg"


def settings(lattice: Lattice, cell: HostSupercell, repeats: int = 1) -> Iterator[IntMatrix]:
    """Ways in which `repeats` cells of a lattice make the supercell, one of each class that the host's symmetry joins.

    Parameters
    ----------
    lattice : of the structure, strained and turned at will.
    cell : the host's supercell.
    repeats : cells of the structure in the supercell.

    Yields
    ------
    (3, 3) ints T with |det T| = repeats, so that `T @ lattice.matrix` is the supercell's lattice but for the strain.
    """
    symmetry = supercell_rotations(cell)
    seen: set[bytes] = set()
    for scale in _mappings(lattice, cell.structure.lattice, repeats):
        if scale.tobytes() not in seen:
            seen |= {(rotation @ scale).tobytes() for rotation in symmetry}
            yield scale


def _mappings(lattice: Lattice, other: Lattice, determinant: int) -> Iterator[IntMatrix]:
    found = lattice.find_all_mappings(other, ltol=LENGTH_TOLERANCE, atol=ANGLE_TOLERANCE, skip_rotation_matrix=True)
    for _, _, scale in found:
        if abs(round(float(np.linalg.det(scale)))) == determinant:
            yield scale.astype(int)


@lru_cache(maxsize=8)
def supercell_rotations(cell: HostSupercell) -> IntMatrix:
    """(n, 3, 3) rotations of the host that map the superlattice onto itself, acting on rows of supercell fractions."""
    inverse = np.linalg.inv(cell.matrix_array)
    turned = np.array([cell.matrix_array @ rotation.T @ inverse for rotation in _rotations(cell.host)])
    whole = np.round(turned).astype(int)
    kept: IntMatrix = whole[np.abs(turned - whole).max(axis=(1, 2)) < 1e-6]
    return kept


def _rotations(host: Host) -> IntMatrix:
    return np.unique(host.operations[0], axis=0)


def superlattices(lattice: Lattice, host: Host, n_cells: int) -> list[IntMatrix]:
    """Supercells of a host with `n_cells` cells whose lattice fits, one of each class that the host's symmetry joins.

    Returns
    -------
    (3, 3) ints in Hermite normal form: upper triangular, so that [na, nb, nc] is found where it fits.
    """
    # Short vectors keep pymatgen's search in a small sphere; a superlattice does not depend on its basis.
    short, basis = lattice.get_lll_reduced_lattice(), host.structure.lattice
    found: dict[bytes, IntMatrix] = {}
    for scale in _mappings(basis, short, n_cells):
        images = [hermite_normal_form(scale @ rotation.T) for rotation in _rotations(host)]
        best = min(images, key=lambda image: _simplicity(image))
        found.setdefault(best.tobytes(), best)
    return list(found.values())


def _simplicity(matrix: IntMatrix) -> tuple[int, list[int]]:
    """Diagonal supercells first, then small numbers."""
    return int(np.count_nonzero(matrix)), matrix.ravel().tolist()


def hermite_normal_form(matrix: IntMatrix) -> IntMatrix:
    """Upper triangular basis of the same integer row lattice: positive diagonal, entries above it reduced.

    Parameters
    ----------
    matrix : (3, 3) ints, not singular.
    """
    rows = [[int(x) for x in row] for row in matrix]
    n = len(rows)
    for column in range(n):
        for below in range(column + 1, n):
            while rows[below][column]:  # Euclid's algorithm on two rows
                quotient = rows[column][column] // rows[below][column]
                reduced = [a - quotient * b for a, b in zip(rows[column], rows[below], strict=True)]
                rows[column], rows[below] = rows[below], reduced
        if rows[column][column] < 0:
            rows[column] = [-x for x in rows[column]]
        for above in range(column):
            quotient = rows[above][column] // rows[column][column]
            rows[above] = [a - quotient * b for a, b in zip(rows[above], rows[column], strict=True)]
    return np.array(rows)


def sublattices(index: int) -> Iterator[IntMatrix]:
    """Every integer superlattice of a given index, in Hermite normal form."""
    for a in (d for d in range(1, index + 1) if index % d == 0):
        for b in (d for d in range(1, index // a + 1) if (index // a) % d == 0):
            c = index // (a * b)
            for ab, ac, bc in product(range(b), range(c), range(c)):
                yield np.array([[a, ab, ac], [0, b, bc], [0, 0, c]])
