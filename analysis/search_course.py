"""How a search went: every ordering evaluated, in order, and the lowest so far at each composition (paper Fig. 2a, b).

The rows come from the folder of a search (`search.results`, through the command line); no energy of another potential
is among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stores.relative_energy import EV_TO_MEV
from .hull_agreement import Hull, make_hull

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SearchCourse:
    """Evaluations of one search, in the order in which they were done.

    Attributes
    ----------
    title : searcher and what it searched.
    source : the potential.
    working_ion : element symbol.
    names : (n,) joint keys.
    x : (n,) working-ion fractions.
    energies_per_fu : (n,) eV per formula unit.
    """

    title: str
    source: str
    working_ion: str
    names: tuple[str, ...]
    x: Floats
    energies_per_fu: Floats

    def hull(self) -> Hull:
        """Hull of all that was evaluated; errors as in `make_hull`."""
        return make_hull(self.names, self.x, self.energies_per_fu, self.source, "`valenceflow search run HOST -x all`")

    def lowest_so_far(self) -> dict[float, tuple[Floats, Floats]]:
        """Fraction -> (number of the evaluation, lowest energy above the best found there), meV per formula unit."""
        found: dict[float, tuple[Floats, Floats]] = {}
        for fraction in np.unique(self.x):
            here = np.flatnonzero(self.x == fraction)
            running: Floats = np.minimum.accumulate(self.energies_per_fu[here])
            numbers = np.asarray(here + 1, dtype=np.float64)
            found[float(fraction)] = (numbers, EV_TO_MEV * (running - running[-1]))
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per evaluation."""
        values = zip(self.names, self.x.tolist(), self.energies_per_fu.tolist(), strict=True)
        return [
            {"evaluation": number, "ordering": name, "x": x, "energy_ev_per_fu": energy}
            for number, (name, x, energy) in enumerate(values, 1)
        ]
