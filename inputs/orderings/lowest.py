"""The lowest orderings of a space by an energy model: exactly where every arrangement can be visited."""

from __future__ import annotations

from collections.abc import Sequence

from .energies import EnergyModel
from .ranking import lowest_charge_orderings
from .spaces import Member, OrderingSpace
from .strata import LowestFinder


def lowest_finder(model: EnergyModel) -> LowestFinder:
    """How the lowest orderings of a space are found under an energy model.

    A working-ion ordering has the energy of its best charge ordering.
    """

    def find(space: OrderingSpace, how_many: int) -> tuple[Sequence[Member], bool]:
        if space.working is None:
            return _lowest_working_orderings(model, space, how_many)
        return _lowest_charge_orderings(model, space, how_many)

    return find


def _lowest_charge_orderings(model: EnergyModel, space: OrderingSpace, how_many: int) -> tuple[Sequence[Member], bool]:
    assert space.working is not None
    found = lowest_charge_orderings(model, space.working, how_many)
    rows = zip(found.multiplicities.tolist(), found.energies.tolist(), strict=True)
    return [Member(found.charge(i), m, energy) for i, (m, energy) in enumerate(rows)], True


def _lowest_working_orderings(model: EnergyModel, space: OrderingSpace, how_many: int) -> tuple[Sequence[Member], bool]:
    ranked = []
    for place, member in enumerate(space.members()):
        energy = float(lowest_charge_orderings(model, member.bits).energies[0])
        ranked.append((energy, place, member))
    ranked.sort(key=lambda row: row[:2])
    return [Member(member.bits, member.multiplicity, energy) for energy, _, member in ranked[:how_many]], True
