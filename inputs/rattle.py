"""Structures whose atoms are displaced at random.

A relaxation that starts there leaves symmetric saddle points, and its frames show a potential how forces grow with a
bond.
"""

from __future__ import annotations

import hashlib

import numpy as np
from pymatgen.core import Structure


def rattled(structure: Structure, largest: float, name: str) -> Structure:
    """Displace every atom in a random direction by a random distance.

    Parameters
    ----------
    structure : cell and site properties are kept.
    largest : distances are uniform between 0 and this, A.
    name : decides the displacements; the same name on the same structure gives the same ones.

    Returns
    -------
    A new structure.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    draw = np.random.default_rng(seed)
    directions = draw.normal(size=(len(structure), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = directions * draw.uniform(0, largest, size=(len(structure), 1))
    moved = structure.copy()
    for site, step in enumerate(steps):
        moved.translate_sites([site], step, frac_coords=False, to_unit_cell=False)
    return moved
