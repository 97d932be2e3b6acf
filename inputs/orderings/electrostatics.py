"""Electrostatic energy of an ordering by its formal charges: the first energy model, for ranking.

One Ewald sum with unit charges per host and supercell (pymatgen's) gives the interaction of every pair of sites; the
energy of any ordering is then a sum over pairs. Unscreened formal charges spread the energies about ten times wider
than DFT does, hence `dielectric`; an arrangement that is best here is a seed and a feature, not an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from pymatgen.analysis.ewald import EwaldSummation

from ..charge_states import RedoxCouple
from ..supercells import HostSupercell
from .energies import BitPolynomial, Floats
from .group import ordering_group
from .site_orbits import orbit_means, pair_orbits, site_orbits


@lru_cache(maxsize=16)
def unit_charge_matrix(cell: HostSupercell) -> Floats:
    """Interaction of unit charges on every pair of sites of the full supercell.

    Parameters
    ----------
    cell : the host's supercell with every working-ion site filled.

    Returns
    -------
    (n_sites, n_sites) symmetric, eV: the energy of charges q (e) is q @ matrix @ q. The neutralising background is
    included, so the matrix does not depend on the Ewald splitting, and it drops out of neutral cells.
    """
    charged = cell.structure.copy()
    charged.remove_site_property("host_site")
    charged.add_oxidation_state_by_site([1] * len(charged))
    ewald = EwaldSummation(charged)  # type: ignore[no-untyped-call]  # pymatgen: no annotation
    matrix = np.asarray(ewald.total_energy_matrix)
    background = (ewald.total_energy - matrix.sum()) / matrix.size
    symmetric: Floats = 0.5 * (matrix + matrix.T) + background
    return symmetric


@dataclass(frozen=True, eq=False)
class ElectrostaticModel:
    """Formal charges on the sites of the idealised host.

    Attributes
    ----------
    cell, couple : what orders, and the charges of its two states; the other charges are the host's.
    dielectric : relative permittivity by which every energy is divided. 1 ranks like any other value; 11.4 matches
        pretrained CHGNet's unrelaxed energies on NaxFePO4 at x = 2/3.

    Raises
    ------
    ValueError
        If the dielectric constant is not a positive number.
    """

    cell: HostSupercell
    couple: RedoxCouple
    dielectric: float = 1.0

    def __post_init__(self) -> None:
        """Check the dielectric constant and that the couple belongs to the host."""
        if not (np.isfinite(self.dielectric) and self.dielectric > 0):
            raise ValueError(f"dielectric = {self.dielectric} must be a positive number")
        if self.couple.element != self.cell.host.redox_element:
            raise ValueError(
                f"couple {self.couple.name} does not fit host {self.cell.host.name}, whose redox element is "
                f"{self.cell.host.redox_element}"
            )

    @property
    def name(self) -> str:
        """What `by:` and the listings call it."""
        return "electrostatics"

    @cached_property
    def polynomial(self) -> BitPolynomial:
        """Energy of the joint bits (working ++ charge), eV per supercell."""
        constant, linear, pairs = self._terms
        group = ordering_group(self.cell)
        return BitPolynomial.on_grid(
            constant, orbit_means(linear, site_orbits(group)), orbit_means(pairs, pair_orbits(group))
        )

    @cached_property
    def asymmetry(self) -> float:
        """Largest change, eV, that averaging over equivalent pairs made: 0 but for a host with rounded positions."""
        _, linear, pairs = self._terms
        made = self.polynomial
        return float(max(np.abs(made.linear - linear).max(), np.abs(made.pairs - pairs).max()))

    @cached_property
    def _terms(self) -> tuple[float, Floats, Floats]:
        """Constant, linear and pair energies from the charges without any ordering and what a bit adds to them."""
        cell, couple, charges = self.cell, self.couple, self.cell.host.oxidation_states
        start = np.array([float(charges.get(site.specie.symbol, 0)) for site in cell.structure])
        start[cell.working_sites] = 0.0
        start[cell.redox_sites] = couple.low.oxidation_state
        sites = np.concatenate([cell.working_sites, cell.redox_sites])
        added = np.full(len(sites), float(couple.high.oxidation_state - couple.low.oxidation_state))
        added[: len(cell.working_sites)] = charges[cell.host.working_ion]
        matrix = unit_charge_matrix(cell) / self.dielectric
        among = matrix[np.ix_(sites, sites)] * np.outer(added, added)
        linear = 2 * added * (matrix[sites] @ start) + np.diagonal(among)
        pairs = 2 * among
        np.fill_diagonal(pairs, 0.0)
        return float(start @ matrix @ start), linear, pairs
