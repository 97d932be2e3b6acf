"""Which ordering a relaxed structure has: told by its moments, or by bond valences, which any potential has.

Bond valences (Brown & Altermatt, Acta Cryst. B 41 (1985) 244; O'Keeffe & Brese, JACS 113 (1991) 3226) are pymatgen's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.analysis.bond_valence import calculate_bv_sum
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ...inputs.charge_states import RedoxCouple
from ...inputs.moments import read_states
from ...inputs.orderings.group import Bits
from ...inputs.species import FloatArray
from .cases import OrderingCase

BOND_CUTOFF = 3.2
"""A: neighbours that count in a bond-valence sum."""

VALENCE_GAP = 0.15
"""Valence units between the two groups of sites below which no ordering is read; the two states of Fe in olivine lie
0.5 or more apart (test)."""


def bond_valences(atoms: Atoms, sites: Sequence[int] | NDArray[np.int_]) -> FloatArray:
    """(n_sites,) bond-valence sums, in valence units.

    Parameters
    ----------
    atoms : real elements.
    sites : which atoms.
    """
    structure: Structure = AseAtomsAdaptor.get_structure(
        Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    )
    neighbours = [structure.get_neighbors(structure[int(site)], BOND_CUTOFF) for site in sites]
    sums = [
        calculate_bv_sum(structure[int(site)], near)  # type: ignore[no-untyped-call]
        for site, near in zip(sites, neighbours, strict=True)
    ]
    return np.array(sums, dtype=float)


def read_by_moments(moments: FloatArray, couple: RedoxCouple, engine: str, n_high: int) -> Bits | None:
    """(n_sites,) sites in the high state by moments in the engine's window, as the audit does; None: undecided."""
    return read_states(moments, couple, engine, n_high).is_high


def read_by_valences(valences: FloatArray, n_high: int) -> Bits | None:
    """(n_sites,) the n_high sites of largest bond valence; None where they do not stand apart."""
    picked = most_outlying(valences, n_high, larger=True)
    if 0 < n_high < len(valences) and valences[picked].min() - valences[~picked].max() < VALENCE_GAP:
        return None
    return picked


def most_outlying(values: FloatArray, n_high: int, larger: bool) -> Bits:
    """(n_sites,) the n_high sites of largest (or smallest) value, whatever the gap; of equal ones the first."""
    order = np.argsort(-values if larger else values, kind="stable")
    picked = np.zeros(len(values), dtype=bool)
    picked[order[:n_high]] = True
    return picked


def confusion(case: OrderingCase, told: Bits) -> list[list[int]]:
    """Reference states (rows, low first) against told ones (columns), for the symmetry image that agrees best."""
    images = np.asarray(case.images(told), dtype=bool)
    best = images[int((images == case.high).sum(axis=1).argmax())]
    return [[int(((case.high == row) & (best == column)).sum()) for column in (False, True)] for row in (False, True)]
