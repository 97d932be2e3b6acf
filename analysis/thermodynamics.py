"""Thermodynamics of orderings from their energies: partition function, electronic entropy, heat capacity, hull at T.

The ordering is the only thing that is excited here: sites do not move, and electrons hop between given sites. At one
working-ion ordering what comes out is the electronic (configurational) entropy of its charges; over all orderings of a
composition that of ions and charges together. Energies are of a finite, periodic supercell: a phase transition shows as
a peak of the heat capacity, whose height and place depend on its size. Beyond the paper, whose Fig. 4 has the energies.

Exact sums are made here, over all arrangements; `thermodynamic_sampling` has estimates with errors for larger spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import comb, log
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import physical_constants

from ..inputs.orderings.energies import EnergyModel, group_of
from ..inputs.orderings.listing import LISTABLE, working_orbits
from ..inputs.orderings.ranking import charge_energies
from ..inputs.orderings.spaces import JointSpace, OrderingSpace
from .hull import hull_energies

BOLTZMANN = float(physical_constants["Boltzmann constant in eV/K"][0])
"""eV/K."""

NEGLIGIBLE = 40.0
"""Exponent beyond that of the number of arrangements at which levels are left out: they add less than 1e-17 in all."""

JOINT_LISTABLE = 3 * LISTABLE
"""Energies that are summed one by one for working ions and charges together."""

BLOCK = 1024
"""Levels summed together, so that their Boltzmann factors stay in the cache."""

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class EnergyLevels:
    """Energies of a supercell with the number of arrangements that has each.

    Attributes
    ----------
    energies : (n_levels,) eV per supercell, ascending, all different.
    arrangements : (n_levels,) whole numbers.
    """

    energies: Floats
    arrangements: Floats

    @classmethod
    def of(cls, energies: ArrayLike, multiplicities: ArrayLike | None = None) -> EnergyLevels:
        """Levels of orderings.

        Parameters
        ----------
        energies : (n,) eV per supercell.
        multiplicities : (n,) arrangements that each stands for; None: one.

        Raises
        ------
        ValueError
            If there is none, a number is not finite, or a multiplicity is not positive.
        """
        values = np.asarray(energies, dtype=float)
        counts = np.ones_like(values) if multiplicities is None else np.asarray(multiplicities, dtype=float)
        if values.ndim != 1 or not len(values) or counts.shape != values.shape:
            raise ValueError(
                f"energies {values.shape} and multiplicities {counts.shape} must be two equal, filled rows"
            )
        if not (np.isfinite(values).all() and np.isfinite(counts).all() and (counts > 0).all()):
            raise ValueError("energies must be finite and multiplicities positive; leave out what has failed")
        order = np.argsort(values)
        values, counts = values[order], counts[order]
        first = np.flatnonzero(np.r_[True, np.diff(values) > 0])
        return cls(values[first], np.add.reduceat(counts, first))

    @property
    def ln_arrangements(self) -> float:
        """Natural logarithm of the number of arrangements: the entropy at infinite temperature over k."""
        return log(self.arrangements.sum())


def charge_levels(model: EnergyModel, working: ArrayLike) -> EnergyLevels:
    """Levels of all charge arrangements at one working-ion ordering.

    Parameters
    ----------
    model : electrostatics or a fitted expansion.
    working : (n_working,) bool, True = occupied.

    Raises
    ------
    ValueError
        If there are too many arrangements to visit each of them.
    """
    return EnergyLevels.of(charge_energies(model, working)[1])


def joint_levels(model: EnergyModel, n_occupied: int, progress: Progress | None = None) -> EnergyLevels:
    """Levels of all arrangements of working ions and charges together.

    Parameters
    ----------
    model : electrostatics or a fitted expansion.
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.
    progress : called with (distinct working-ion orderings done, all of them).

    Raises
    ------
    ValueError
        If there are too many: each distinct working-ion ordering with every charge arrangement is visited.
    """
    group = group_of(model)
    space = JointSpace(group, n_occupied, model.cell.n_high(n_occupied, model.couple))
    if not is_summable(space):
        raise ValueError(
            f"{_joint_visits(space):,} energies of {n_occupied} {model.cell.host.working_ion} and their charges are "
            f"too many to sum (limit {JOINT_LISTABLE:,}); sample them, or take one working-ion ordering"
        )
    orbits = working_orbits(group, n_occupied)
    energies, counts = [], []
    for place in range(len(orbits)):
        levels = charge_levels(model, orbits.bits(place))
        energies.append(levels.energies)
        counts.append(levels.arrangements * int(orbits.multiplicities[place]))
        if progress is not None:
            progress(place + 1, len(orbits))
    return EnergyLevels.of(np.concatenate(energies), np.concatenate(counts))


def is_summable(space: OrderingSpace) -> bool:
    """Whether every arrangement of charges, or of working ions and charges, can be visited."""
    visits = _joint_visits(space) if isinstance(space, JointSpace) else space.raw
    return space.is_listable and visits <= JOINT_LISTABLE


def _joint_visits(space: JointSpace) -> int:
    """Energies that `joint_levels` works out: every charge arrangement at each distinct working-ion ordering."""
    return space.working_ions.distinct * comb(space.group.n_redox, space.n_high)


@dataclass(frozen=True)
class ThermodynamicErrors:
    """Standard errors of a sampled `Thermodynamics`, in its units; (n_temperatures,) each."""

    free_energy: Floats
    energy: Floats
    entropy: Floats
    heat_capacity: Floats


@dataclass(frozen=True, eq=False)
class Thermodynamics:
    """What the orderings of one composition do at finite temperature; all per supercell.

    Attributes
    ----------
    temperatures : (n_temperatures,) K, ascending.
    free_energy, energy : (n_temperatures,) Helmholtz free energy and mean energy, eV.
    entropy, heat_capacity : (n_temperatures,) eV/K.
    ln_arrangements : natural logarithm of the number of arrangements.
    lowest : lowest energy, eV; in a sampled one the lowest that was met.
    n_lowest : arrangements that have it; None where it was sampled.
    peak : the highest maximum of the heat capacity; None where it only rises or falls.
    errors : of the sampling; None: the sums are exact.
    settled : whether the sampled energies had stopped drifting; if not, the errors say too little.
    """

    temperatures: Floats
    free_energy: Floats
    energy: Floats
    entropy: Floats
    heat_capacity: Floats
    ln_arrangements: float
    lowest: float
    n_lowest: int | None
    peak: HeatCapacityPeak | None
    errors: ThermodynamicErrors | None = None
    settled: bool = True

    @property
    def method(self) -> Literal["exact", "sampled"]:
        """Whether every arrangement was summed over."""
        return "exact" if self.errors is None else "sampled"


@dataclass(frozen=True)
class HeatCapacityPeak:
    """The order-disorder temperature of the supercell.

    Attributes
    ----------
    temperature : K.
    heat_capacity : eV/K per supercell.
    error : standard error of the temperature, K; None where the sum is exact.
    """

    temperature: float
    heat_capacity: float
    error: float | None = None


def thermodynamics(levels: EnergyLevels, temperatures: ArrayLike) -> Thermodynamics:
    """Sum over all arrangements.

    Parameters
    ----------
    levels : energies with the number of arrangements that has each.
    temperatures : (n,) K, positive.

    Raises
    ------
    ValueError
        If a temperature is not positive and finite.
    """
    kelvin = checked_temperatures(temperatures)
    z, mean, square = _boltzmann_sums(levels, BOLTZMANN * kelvin)
    free = -BOLTZMANN * kelvin * np.log(z)
    capacity = np.maximum(square - mean**2, 0.0) / (BOLTZMANN * kelvin**2)
    return Thermodynamics(
        temperatures=kelvin,
        free_energy=levels.energies[0] + free,
        energy=levels.energies[0] + mean,
        entropy=(mean - free) / kelvin,
        heat_capacity=capacity,
        ln_arrangements=levels.ln_arrangements,
        lowest=float(levels.energies[0]),
        n_lowest=round(float(levels.arrangements[0])),
        peak=highest_peak(kelvin, capacity),
    )


def _boltzmann_sums(levels: EnergyLevels, kt: Floats) -> tuple[Floats, Floats, Floats]:
    """Partition function, mean and mean square of the energy above the lowest, (n_temperatures,) each; kt ascends."""
    above, number = levels.energies - levels.energies[0], levels.arrangements
    weighted = np.stack([number, number * above, number * above**2])
    sums = np.zeros((3, len(kt)))
    reach = (levels.ln_arrangements + NEGLIGIBLE) * kt
    for start in range(0, len(above), BLOCK):
        block = slice(start, start + BLOCK)
        warm = int(np.searchsorted(reach, above[start]))  # from this temperature on the block counts
        factors = np.multiply.outer(above[block], -1.0 / kt[warm:])
        sums[:, warm:] += weighted[:, block] @ np.exp(factors, out=factors)
    return sums[0], sums[1] / sums[0], sums[2] / sums[0]


def checked_temperatures(temperatures: ArrayLike) -> Floats:
    """(n,) K, ascending, each once.

    Raises
    ------
    ValueError
        If there is none, or one is not positive and finite.
    """
    kelvin = np.unique(np.asarray(temperatures, dtype=float))
    if not len(kelvin) or not (np.isfinite(kelvin) & (kelvin > 0)).all():
        raise ValueError(f"temperatures must be positive numbers of kelvin, got {np.asarray(temperatures).tolist()}")
    return kelvin


def highest_peak(temperatures: Floats, heat_capacity: Floats) -> HeatCapacityPeak | None:
    """The highest maximum inside the range, by a parabola through three points over ln T; None without one."""
    inner = np.flatnonzero((heat_capacity[1:-1] > heat_capacity[:-2]) & (heat_capacity[1:-1] >= heat_capacity[2:]))
    if not len(inner):
        return None
    top = 1 + int(inner[heat_capacity[1:-1][inner].argmax()])
    around = slice(top - 1, top + 2)
    x, y = np.log(temperatures[around]), heat_capacity[around]
    a, b, c = np.polyfit(x - x[1], y, 2)
    shift = float(np.clip(-b / (2 * a), x[0] - x[1], x[2] - x[1]))
    return HeatCapacityPeak(float(np.exp(x[1] + shift)), float((a * shift + b) * shift + c))


def free_energy_hull(compositions: Mapping[float, Thermodynamics], formula_units: int) -> tuple[Floats, Floats]:
    """Free energies of mixing between the end members, and their hull, at every temperature.

    Parameters
    ----------
    compositions : working-ion fraction -> thermodynamics; 0 and 1 among them, all at the same temperatures.
    formula_units : in the supercell.

    Returns
    -------
    mixing, hull : (n_fractions, n_temperatures) eV per formula unit, ascending fractions; F - x F(1) - (1 - x) F(0) as
    Eq. 1 has it for energies.

    Raises
    ------
    ValueError
        If an end member is missing or temperatures differ.
    """
    x = np.array(sorted(compositions))
    if not len(x) or x[0] != 0 or x[-1] != 1:
        raise ValueError(f"a hull needs the fractions 0 and 1, got {x.tolist()}")
    grids = {compositions[value].temperatures.tobytes() for value in x}
    if len(grids) > 1:
        raise ValueError("a hull needs every composition at the same temperatures")
    free = np.array([compositions[value].free_energy for value in x]) / formula_units
    mixing = free - x[:, None] * free[-1] - (1 - x[:, None]) * free[0]
    hull = np.stack([hull_energies(x, column) for column in mixing.T], axis=1)
    return mixing, hull
