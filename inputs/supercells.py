"""Supercells of a host with their ordering sublattices, built so that site order never depends on a library's version.

A site is (host site, cell translation); translations are reduced by exact integer arithmetic, so permutations carry no
rounding. Keys and samples of `orderings` refer to the site order made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from .charge_states import RedoxCouple
from .hosts import Host

FRACTION_TOLERANCE = Fraction(1, 1000)
"""Sites: how far fraction x sites may be from a whole number."""


LARGEST_ENTRY = 10_000
"""Of a supercell matrix: far above any cell for DFT, and small enough for exact determinants."""


MOST_ATOMS = 20_000
"""Of a supercell: far above any cell for DFT; permutations of more sites take hours."""


def supercell_matrix(value: Sequence[Any]) -> NDArray[np.int_]:
    """Read [1, 3, 2] or a 3x3 matrix whose rows are the new vectors in host vectors.

    Raises
    ------
    ValueError
        If the shape or the determinant is wrong.
    """
    try:
        raw = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as err:
        raise ValueError(f"supercell must be [na, nb, nc] or a 3x3 matrix of whole numbers, got {value!r}") from err
    matrix = np.diag(raw) if raw.shape == (3,) else raw
    if matrix.shape != (3, 3) or not np.all(np.isfinite(matrix)) or np.any(matrix != np.round(matrix)):
        raise ValueError(f"supercell must be [na, nb, nc] or a 3x3 matrix of whole numbers, got {value!r}")
    if np.max(np.abs(matrix)) > LARGEST_ENTRY:
        raise ValueError(f"supercell {value!r}: its numbers must lie within -{LARGEST_ENTRY:,} to {LARGEST_ENTRY:,}")
    whole = np.round(matrix).astype(int)
    if round(np.linalg.det(whole)) < 1:
        raise ValueError(
            f"supercell {whole.tolist()} has determinant {round(np.linalg.det(whole))}; it must be at least 1"
        )
    return whole


def supercell_text(matrix: Sequence[Sequence[int]]) -> str:
    """1x3x2, or the rows where the matrix is not diagonal.

    Parameters
    ----------
    matrix : (3, 3) rows are supercell vectors in host vectors.
    """
    if any(matrix[row][column] for row in range(3) for column in range(3) if row != column):
        return str([list(row) for row in matrix])
    return "x".join(str(matrix[place][place]) for place in range(3))


@dataclass(frozen=True, eq=False)
class HostSupercell:
    """A host repeated by an integer matrix.

    Attributes
    ----------
    host : the idealised host.
    matrix : (3, 3) ints as nested tuples, rows are supercell vectors in host vectors.
    """

    host: Host
    matrix: tuple[tuple[int, int, int], ...]

    @classmethod
    def build(cls, host: Host, supercell: Sequence[Any] = (1, 1, 1)) -> HostSupercell:
        """Supercell from [na, nb, nc] or a 3x3 matrix.

        Raises
        ------
        ValueError
            As in `supercell_matrix`, or if there are more atoms than anybody orders.
        """
        rows = supercell_matrix(supercell)
        n_atoms = round(np.linalg.det(rows)) * len(host.structure)
        if n_atoms > MOST_ATOMS:
            raise ValueError(
                f"supercell {supercell_text(rows.tolist())} of {host.name} has {n_atoms:,} atoms; take one of at most "
                f"{MOST_ATOMS:,}"
            )
        return cls(host, tuple((int(row[0]), int(row[1]), int(row[2])) for row in rows))

    @property
    def identity(self) -> tuple[str, tuple[tuple[int, int, int], ...]]:
        """What makes two supercells the same: the host's content and the matrix."""
        return self.host.content_hash, self.matrix

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HostSupercell) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @cached_property
    def matrix_array(self) -> NDArray[np.int_]:
        """(3, 3) integer array."""
        return np.array(self.matrix, dtype=int)

    @cached_property
    def n_cells(self) -> int:
        """Host cells in the supercell."""
        return round(float(np.linalg.det(self.matrix_array)))

    @cached_property
    def _adjugate(self) -> NDArray[np.int_]:
        return np.round(np.linalg.inv(self.matrix_array) * self.n_cells).astype(int)

    def reduce(self, translations: NDArray[np.int_]) -> NDArray[np.int_]:
        """Bring (..., 3) integer cell translations into the supercell, exactly."""
        wraps = np.floor_divide(translations @ self._adjugate, self.n_cells)
        reduced: NDArray[np.int_] = translations - wraps @ self.matrix_array
        return reduced

    @cached_property
    def translations(self) -> NDArray[np.int_]:
        """(n_cells, 3) cell translations inside the supercell, sorted."""
        found = {(0, 0, 0)}
        newest = np.zeros((1, 3), dtype=int)
        while len(newest):
            # Every translation is reached by unit steps; a skewed matrix needs no larger search than a cubic one.
            steps = self.reduce((newest[:, None, :] + np.eye(3, dtype=int)).reshape(-1, 3))
            fresh = {(int(a), int(b), int(c)) for a, b, c in steps} - found
            found |= fresh
            newest = np.array(sorted(fresh), dtype=int).reshape(-1, 3)
        if len(found) != self.n_cells:
            raise AssertionError(f"{len(found)} translations found in a supercell of {self.n_cells} cells")
        return np.array(sorted(found), dtype=int)

    @cached_property
    def structure(self) -> Structure:
        """Full supercell with every working-ion site filled; site property `host_site` numbers the sites."""
        host, inverse = self.host.structure, np.linalg.inv(self.matrix_array)
        positions = np.concatenate([(self.translations + site.frac_coords) @ inverse for site in host])
        species = [site.specie for site in host for _ in range(self.n_cells)]
        lattice = Lattice(self.matrix_array @ host.lattice.matrix)
        properties = {"host_site": list(range(len(species)))}
        return Structure(lattice, species, positions, to_unit_cell=True, site_properties=properties)

    def _sites_of(self, symbol: str) -> NDArray[np.int_]:
        return np.array([i for i, site in enumerate(self.structure) if site.specie.symbol == symbol])

    @cached_property
    def working_sites(self) -> NDArray[np.int_]:
        """(n_working,) indices of the working-ion sites in `structure`."""
        return self._sites_of(self.host.working_ion)

    @cached_property
    def redox_sites(self) -> NDArray[np.int_]:
        """(n_redox,) indices of the redox sites in `structure`."""
        return self._sites_of(self.host.redox_element)

    @property
    def formula_units(self) -> int:
        """Formula units in the supercell."""
        return self.host.formula_units * self.n_cells

    def n_working(self, fraction: float | Fraction) -> int:
        """Occupied working-ion sites at a fraction.

        Raises
        ------
        ValueError
            If the number is not whole within 1e-3 of a site; the nearest fractions that are get named.
        """
        total = len(self.working_sites)
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction {fraction} must lie in 0..1")
        # Exact: 0.333 of 3 sites is a thousandth of a site away from one, which floats would make a little more.
        exact = (Fraction(str(fraction)) if isinstance(fraction, float) else fraction) * total
        if abs(exact - round(exact)) > FRACTION_TOLERANCE:
            below, above = Fraction(floor(exact), total), Fraction(ceil(exact), total)
            raise ValueError(
                f"fraction {fraction} of {total} {self.host.working_ion} sites is {float(exact):.3f}, not a whole "
                f"number; the nearest that this supercell holds are {below} and {above}"
            )
        return round(exact)

    def n_high(self, n_working: int, couple: RedoxCouple) -> int:
        """High-state sites that neutrality asks for with `n_working` working ions in the cell."""
        ions = n_working * self.host.oxidation_states[self.host.working_ion]
        try:
            return couple.n_high(self._framework_charge + ions, len(self.redox_sites))
        except ValueError as err:
            raise ValueError(f"at x = {Fraction(n_working, len(self.working_sites))} {err}") from None

    @cached_property
    def _framework_charge(self) -> int:
        """Charge of all but the working ions and the redox element, e."""
        charges, skipped = self.host.oxidation_states, {self.host.working_ion, self.host.redox_element}
        return sum(charges[s.specie.symbol] for s in self.structure if s.specie.symbol not in skipped)
