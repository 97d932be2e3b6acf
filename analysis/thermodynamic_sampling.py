"""Thermodynamics of spaces too large to sum over, by canonical Monte Carlo, every value with its standard error.

The sampling is that of `inputs.orderings.monte_carlo`: independent sets of walkers, whose scatter gives the errors. An
error says how well the walkers agree with each other; that all of them miss the same low-lying orderings it cannot
say, so the lowest energy that was met is given too, to be held against annealing. Energies that still drift are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inputs.orderings.energies import EnergyModel, group_of
from ..inputs.orderings.group import checked_bits
from ..inputs.orderings.monte_carlo import CanonicalSamples, canonical_samples, jackknife
from ..inputs.orderings.walkers import Sublattice
from .thermodynamics import (
    BOLTZMANN,
    ThermodynamicErrors,
    Thermodynamics,
    checked_temperatures,
    highest_peak,
)

UNLIKELY = 2.5
"""Standard errors by which an entropy may lie below zero."""

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]


def sampled_charge_thermodynamics(
    model: EnergyModel,
    working: ArrayLike,
    temperatures: ArrayLike,
    sets: int = 8,
    sweeps: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Thermodynamics:
    """Sample the charge orderings at one working-ion ordering.

    Parameters
    ----------
    model : electrostatics or a fitted expansion.
    working : (n_working,) bool, True = occupied.
    temperatures : (n,) K.
    sets, sweeps, seed, progress : as in `canonical_samples`.

    Raises
    ------
    ValueError
        If a temperature is not positive, or there are too few sets or sweeps for error bars.
    """
    bits = checked_bits(working, len(model.cell.working_sites), "working-ion")
    charges = Sublattice(len(model.cell.redox_sites), model.cell.n_high(int(bits.sum()), model.couple))
    kelvin = checked_temperatures(temperatures)
    polynomial = model.polynomial.given(bits)
    samples = canonical_samples(polynomial, [charges], BOLTZMANN * kelvin, sets, sweeps, seed, progress)
    return estimated(samples, kelvin)


def sampled_joint_thermodynamics(
    model: EnergyModel,
    n_occupied: int,
    temperatures: ArrayLike,
    sets: int = 8,
    sweeps: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Thermodynamics:
    """Sample the orderings of working ions and charges together.

    Parameters
    ----------
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.

    The other parameters and the errors are those of `sampled_charge_thermodynamics`.
    """
    group = group_of(model)
    both = [
        Sublattice(group.n_working, n_occupied),
        Sublattice(group.n_redox, model.cell.n_high(n_occupied, model.couple)),
    ]
    kelvin = checked_temperatures(temperatures)
    samples = canonical_samples(model.polynomial, both, BOLTZMANN * kelvin, sets, sweeps, seed, progress)
    return estimated(samples, kelvin)


def estimated(samples: CanonicalSamples, kelvin: Floats) -> Thermodynamics:
    """Estimates from all sets together, with standard errors by the jackknife over sets.

    Parameters
    ----------
    samples : on a ladder that reaches down to the lowest temperature.
    kelvin : (n_temperatures,) K, ascending.
    """
    values, errors = jackknife(samples.n_sets, lambda kept: _quantities(samples.kept(kept), kelvin))
    free, energy, entropy, capacity = values[:-1].reshape(4, -1)
    error = ThermodynamicErrors(*errors[:-1].reshape(4, -1))
    top = highest_peak(kelvin, capacity)
    return Thermodynamics(
        temperatures=kelvin,
        free_energy=samples.lowest + free,
        energy=samples.lowest + energy,
        entropy=entropy,
        heat_capacity=capacity,
        ln_arrangements=samples.ln_arrangements,
        lowest=samples.lowest,
        n_lowest=None,
        peak=None if top is None else replace(top, error=float(errors[-1])),
        errors=error,
        settled=samples.settled and bool((entropy >= -UNLIKELY * error.entropy).all()),
    )


def _quantities(samples: CanonicalSamples, kelvin: Floats) -> Floats:
    """(4 n_temperatures + 1,) free energy, energy, entropy, heat capacity, and the temperature of the peak."""
    ln_z, mean, variance = samples.reweighted(BOLTZMANN * kelvin)
    free, capacity = -BOLTZMANN * kelvin * ln_z, variance / (BOLTZMANN * kelvin**2)
    peak = highest_peak(kelvin, capacity)
    # Where one set's absence takes the peak away, it counts as being at the edge of the range.
    place = peak.temperature if peak is not None else kelvin[int(capacity.argmax())]
    return np.concatenate([free, mean, (mean - free) / kelvin, capacity, [place]])
