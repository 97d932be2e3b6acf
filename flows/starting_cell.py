"""What the audit compares with when no host is known: the unrelaxed structure's own cell and symmetry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from ..inputs.hosts import DEFAULT_SYMPREC
from ..inputs.substitution import ChargeSites
from ..inputs.symmetry import space_group_operations
from .audit import UNKNOWN_CELL_SLACK, AuditReference


def starting_reference(structure: Structure, sites: ChargeSites) -> AuditReference:
    """Audit reference of an unrelaxed structure; its charge states are left out of the symmetry."""
    lattice = structure.lattice
    return AuditReference(
        lengths=(lattice.a, lattice.b, lattice.c),
        volume=lattice.volume,
        source="the starting cell",
        slack=UNKNOWN_CELL_SLACK,
        equivalences=redox_permutations(structure, sites).tolist(),
    )


def redox_permutations(structure: Structure, sites: ChargeSites, symprec: float = DEFAULT_SYMPREC) -> NDArray[np.int_]:
    """(n_operations, n_redox) permutations of the redox sites by the symmetry of the unrelaxed structure."""
    rotations, translations = space_group_operations(structure, sites.elements, symprec)
    positions = structure.frac_coords[sites.redox_sites]
    rows = []
    for rotation, translation in zip(rotations, translations, strict=True):
        images = positions @ rotation.T + translation
        distances = structure.lattice.get_all_distances(images, positions)
        rows.append(np.argmin(distances, axis=1))
    permutations: NDArray[np.int_] = np.unique(np.array(rows), axis=0)
    return permutations
