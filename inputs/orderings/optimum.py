"""The lowest working-ion orderings and the joint optimum over all working-ion and charge orderings, proven.

Every distinct working-ion ordering is a row whose value is the energy of its best charge ordering. Rows are skipped
when a bound proves them too high (`row_bounds`) and searched exactly otherwise, so what comes out is exact.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .energies import EnergyModel, Floats, group_of
from .group import Bits, JointKey
from .halves import bit_rows
from .listing import Orbits, working_orbits
from .ranking import ChargeLandscape, charge_landscape, lowest_charge_orderings
from .row_bounds import RowBounds

Progress = Callable[[int, int], None]
"""Called with the rows decided so far and their number."""

PILOTS = 16
"""Rows searched first, those with the lowest bounds, for a limit that the other bounds are held against."""


@dataclass(frozen=True)
class JointOrdering:
    """A working-ion ordering with a charge ordering, in canonical images.

    Attributes
    ----------
    key : canonical joint key; its bits are those of the ordering.
    energy : eV per supercell.
    multiplicity : charge arrangements equivalent to it at its working-ion ordering.
    working_multiplicity : working-ion arrangements equivalent to its working-ion ordering.
    """

    key: JointKey
    energy: float
    multiplicity: int
    working_multiplicity: int

    @property
    def working(self) -> Bits:
        """(n_working,) True = occupied."""
        return self.key.working

    @property
    def charge(self) -> Bits:
        """(n_redox,) True = high state."""
        assert self.key.charge is not None
        return self.key.charge


@dataclass(frozen=True)
class WorkingRanking:
    """The lowest working-ion orderings, each with its best charge ordering.

    Attributes
    ----------
    orderings : lowest energy first, ties by key.
    status : `proven`: no other ordering is lower in this model.
    model : name of the energy model.
    n_rows : distinct working-ion orderings.
    n_searched : how many of them had to be searched; bounds excluded the others.
    n_pairs : pairs of a working-ion and a charge arrangement that the result covers.
    """

    orderings: tuple[JointOrdering, ...]
    status: Literal["proven"]
    model: str
    n_rows: int
    n_searched: int
    n_pairs: int


def joint_optimum(model: EnergyModel, n_occupied: int, progress: Progress | None = None) -> WorkingRanking:
    """Find the lowest ordering of working ions and charges, proven; among equal ones that with the smallest key.

    Parameters
    ----------
    model : the energy model.
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.
    progress : called now and then with (rows decided, rows).

    Raises
    ------
    ValueError
        If either space is too large to list (annealing is named), or no number of high states is neutral.
    """
    return lowest_working_orderings(model, n_occupied, 1, progress)


def lowest_working_orderings(
    model: EnergyModel, n_occupied: int, how_many: int = 1, progress: Progress | None = None
) -> WorkingRanking:
    """Rank working-ion orderings by the energy of their best charge ordering, proven.

    Parameters
    ----------
    model : the energy model.
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.
    how_many : working-ion orderings wanted; fewer come back where fewer exist.
    progress : called now and then with (rows decided, rows).

    Raises
    ------
    ValueError
        If `how_many` is not positive, or as in `joint_optimum`.
    """
    if how_many < 1:
        raise ValueError(f"how_many = {how_many} must be at least 1")
    group = group_of(model)
    n_high = model.cell.n_high(n_occupied, model.couple)
    landscape = charge_landscape(model, n_high)
    orbits = working_orbits(group, n_occupied)
    search = _Search(landscape, orbits, min(how_many, len(orbits)), progress)
    minima = search.minima()
    order = np.lexsort((np.arange(len(orbits)), minima))[: search.how_many]
    return WorkingRanking(
        orderings=tuple(_joint_ordering(model, orbits, int(row)) for row in order),
        status="proven",
        model=model.name,
        n_rows=len(orbits),
        n_searched=search.n_searched,
        n_pairs=comb(group.n_working, n_occupied) * comb(group.n_redox, n_high),
    )


def working_minima(model: EnergyModel, n_occupied: int, progress: Progress | None = None) -> tuple[Orbits, Floats]:
    """Energy of the best charge ordering of every working-ion ordering, exact.

    Parameters
    ----------
    model : the energy model.
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.
    progress : called now and then with (rows decided, rows).

    Returns
    -------
    The working-ion orderings, ascending by key, and (n_rows,) eV per supercell.

    Raises
    ------
    ValueError
        As in `joint_optimum`.
    """
    orbits = working_orbits(group_of(model), n_occupied)
    landscape = charge_landscape(model, model.cell.n_high(n_occupied, model.couple))
    return orbits, _Search(landscape, orbits, len(orbits), progress).minima()


def _joint_ordering(model: EnergyModel, orbits: Orbits, row: int) -> JointOrdering:
    best = lowest_charge_orderings(model, orbits.bits(row))
    return JointOrdering(
        best.keys[0], float(best.energies[0]), int(best.multiplicities[0]), int(orbits.multiplicities[row])
    )


class _Search:
    """Rows, their bounds, and the limit above which nothing is wanted."""

    def __init__(
        self, landscape: ChargeLandscape, orbits: Orbits, how_many: int, progress: Progress | None = None
    ) -> None:
        self.landscape, self.orbits, self.how_many = landscape, orbits, how_many
        self._progress = progress or (lambda done, total: None)
        self._found = np.full(len(orbits), np.inf)
        self._searched = np.zeros(len(orbits), dtype=bool)
        self._lowest: list[float] = []  # the how_many lowest found so far, ascending

    @property
    def n_searched(self) -> int:
        """Rows searched so far."""
        return int(self._searched.sum())

    @property
    def limit(self) -> float:
        """Energy above which a row is not among the lowest."""
        return np.inf if len(self._lowest) < self.how_many else self._lowest[-1]

    def minima(self) -> Floats:
        """(n_rows,) exact minimum of every row that belongs to the lowest, infinity elsewhere."""
        if self.landscape.pairs_depend_on_working:
            return self._one_by_one()
        constants, linear = self._rows()
        bounds = RowBounds(self.landscape.interaction, self.landscape.n_high, self.landscape.group.redox_permutations)
        lowest = constants + bounds.bounds(linear)
        view = np.zeros(len(lowest), dtype=int)
        # Where every row is wanted no limit spares any, and pilots would be searched before their best view is known.
        n_pilots = max(PILOTS, self.how_many) if self.how_many < len(lowest) else 0
        for row in np.argsort(lowest, kind="stable")[:n_pilots]:
            self._search(bounds, int(row), constants, linear, view)
        for other in range(1, len(bounds.views)):
            open_rows = np.flatnonzero((lowest <= self.limit) & ~self._searched)
            seen = constants[open_rows] + bounds.bounds(linear[open_rows], other)
            better = seen > lowest[open_rows]
            lowest[open_rows[better]], view[open_rows[better]] = seen[better], other
            self._progress(int((lowest > self.limit).sum()), len(lowest))
        order = np.argsort(lowest, kind="stable")
        for place, row in enumerate(order):
            if lowest[row] > self.limit:
                break
            if not self._searched[row]:
                self._search(bounds, int(row), constants, linear, view)
            self._progress(place + 1, len(lowest))
        self._progress(len(lowest), len(lowest))
        return self._found

    def _rows(self) -> tuple[Floats, Floats]:
        """Constant (n_rows,) and linear (n_rows, n_redox) energies of the charges in every row."""
        polynomial, n = self.landscape.polynomial, self.landscape.group.n_working
        bits = bit_rows(self.orbits.masks, n)
        if len(polynomial.triplets):
            rows = [polynomial.given(row) for row in bits]
            return np.array([row.constant for row in rows]), np.array([row.linear for row in rows])
        inner = polynomial.pairs[:n, :n]
        constants = polynomial.constant + bits @ polynomial.linear[:n] + 0.5 * ((bits @ inner) * bits).sum(axis=1)
        return constants, polynomial.linear[n:] + bits @ polynomial.pairs[:n, n:]

    def _search(self, bounds: RowBounds, row: int, constants: Floats, linear: Floats, view: NDArray[np.int_]) -> None:
        found = bounds.minimum(linear[row], self.limit - constants[row], int(view[row]))
        self._note(row, constants[row] + found)

    def _note(self, row: int, energy: float) -> None:
        self._searched[row] = True
        self._found[row] = energy
        insort(self._lowest, energy)
        del self._lowest[self.how_many :]

    def _one_by_one(self) -> Floats:
        """Every row searched: where the pair energies of the charges depend on the row, there is no common bound."""
        for row in range(len(self._found)):
            split, remaining = self.landscape.at(self.orbits.bits(row))
            self._note(row, float(split.by_place(remaining.linear, remaining.constant).min()))
            self._progress(row + 1, len(self._found))
        return self._found
