"""Landscapes whose exact optimum is known: what searchers are tested and measured on.

Every working-ion ordering of every composition has an energy: screened electrostatics with its best charge ordering,
many-body terms drawn anew for each landscape, and noise. The spread is that of the paper's DFT energies of charge
orderings (0.33 eV per cell of 24 formula units, Fig. 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..inputs.orderings.energies import Floats
from ..inputs.orderings.group import JointKey
from ..inputs.orderings.halves import Masks
from ..inputs.orderings.listing import mask_of
from ..inputs.supercells import HostSupercell
from ..stores.relative_energy import hull_energies
from .correlations import Correlations, Counts
from .evaluation import Evaluation, Tell
from .space import SearchSpace

SPREAD_EV_PER_FU = 0.35 / 24
"""Standard deviation of the energies at 2/3 of the working ions, eV per formula unit."""


@dataclass(frozen=True)
class LandscapeKind:
    """How a landscape is drawn.

    Attributes
    ----------
    many_body : share of the variance that triplets and quadruplets have; electrostatics has the rest.
    longest : extent of their clusters, A, in the host's cell; None: any.
    noise : standard deviation of independent noise on every ordering, relative to the spread.
    """

    many_body: float = 0.5
    longest: float | None = 7.0
    noise: float = 0.0


KINDS: Mapping[str, LandscapeKind] = {
    "electrostatics": LandscapeKind(many_body=0.0),
    "short": LandscapeKind(),
    "long": LandscapeKind(longest=None, noise=0.1),
}
"""`electrostatics` alone; `short`: with compact many-body terms; `long`: with clusters of any extent, and noise."""


@dataclass(frozen=True, eq=False)
class WorkingOrderings:
    """Every working-ion ordering of some compositions, with what landscapes are drawn from.

    Attributes
    ----------
    space : of kind `ions`, every composition listed.
    masks : composition -> (n,) canonical arrangements, ascending.
    electrostatic : composition -> (n,) energy with the best charge ordering, eV per supercell.
    weights : composition -> (n,) arrangements that each stands for.
    """

    space: SearchSpace
    masks: Mapping[int, Masks]
    electrostatic: Mapping[int, Floats]
    weights: Mapping[int, Floats]

    @classmethod
    def of(cls, space: SearchSpace) -> WorkingOrderings:
        """List them: a millisecond each."""
        found = {n: space.working_minima(n) for n in space.compositions}
        return cls(
            space,
            {n: orbits.masks for n, (orbits, _) in found.items()},
            {n: energies for n, (_, energies) in found.items()},
            {n: orbits.multiplicities.astype(float) for n, (orbits, _) in found.items()},
        )

    @cached_property
    def many_body(self) -> Correlations:
        """Triplets and quadruplets."""
        return Correlations(self.space.group.working_permutations, (3, 4))

    @cached_property
    def extents(self) -> Floats:
        """(n_orbits,) longest distance within a cluster of each orbit of `many_body`, A."""
        distances = _distances(self.space.cell)
        n_sites, found = len(distances), []
        for _, members in self.many_body.orbits:
            sites = [i for i in range(n_sites) if int(members[0]) >> (n_sites - 1 - i) & 1]
            found.append(distances[np.ix_(sites, sites)].max())
        return np.array(found)

    @cached_property
    def correlations(self) -> dict[int, Counts]:
        """Composition -> (n, n_orbits) triplet and quadruplet correlation functions."""
        return {n: self.many_body.of(masks) for n, masks in self.masks.items()}


def _distances(cell: HostSupercell) -> Floats:
    """(n_working, n_working) shortest distances between working-ion sites, A."""
    positions = cell.structure.frac_coords[cell.working_sites]
    return np.asarray(cell.structure.lattice.get_all_distances(positions, positions))


@dataclass(frozen=True, eq=False)
class Landscape:
    """An energy for every working-ion ordering; it has the interface of `Evaluator`.

    Attributes
    ----------
    orderings : whose energies they are.
    energies : composition -> (n,) eV per supercell; 0 for the end members, so that they are relative energies.
    name : kind and seed.
    """

    orderings: WorkingOrderings
    energies: Mapping[int, Floats]
    name: str

    @classmethod
    def drawn(cls, orderings: WorkingOrderings, kind: str, seed: int) -> Landscape:
        """Draw one.

        Parameters
        ----------
        orderings : see there.
        kind : one of `KINDS`.
        seed : of the many-body terms and the noise.

        Raises
        ------
        ValueError
            If the kind is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"landscape {kind!r} is unknown; choose one of {', '.join(KINDS)}")
        drawn, random = KINDS[kind], np.random.default_rng(seed)
        coefficients = random.standard_normal(len(orderings.extents))
        if drawn.longest is not None:
            coefficients[orderings.extents > drawn.longest] = 0.0
        smooth = _mixed(orderings, coefficients.astype(np.float32), drawn.many_body)
        spread = SPREAD_EV_PER_FU * orderings.space.cell.formula_units
        n_sites = orderings.space.group.n_working
        energies = {}
        for n, values in smooth.items():
            noise = drawn.noise * random.standard_normal(len(values)) if 0 < n < n_sites else 0.0
            energies[n] = spread * (values + noise)
        return cls(orderings, energies, f"{kind} {seed}")

    @property
    def identity(self) -> dict[str, Any]:
        """The landscape's name."""
        return {"landscape": self.name}

    def __call__(self, keys: Sequence[JointKey], tell: Tell) -> None:
        """Evaluate orderings by their working ions; the ordering stays."""
        for key in keys:
            n = int(key.working.sum())
            row = int(np.searchsorted(self.orderings.masks[n], np.uint64(mask_of(key.working))))
            tell(Evaluation(key, float(self.energies[n][row]), key))

    def lowest(self, n_working: int) -> float:
        """The exact optimum of a composition, eV per supercell."""
        return float(self.energies[n_working].min())

    def vertices(self) -> dict[int, float]:
        """Composition -> energy of every vertex of the exact hull but the end members."""
        n = self.orderings.space.group.n_working
        numbers = sorted(self.energies)
        lowest = np.array([self.lowest(number) for number in numbers])
        x = np.array(numbers) / n
        found = {}
        for place, number in enumerate(numbers):
            others = np.delete(np.arange(len(numbers)), place)
            line = hull_energies(x[others], lowest[others])
            above = lowest[place] - np.interp(x[place], x[others], line)
            if 0 < number < n and above < -1e-9:
                found[number] = float(lowest[place])
        return found


def _mixed(orderings: WorkingOrderings, coefficients: Floats, many_body: float) -> dict[int, Floats]:
    """Energies with a spread of one at the composition nearest to 2/3, the mean of every composition taken off."""
    n_sites = orderings.space.group.n_working
    reference = min(orderings.masks, key=lambda n: abs(n / n_sites - 2 / 3))
    parts = [
        (1 - many_body, orderings.electrostatic),
        (many_body, _many_body(orderings, coefficients) if many_body else {}),
    ]
    mixed = {n: np.zeros(len(masks)) for n, masks in orderings.masks.items()}
    for share, part in parts:
        if not share:
            continue
        _, spread = _mean_and_spread(part[reference], orderings.weights[reference])
        for n, values in part.items():
            mean, _ = _mean_and_spread(values, orderings.weights[n])
            mixed[n] += np.sqrt(share) * (values - mean) / spread
    return mixed


def _many_body(orderings: WorkingOrderings, coefficients: Floats) -> dict[int, Floats]:
    return {n: counts.astype(np.float32) @ coefficients for n, counts in orderings.correlations.items()}


def _mean_and_spread(values: Floats, weights: Floats) -> tuple[float, float]:
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
