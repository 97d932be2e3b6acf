"""What searches have found, as rows: read from the folders of one or several of them, without any potential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..inputs.orderings.group import JointKey
from ..stores.relative_energy import EV_TO_MEV, hull_energies, relative_energies
from .evaluation import Evaluation


@dataclass(frozen=True)
class FoundOrdering:
    """One evaluated ordering.

    Attributes
    ----------
    key : the ordering that was meant.
    achieved : the one that came out; None where it cannot be told.
    fraction : of working ions.
    energy : eV per supercell.
    relative_mev_per_fu : relative to the end members (Eq. 1), meV per formula unit; None without both of them.
    above_hull_mev_per_fu : above the hull of all that was found; None as before.
    deviation : of an ensemble, eV per supercell; None without one.
    """

    key: JointKey
    achieved: JointKey | None
    fraction: float
    energy: float
    relative_mev_per_fu: float | None
    above_hull_mev_per_fu: float | None
    deviation: float | None

    def plain(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "key": str(self.key), "achieved": None if self.achieved is None else str(self.achieved)}


def found_orderings(evaluations: Sequence[Evaluation], formula_units: int) -> list[FoundOrdering]:
    """Evaluations with an energy, by composition and then energy.

    Parameters
    ----------
    evaluations : of one potential.
    formula_units : of the supercell.
    """
    counting = [one for one in evaluations if one.counts]
    x = np.array([one.key.working.mean() for one in counting])
    energies = np.array([one.energy for one in counting])
    relative, above = _relative(x, energies / formula_units)
    rows = [
        FoundOrdering(
            key=one.key,
            achieved=one.achieved,
            fraction=float(x[i]),
            energy=one.energy,
            relative_mev_per_fu=None if relative is None else float(relative[i]),
            above_hull_mev_per_fu=None if above is None else float(above[i]),
            deviation=one.deviation,
        )
        for i, one in enumerate(counting)
    ]
    return sorted(rows, key=lambda row: (row.fraction, row.energy, str(row.key)))


def _relative(x: Any, per_fu: Any) -> tuple[Any, Any]:
    """Relative energies and heights above the hull, meV per formula unit; None without both end members."""
    if not {0.0, 1.0} <= set(x.tolist()):
        return None, None
    relative = EV_TO_MEV * relative_energies(per_fu, x, per_fu[x == 1].min(), per_fu[x == 0].min())
    return relative, relative - hull_energies(x, relative)


def missing_end_members(rows: Sequence[FoundOrdering]) -> list[str]:
    """End members without an energy, as words."""
    there = {row.fraction for row in rows}
    return [f"x = {x:g}" for x in (0.0, 1.0) if x not in there]
