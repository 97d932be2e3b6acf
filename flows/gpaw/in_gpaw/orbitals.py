"""Into which d orbitals an ion's odd electrons go: those that its neighbours leave lowest (angular overlap model).

A d electron that is spread over five orbitals belongs to no site: it hops. In one orbital it is held there by U. Which
one, the crystal field of the surrounding anions says; the second or third lowest are other starts. Schaeffer and
Jorgensen, Mol. Phys. 9, 401 (1965).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PI_OVER_SIGMA = 0.25
"""Strength of pi bonds over that of sigma bonds, as of oxide ions; its value only has to be below one."""
DECAY = 5
"""A ligand's strength falls with this power of its distance."""
REACH = 1.4
"""Ligands count up to this many times the distance of the nearest one."""


def d_basis() -> Floats:
    """The five real d orbitals as traceless symmetric tensors of unit norm, (5, 3, 3), in GPAW's order.

    xy, yz, 3z2-r2, xz, x2-y2.
    """
    x, y, z = np.eye(3)
    off = [(np.outer(a, b) + np.outer(b, a)) / np.sqrt(2) for a, b in ((x, y), (y, z), (x, z))]
    axial = (2 * np.outer(z, z) - np.outer(x, x) - np.outer(y, y)) / np.sqrt(6)
    planar = (np.outer(x, x) - np.outer(y, y)) / np.sqrt(2)
    return np.array([off[0], off[1], axial, off[2], planar])


def crystal_field(ligands: Sequence[Sequence[float]] | Floats) -> Floats:
    """Energies of d orbitals among ligands, (5, 5) matrix in units of the nearest ligand's sigma bond.

    Parameters
    ----------
    ligands : (n, 3) vectors from the ion to its ligands, A.
    """
    vectors, basis = np.asarray(ligands, dtype=float), d_basis()
    lengths = np.linalg.norm(vectors, axis=1)
    field = np.zeros((5, 5))
    for vector, length in zip(vectors, lengths, strict=True):
        n = vector / length
        across = np.linalg.svd(n[None, :])[2][1:]
        sigma = np.sqrt(1.5) * (np.outer(n, n) - np.eye(3) / 3)
        pi = [(np.outer(n, e) + np.outer(e, n)) / np.sqrt(2) for e in across]
        strength = (lengths.min() / length) ** DECAY
        for share, tensor in ((1.0, sigma), (PI_OVER_SIGMA, pi[0]), (PI_OVER_SIGMA, pi[1])):
            overlap = np.einsum("kij,ij->k", basis, tensor)
            field += strength * share * np.outer(overlap, overlap)
    return field


def orbitals_by_energy(ligands: Sequence[Sequence[float]] | Floats) -> Floats:
    """Columns are d orbitals, lowest first, in GPAW's basis; (5, 5)."""
    return np.linalg.eigh(crystal_field(ligands))[1]


def ligand_vectors(site: int, positions: Floats, cell: Floats, charges: Sequence[float]) -> Floats:
    """Vectors from a cation to the anions around it, periodic images included, (n, 3), A.

    Raises
    ------
    ValueError
        If there is no anion.
    """
    anions = [i for i, charge in enumerate(charges) if charge < 0]
    if not anions:
        raise ValueError("no site carries a negative charge: there is no crystal field to choose d orbitals by")
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T @ cell
    vectors = (positions[anions][:, None, :] + shifts[None, :, :] - positions[site]).reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    near: Floats = vectors[lengths <= REACH * lengths.min()]
    return near


def in_orbitals(fillings: Sequence[float], orbitals: Floats) -> Floats:
    """Density matrix, (5, 5), of electrons in given orbitals (its columns)."""
    matrix: Floats = (orbitals * np.asarray(fillings)) @ orbitals.T
    return matrix


def put_block(packed: Floats, block: Floats, first: int, size: int) -> None:
    """Write a block on the diagonal of a packed density matrix, which holds i <= j with i < j counted twice.

    Parameters
    ----------
    packed : (size (size + 1) / 2,) changed in place.
    block : symmetric.
    first : row where the block begins.
    size : of the whole matrix.
    """
    for i in range(len(block)):
        for j in range(i, len(block)):
            row, column = first + i, first + j
            packed[row * (2 * size - 1 - row) // 2 + column] = block[i, j] * (1 if i == j else 2)
