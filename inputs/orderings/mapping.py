"""From a structure (relaxed, shifted, permuted, in another setting) to the sites of a host's supercell, one to one.

The lattice is matched first, then an origin shift is sought on the rarest framework element; every atom must find a
site of its own within a displacement bound, or the mapping fails loudly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment

from ..charge_states import RedoxCouple
from ..moments import read_states
from ..supercells import HostSupercell
from .group import Bits

MAX_DISPLACEMENT = 1.2
"""Angstrom, in the host's cell: how far an atom may lie from its site."""

LENGTH_TOLERANCE, ANGLE_TOLERANCE = 0.10, 6.0
"""Relative length and degrees by which a relaxed cell may differ from the host's supercell."""

AtomsAndSites = dict[str, tuple[NDArray[np.int_], NDArray[np.int_]]]


@dataclass(frozen=True)
class SiteMap:
    """Which site of the supercell each atom of a structure occupies.

    Attributes
    ----------
    host_sites : (n_atoms,) site of the full supercell for each atom.
    working : (n_working,) True where a working-ion site is occupied, host order.
    displacement : largest distance of an atom from its site, A, in the host's cell and after the best common shift.
    """

    host_sites: NDArray[np.int_]
    working: Bits
    displacement: float

    def redox_atoms(self, cell: HostSupercell) -> NDArray[np.int_]:
        """(n_redox,) atom of the structure on each redox site, host order."""
        atom_at = {int(site): atom for atom, site in enumerate(self.host_sites)}
        return np.array([atom_at[int(site)] for site in cell.redox_sites])


def map_onto(structure: Structure, cell: HostSupercell, max_displacement: float = MAX_DISPLACEMENT) -> SiteMap:
    """Map a structure onto a host's supercell.

    Parameters
    ----------
    structure : plain or decorated species; the supercell's framework atoms and any number of working ions.
    cell : the host's supercell.
    max_displacement : bound on the distance between an atom and its site, A.

    Raises
    ------
    ValueError
        If the compositions or lattices do not fit (both lattices are named) or the map is not one to one.
    """
    _check_composition(structure, cell)
    indices = _atoms_and_sites(structure, cell)
    best: SiteMap | None = None
    lattices_fit = False
    for positions in _settings(structure, cell):
        lattices_fit = True
        for shifted in _origins(positions, indices, cell, max_displacement):
            found = _assign(shifted, indices, cell)
            if best is None or found.displacement < best.displacement - 1e-9:
                best = found
    if not lattices_fit:
        raise ValueError(
            f"the structure's lattice ({_lengths(structure.lattice)}) does not fit the supercell of {cell.host.name} "
            f"({_lengths(cell.structure.lattice)}); give the matching `supercell:`"
        )
    if best is None or best.displacement > max_displacement:
        distance = "more than that" if best is None else f"{best.displacement:.2f} A"
        raise ValueError(
            f"{structure.composition.reduced_formula} does not map one to one onto {cell.host.name}: an atom would lie "
            f"{distance} from its site (bound {max_displacement} A)"
        )
    return best


def charge_bits(structure: Structure, site_map: SiteMap, cell: HostSupercell, couple: RedoxCouple) -> Bits | None:
    """Charge ordering that a mapped structure carries, from oxidation states or else from moments.

    Returns
    -------
    (n_redox,) True = high state, host order; None where the structure says nothing.

    Raises
    ------
    ValueError
        If only some redox sites carry a state, the states are not neutral, or the moments cannot be read.
    """
    atoms = [structure[int(i)] for i in site_map.redox_atoms(cell)]
    states = [site.properties.get("oxidation_state", getattr(site.specie, "oxi_state", None)) for site in atoms]
    if all(state in (couple.low.oxidation_state, couple.high.oxidation_state) for state in states):
        bits = np.array([state == couple.high.oxidation_state for state in states], dtype=bool)
        _check_neutral(bits, site_map, cell, couple)
        return bits
    moments = [moment for site in atoms if (moment := site.properties.get("magmom")) is not None]
    if len(moments) == len(atoms):
        reading = read_states(moments, couple, "vasp", cell.n_high(int(site_map.working.sum()), couple))
        if reading.is_high is None:
            raise ValueError(f"the moments do not tell the charge ordering: {reading.reason}")
        return reading.is_high
    if any(state is not None for state in states):
        raise ValueError(f"oxidation states {states} of the {couple.element} sites are not all of {couple.name}")
    return None


def _check_neutral(bits: Bits, site_map: SiteMap, cell: HostSupercell, couple: RedoxCouple) -> None:
    n_working = int(site_map.working.sum())
    n_high = cell.n_high(n_working, couple)
    if bits.sum() != n_high:
        raise ValueError(
            f"{int(bits.sum())} of {len(bits)} {couple.element} sites are {couple.element}"
            f"{couple.high.oxidation_state}+ where neutrality asks for {n_high} with {n_working} "
            f"{cell.host.working_ion}; correct the oxidation states"
        )


def _lengths(lattice: Lattice) -> str:
    lengths = " ".join(f"{length:.2f}" for length in lattice.abc)
    return f"{lengths} A, " + " ".join(f"{angle:.0f}" for angle in lattice.angles) + " deg"


def _check_composition(structure: Structure, cell: HostSupercell) -> None:
    have = _counts(structure)
    want = _counts(cell.structure)
    ion = cell.host.working_ion
    if have.pop(ion, 0) > want.pop(ion) or have != want:
        raise ValueError(
            f"{structure.composition.formula} does not fit the supercell {cell.structure.composition.formula} of "
            f"{cell.host.name} (only {ion} may be fewer); check `supercell:`"
        )


def _counts(structure: Structure) -> dict[str, int]:
    symbols = [site.specie.symbol for site in structure]
    return {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}


def _settings(structure: Structure, cell: HostSupercell) -> Iterator[NDArray[np.float64]]:
    """Fractional positions of the structure in every setting whose lattice fits the supercell's."""
    mappings = structure.lattice.find_all_mappings(
        cell.structure.lattice, ltol=LENGTH_TOLERANCE, atol=ANGLE_TOLERANCE, skip_rotation_matrix=True
    )
    for _, _, scale in mappings:
        if abs(round(float(np.linalg.det(scale)))) == 1:
            yield structure.frac_coords @ np.linalg.inv(scale)


def _atoms_and_sites(structure: Structure, cell: HostSupercell) -> AtomsAndSites:
    """Per element of the structure: its atoms, and the supercell's sites for them."""
    atom_symbols = np.array([site.specie.symbol for site in structure])
    site_symbols = np.array([site.specie.symbol for site in cell.structure])
    return {
        str(symbol): (np.flatnonzero(atom_symbols == symbol), np.flatnonzero(site_symbols == symbol))
        for symbol in np.unique(atom_symbols)
    }


def _origins(
    positions: NDArray[np.float64], indices: AtomsAndSites, cell: HostSupercell, bound: float
) -> Iterator[NDArray[np.float64]]:
    """Positions under every distinct origin shift that brings all atoms of the rarest framework element near sites."""
    framework = [symbol for symbol in indices if symbol != cell.host.working_ion]
    atoms, sites = indices[min(framework, key=lambda symbol: (len(indices[symbol][1]), symbol))]
    targets = cell.structure.frac_coords[sites]
    # One host cell is enough: origins that differ by a translation of the host give the same ordering up to symmetry.
    for target in targets[sites % cell.n_cells == 0]:
        shifted = positions + (target - positions[atoms[0]])
        distances = cell.structure.lattice.get_all_distances(shifted[atoms], targets)
        # The first atom is put exactly on a site, so the others may be off by twice the bound.
        if distances.min(axis=1).max() <= 2 * bound:
            yield _centred(shifted, atoms, targets, cell.structure.lattice, distances)


def _centred(
    shifted: NDArray[np.float64],
    atoms: NDArray[np.int_],
    targets: NDArray[np.float64],
    lattice: Lattice,
    distances: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Take out the mean displacement, so that the first atom's own displacement does not count for all."""
    nearest = targets[distances.argmin(axis=1)]
    difference = nearest - shifted[atoms]
    centred: NDArray[np.float64] = shifted + (difference - np.round(difference)).mean(axis=0)
    return centred


def _assign(positions: NDArray[np.float64], indices: AtomsAndSites, cell: HostSupercell) -> SiteMap:
    host = cell.structure
    host_sites, largest = np.empty(len(positions), dtype=int), 0.0
    for atoms, sites in indices.values():
        distances = host.lattice.get_all_distances(positions[atoms], host.frac_coords[sites])
        rows, columns = linear_sum_assignment(distances**2)
        host_sites[atoms[rows]] = sites[columns]
        largest = max(largest, float(distances[rows, columns].max()))
    working = np.isin(cell.working_sites, host_sites)
    return SiteMap(host_sites, working, largest)
