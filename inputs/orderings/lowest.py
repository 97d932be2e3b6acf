"""The lowest orderings of a space by an energy model: proven where every arrangement can be visited, else best found.

Annealing finds one ordering of a space too large to visit; the lowest ones around it follow by swaps, until every one
of them has been swapped and none lower turned up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from .annealing import anneal_charges, anneal_joint
from .energies import BitPolynomial, EnergyModel, Floats
from .group import Bits
from .optimum import lowest_working_orderings
from .ranking import lowest_charge_orderings
from .spaces import ChargeSpace, JointSpace, Member, OrderingSpace, WorkingSpace
from .strata import LowestFinder

SearchProgress = Callable[[int, int], None]
"""Called now and then with what is done and what there is to do."""

Found = tuple[list[Member], bool]

BEYOND = 10
"""Orderings beyond those asked for that are swapped too: the way to a low one may lead over a higher one."""


def lowest_finder(model: EnergyModel, progress: SearchProgress | None = None) -> LowestFinder:
    """How the lowest orderings of a space are found under an energy model.

    A working-ion ordering has the energy of its best charge ordering.

    Parameters
    ----------
    model : the energy model.
    progress : called now and then with (done, to do).
    """

    def find(space: OrderingSpace, how_many: int) -> Found:
        if isinstance(space, ChargeSpace):
            return _lowest_charges(model, space, how_many, progress)
        if isinstance(space, WorkingSpace):
            return _lowest_working(model, space, how_many, progress)
        assert isinstance(space, JointSpace)  # there are three kinds
        return _lowest_joint(model, space, how_many, progress)

    return find


def _lowest_charges(model: EnergyModel, space: ChargeSpace, how_many: int, progress: SearchProgress | None) -> Found:
    if space.is_listable:
        found = lowest_charge_orderings(model, space.working, how_many)
        rows = zip(found.multiplicities.tolist(), found.energies.tolist(), strict=True)
        return [Member(found.charge(i), m, energy) for i, (m, energy) in enumerate(rows)], True
    start = anneal_charges(model, space.working, progress=progress).key.charge
    assert start is not None
    return _around(space, start, how_many, model.polynomial.given(space.working).energies), False


def _lowest_working(model: EnergyModel, space: WorkingSpace, how_many: int, progress: SearchProgress | None) -> Found:
    n_high = model.cell.n_high(space.n_ones, model.couple)
    charges_listable = JointSpace(space.group, space.n_ones, n_high).charges_at(_first(space)).is_listable
    if space.is_listable and charges_listable:
        found = lowest_working_orderings(model, space.n_ones, how_many, progress)
        return [Member(one.working, one.working_multiplicity, one.energy) for one in found.orderings], True
    best = anneal_joint(model, space.n_ones, progress=progress).key
    assert best.charge is not None
    charge = best.charge

    def energies(rows: Bits) -> Floats:
        if charges_listable:
            return np.array([lowest_charge_orderings(model, row).energies[0] for row in rows])
        return np.array([_descended(model.polynomial.given(row), charge) for row in rows])

    return _around(space, best.working, how_many, energies), False


def _first(space: WorkingSpace) -> Bits:
    bits: Bits = np.arange(space.n_sites) < space.n_ones
    return bits


def _lowest_joint(model: EnergyModel, space: JointSpace, how_many: int, progress: SearchProgress | None) -> Found:
    """The K lowest lie in the K working-ion orderings whose best charge ordering is lowest."""
    working, proven = _lowest_working(model, space.working_ions, how_many, progress)
    members = []
    for one in working:
        charges, sure = _lowest_charges(model, space.charges_at(one.bits), how_many, None)
        for charge in charges:
            both = np.concatenate([one.bits, charge.bits])
            members.append(Member(both, one.multiplicity * charge.multiplicity, charge.energy))
        proven = proven and sure
    members.sort(key=lambda member: (member.energy, member.bits.tolist()))
    return members[:how_many], proven


def _around(space: OrderingSpace, start: Bits, how_many: int, energies: Callable[[Bits], Floats]) -> list[Member]:
    """The lowest orderings that swaps reach from a low one, ascending, ties by key."""
    width = how_many + BEYOND
    known: dict[bytes, tuple[float, Bits]] = {}
    swapped: set[bytes] = set()
    rows = np.array([start])
    while True:
        _take(known, space, rows, energies(rows), width)
        lowest = sorted(known, key=lambda name: (known[name][0], name))[:width]
        unswapped = [name for name in lowest if name not in swapped]
        if not unswapped:
            return [space.member(bits, energy) for energy, bits in (known[name] for name in lowest[:how_many])]
        swapped.add(unswapped[0])
        rows = _swaps(known[unswapped[0]][1])


def _take(known: dict[bytes, tuple[float, Bits]], space: OrderingSpace, rows: Bits, values: Floats, width: int) -> None:
    """Remember rows that may be among the lowest."""
    limit = sorted(energy for energy, _ in known.values())[width - 1] if len(known) >= width else np.inf
    for place in np.flatnonzero(values <= limit):
        bits = space.canonical(rows[place])
        known.setdefault(np.packbits(bits).tobytes(), (float(values[place]), bits))


def _swaps(bits: Bits) -> Bits:
    """(n_swaps, n_sites) every arrangement in which a one and a zero have changed places."""
    pairs = np.array(list(product(np.flatnonzero(bits), np.flatnonzero(~bits)))).reshape(-1, 2)
    rows = np.repeat(bits[None, :], len(pairs), axis=0)
    rows[np.arange(len(pairs)), pairs[:, 0]] = False
    rows[np.arange(len(pairs)), pairs[:, 1]] = True
    return rows


def _descended(polynomial: BitPolynomial, charge: Bits) -> float:
    """Energy of the charge ordering that swaps lead down to."""
    energy = float(polynomial.energies(charge))
    while True:
        rows = _swaps(charge)
        values = polynomial.energies(rows)
        if not len(rows) or values.min() >= energy:
            return energy
        charge, energy = rows[int(values.argmin())], float(values.min())
