"""From a structure (relaxed, shifted, permuted, in another setting) to the sites of a host's supercell, one to one.

The lattice is matched first (`lattices`), then an origin shift is sought on the rarest framework element; every atom
must find a site of its own within a displacement bound, or the mapping fails loudly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from ..supercells import HostSupercell
from .group import Bits
from .lattices import lattice_text, settings

MAX_DISPLACEMENT = 1.2
"""Angstrom, in the host's cell: how far an atom may lie from its site."""

Positions = NDArray[np.float64]
Indices = NDArray[np.int_]


@dataclass(frozen=True)
class SiteMap:
    """Which site of the supercell each atom of a structure occupies.

    Attributes
    ----------
    host_sites : (n,) site of the full supercell for each atom; where the structure is a smaller superstructure that
        is repeated to fill the supercell, for each atom of every repetition.
    atoms : (n,) index in the structure of each of them.
    working : (n_working,) True where a working-ion site is occupied, host order.
    displacement : largest distance of an atom from its site, A, in the host's cell and after the best common shift.
    """

    host_sites: Indices
    atoms: Indices
    working: Bits
    displacement: float

    def redox_atoms(self, cell: HostSupercell) -> Indices:
        """(n_redox,) atom of the structure on each redox site, host order."""
        atom_at = np.full(len(cell.structure), -1)
        atom_at[self.host_sites] = self.atoms
        found: Indices = atom_at[cell.redox_sites]
        return found


@dataclass(frozen=True)
class _Sublattice:
    """The sites of one element in a supercell, with their periodic images near the cell for a search of the nearest."""

    sites: Indices
    positions: Positions
    tree: cKDTree
    image_of: Indices
    first_cell: Indices

    def nearest(self, cartesian: Positions, bound: float) -> tuple[NDArray[np.float64], Indices]:
        """Distance (inf beyond the bound) and place in `sites` of the nearest site of each point of the cell."""
        distances, found = self.tree.query(cartesian, distance_upper_bound=bound)
        return distances, self.image_of[np.minimum(found, len(self.image_of) - 1)]


def map_onto(structure: Structure, cell: HostSupercell, max_displacement: float = MAX_DISPLACEMENT) -> SiteMap:
    """Map a structure onto a host's supercell.

    Parameters
    ----------
    structure : plain or decorated species; the supercell's framework atoms and any number of working ions. A smaller
        superstructure is repeated where its lattice fills the supercell.
    cell : the host's supercell.
    max_displacement : bound on the distance between an atom and its site, A.

    Raises
    ------
    ValueError
        If the compositions or lattices do not fit (both lattices are named) or the map is not one to one.
    """
    symbols = [site.specie.symbol for site in structure]
    repeats = _repeats(symbols, cell)
    if repeats is None:
        raise ValueError(
            f"{structure.composition.formula} does not fit the supercell {cell.structure.composition.formula} of "
            f"{cell.host.name} (only {cell.host.working_ion} may be fewer); check `supercell:`"
        )
    atoms = np.tile(np.arange(len(symbols)), repeats)
    by_element = {symbol: np.flatnonzero(np.array(symbols)[atoms] == symbol) for symbol in sorted(set(symbols))}
    best: SiteMap | None = None
    lattices_fit = False
    for scale in settings(structure.lattice, cell, repeats):
        lattices_fit = True
        positions = _repeated(structure.frac_coords, scale)
        for shifted in _origins(positions, by_element, cell, max_displacement):
            found = _assign(shifted, atoms, by_element, cell, max_displacement, best)
            if found is not None and (best is None or found.displacement < best.displacement - 1e-9):
                best = found
    if not lattices_fit:
        raise ValueError(
            f"the structure's lattice ({lattice_text(structure.lattice)}) does not fit the supercell of "
            f"{cell.host.name} ({lattice_text(cell.structure.lattice)}); give the matching `supercell:`"
        )
    if best is None or best.displacement > max_displacement:
        distance = "more than that" if best is None else f"{best.displacement:.2f} A"
        raise ValueError(
            f"{structure.composition.reduced_formula} does not map one to one onto {cell.host.name}: an atom would lie "
            f"{distance} from its site (bound {max_displacement} A)"
        )
    return best


def _repeats(symbols: list[str], cell: HostSupercell) -> int | None:
    """How many times the structure fits into the supercell by its composition; None if it does not."""
    have, want = Counter(symbols), Counter({symbol: len(sites) for symbol, sites in _element_sites(cell).items()})
    ion = cell.host.working_ion
    ions, places = have.pop(ion, 0), want.pop(ion)
    ratios = {Fraction(want[symbol], have[symbol]) if have[symbol] else Fraction(0) for symbol in {*have, *want}}
    ratio = ratios.pop()
    if ratios or ratio.denominator != 1 or ratio < 1 or ions * ratio > places:
        return None
    return int(ratio)


@lru_cache(maxsize=8)
def _element_sites(cell: HostSupercell) -> dict[str, Indices]:
    symbols = np.array([site.specie.symbol for site in cell.structure])
    return {str(symbol): np.flatnonzero(symbols == symbol) for symbol in np.unique(symbols)}


@lru_cache(maxsize=8)
def _sublattices(cell: HostSupercell, reach: float) -> dict[str, _Sublattice]:
    """Per element: its sites, and a tree of all their images within `reach` (A) of the cell."""
    lattice, frac = cell.structure.lattice, cell.structure.frac_coords
    # A sphere around a point of the cell ends before this fraction outside it, along each axis.
    margin = reach * np.linalg.norm(np.linalg.inv(lattice.matrix), axis=0)
    steps = [range(-n, n + 1) for n in np.ceil(margin).astype(int).tolist()]
    found = {}
    for symbol, sites in _element_sites(cell).items():
        images = (np.array(list(product(*steps)))[:, None, :] + np.mod(frac[sites], 1.0)).reshape(-1, 3)
        near = np.flatnonzero(((images >= -margin) & (images <= 1 + margin)).all(axis=1))
        found[symbol] = _Sublattice(
            sites=sites,
            positions=frac[sites],
            tree=cKDTree(lattice.get_cartesian_coords(images[near])),
            image_of=near % len(sites),
            first_cell=np.flatnonzero(sites % cell.n_cells == 0),
        )
    return found


def _repeated(positions: Positions, scale: Indices) -> Positions:
    """Fractions of the supercell of every atom in every repetition of the structure's cell."""
    determinant = round(float(np.linalg.det(scale)))
    if abs(determinant) == 1:
        moved: Positions = positions @ np.linalg.inv(scale)
        return moved
    # Cells of the structure inside the supercell: lattice points whose fractions of it lie in [0, 1), in integers.
    adjugate = np.round(np.linalg.inv(scale) * determinant).astype(int) * np.sign(determinant)
    spans = [range(int(row.min()), int(row.max()) + 1) for row in _corners(scale).T]
    points = np.array(list(product(*spans)))
    fractions = points @ adjugate
    inside = points[((fractions >= 0) & (fractions < abs(determinant))).all(axis=1)]
    everywhere: Positions = (inside[:, None, :] + positions).reshape(-1, 3) @ np.linalg.inv(scale)
    return everywhere


def _corners(scale: Indices) -> Indices:
    return np.array(list(product((0, 1), repeat=3))) @ scale


def _origins(
    positions: Positions, by_element: dict[str, Indices], cell: HostSupercell, bound: float
) -> Iterator[Positions]:
    """Positions under every distinct origin shift that brings all atoms of the rarest framework element near sites."""
    sublattices = _sublattices(cell, 2 * bound)
    framework = [symbol for symbol in by_element if symbol != cell.host.working_ion]
    rarest = min(framework, key=lambda symbol: (len(sublattices[symbol].sites), symbol))
    atoms, sublattice = by_element[rarest], sublattices[rarest]
    # One host cell is enough: origins that differ by a translation of the host give the same ordering up to symmetry.
    for target in sublattice.positions[sublattice.first_cell]:
        shifted = positions + (target - positions[atoms[0]])
        # The first atom is put exactly on a site, so the others may be off by twice the bound.
        distances, nearest = sublattice.nearest(_in_cell(shifted[atoms], cell), 2 * bound)
        if np.isfinite(distances).all():
            # The mean displacement is taken out, so that the first atom's own one does not count for all.
            difference = sublattice.positions[nearest] - shifted[atoms]
            yield shifted + (difference - np.round(difference)).mean(axis=0)


def _in_cell(frac: Positions, cell: HostSupercell) -> Positions:
    """Cartesian positions, wrapped into the supercell."""
    wrapped: Positions = np.mod(frac, 1.0) @ cell.structure.lattice.matrix
    return wrapped


def _assign(
    positions: Positions,
    atoms: Indices,
    by_element: dict[str, Indices],
    cell: HostSupercell,
    bound: float,
    best: SiteMap | None,
) -> SiteMap | None:
    """One site for each atom, of least squared displacement in all; None where `best` cannot be beaten."""
    host_sites, largest = np.empty(len(positions), dtype=int), 0.0
    for symbol, sublattice in _sublattices(cell, 2 * bound).items():
        if symbol not in by_element:
            continue
        mine = by_element[symbol]
        distances, nearest = sublattice.nearest(_in_cell(positions[mine], cell), 2 * bound)
        if best is not None and distances.max() >= best.displacement:
            return None  # no atom can be nearer than its nearest site
        if np.isinf(distances).any() or len(np.unique(nearest)) < len(nearest):
            nearest, distances = _assigned(positions[mine], sublattice, cell)
        host_sites[mine] = sublattice.sites[nearest]
        largest = max(largest, float(distances.max()))
    return SiteMap(host_sites, atoms, np.isin(cell.working_sites, host_sites), largest)


def _assigned(
    positions: Positions, sublattice: _Sublattice, cell: HostSupercell
) -> tuple[Indices, NDArray[np.float64]]:
    """Sites and distances where the nearest sites are not one to one."""
    distances = cell.structure.lattice.get_all_distances(positions, sublattice.positions)
    rows, columns = linear_sum_assignment(distances**2)
    assert rows.tolist() == list(range(len(positions)))  # there are at least as many sites as atoms
    return columns, distances[rows, columns]
