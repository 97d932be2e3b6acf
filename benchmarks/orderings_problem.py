"""The problem that ``benchmarks/orderings.py`` and the programs beside it solve: olivine NaFePO4, 1x3x2 and 1x3x4."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymatgen.core import Structure
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.supercells import HostSupercell

COUPLE = get_couple("Fe2+/Fe3+")
CELL, LARGE = (HostSupercell.build(get_host("olivine-NaFePO4"), matrix) for matrix in ([1, 3, 2], [1, 3, 4]))
N_ARRANGEMENTS = 735_471


def occupied(n_sites: int, n_ones: int, seed: int) -> np.ndarray:
    """A random arrangement."""
    return np.random.default_rng(seed).permutation(np.arange(n_sites) < n_ones)


def noisy(seed: int) -> Structure:
    """A charge ordering as a calculation might leave it: shifted, 0.1 A of noise, atoms in any order."""
    random = np.random.default_rng(seed)
    structure = ordering_structure(occupied(24, 16, seed + 1), occupied(24, 8, seed))
    noise = random.normal(size=(len(structure), 3))
    noise *= 0.1 / np.linalg.norm(noise, axis=1, keepdims=True)
    positions = structure.lattice.get_cartesian_coords(structure.frac_coords) + noise + random.random(3)
    order = random.permutation(len(structure))
    states = structure.site_properties["oxidation_state"]
    return Structure(
        structure.lattice,
        [structure[int(i)].specie for i in order],
        positions[order],
        coords_are_cartesian=True,
        site_properties={"oxidation_state": [states[i] for i in order]},
    )


def ordering_structure(working: np.ndarray, charge: np.ndarray) -> Structure:
    """The structure of an ordering, with oxidation states."""
    states = [CELL.host.oxidation_states.get(site.specie.symbol, 2) for site in CELL.structure]
    for site, high in zip(CELL.redox_sites, charge, strict=True):
        states[site] = 2 + int(high)
    kept = np.setdiff1d(np.arange(len(states)), CELL.working_sites[~working])
    return Structure(
        CELL.structure.lattice,
        [CELL.structure[int(i)].specie for i in kept],
        CELL.structure.frac_coords[kept],
        site_properties={"oxidation_state": [states[i] for i in kept]},
    )


def problem() -> dict[str, Any]:
    """What other programs are told."""

    def plain(structure: Structure) -> dict[str, Any]:
        return {
            "lattice": structure.lattice.matrix.tolist(),
            "symbols": [site.specie.symbol for site in structure],
            "positions": structure.frac_coords.tolist(),
        }

    return plain(CELL.structure) | {
        "host": plain(CELL.host.structure),
        "matrix": CELL.matrix_array.tolist(),
        "n_cells": CELL.n_cells,
        "redox": CELL.redox_sites.tolist(),
        "vacant": CELL.working_sites[~occupied(24, 16, 1)].tolist(),
        "n_high": 8,
        "charges": CELL.host.oxidation_states | {"Fe": 2},
        "n_arrangements": N_ARRANGEMENTS,
        "drawn": [np.flatnonzero(occupied(24, 8, seed)).tolist() for seed in range(3000)],
    }
