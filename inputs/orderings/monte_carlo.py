"""Canonical Monte Carlo of orderings at many temperatures at once, with free energies and error bars.

Heat-bath swaps on a ladder of temperatures whose neighbours exchange (`exchange`). The ladder ends at infinite
temperature, where every arrangement is equally likely and their number is known: Bennett's acceptance ratio (J. Comput.
Phys. 22 (1976) 245) from rung to rung then gives absolute free energies. Everything is done in a few independent sets,
which give the error bars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb, exp, log, prod, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from .energies import BitPolynomial, Floats
from .exchange import Exchange
from .walkers import Sublattice, random_arrangements

HOT = 0.5
"""Spread of all energies over the hottest temperature that is walked at; beyond it arrangements are drawn afresh."""

LEAST_CAPACITY = 4.0
"""In units of k; it keeps the steps between hot rungs below 40 %."""

SETTLING = 0.5
"""Share of the sweeps before anything is measured."""

COOLING = 0.7
"""Share of the settling in which the ladder is cooled to its temperatures."""

DRIFT = 4.0
"""Standard errors by which the halves of a measurement may differ."""

BISECTIONS = 45
"""To 1e-13 of the largest difference."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class CanonicalSamples:
    """Energies met at each rung.

    Attributes
    ----------
    temperatures : (n_rungs,) eV, descending; the first is infinite.
    above : (n_sets, n_rungs, n_measured) eV per supercell above `lowest`.
    lowest : the lowest energy that was met, eV per supercell.
    ln_arrangements : natural logarithm of the number of arrangements.
    """

    temperatures: Floats
    above: Floats
    lowest: float
    ln_arrangements: float

    @property
    def n_sets(self) -> int:
        """Independent sets."""
        return len(self.above)

    @property
    def settled(self) -> bool:
        """Whether both halves of the measurement give the coldest rung the same free energy, within their errors."""
        half = self.above.shape[2] // 2
        before, after = (replace(self, above=part) for part in np.split(self.above[..., : 2 * half], 2, axis=2))
        drift, error = jackknife(self.n_sets, lambda kept: after.kept(kept).ln_cold() - before.kept(kept).ln_cold())
        return bool(abs(drift[0]) <= DRIFT * error[0])

    def kept(self, sets: NDArray[np.int_]) -> CanonicalSamples:
        """Some of the sets."""
        return replace(self, above=self.above[sets])

    def ln_cold(self) -> Floats:
        """(1,) ln Z of the coldest rung."""
        return self.ln_partition[-1:]

    @cached_property
    def ln_partition(self) -> Floats:
        """(n_rungs,) ln sum exp(-(E - lowest)/kT) by Bennett's acceptance ratio from the hottest rung down."""
        steps = -_bennett(np.concatenate(list(self.above), axis=1), np.diff(1.0 / self.temperatures))
        found: Floats = self.ln_arrangements + np.concatenate([np.zeros(1), np.cumsum(steps)])
        return found

    def reweighted(self, temperatures: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Averages at any temperatures within the ladder, from the energies met on all of its rungs.

        An energy met on one rung counts at a temperature by its Boltzmann factor over the chance to meet it on any rung
        (Shirts and Chodera, J. Chem. Phys. 129 (2008) 124105, with the free energies of `ln_partition`), so that what
        is rare where it is cold is known from where it is hot.

        Parameters
        ----------
        temperatures : (n,) eV, none below the coldest rung.

        Returns
        -------
        ln sum exp(-(E - lowest)/kT), mean of E - lowest (eV) and its variance (eV^2), (n,) each.
        """
        every, n_met = self.above.ravel(), self.n_sets * self.above.shape[2]
        chance = np.full(len(every), -np.inf)
        for beta, ln_z in zip(1.0 / self.temperatures, self.ln_partition, strict=True):
            chance = np.logaddexp(chance, log(n_met) - ln_z - beta * every)
        kt = np.asarray(temperatures, dtype=float)
        found = np.empty((3, len(kt)))
        for place, beta in enumerate(1.0 / kt):
            exponents = -beta * every - chance
            top = exponents.max()
            weights = np.exp(exponents - top)
            z = weights.sum()
            mean = float(weights @ every) / z
            found[:, place] = top + np.log(z), mean, float(weights @ (every - mean) ** 2) / z
        return found[0], found[1], found[2]


def jackknife(n_sets: int, estimate: Callable[[NDArray[np.int_]], Floats]) -> tuple[Floats, Floats]:
    """Estimate from all sets, and its standard error from leaving out one after the other.

    Parameters
    ----------
    n_sets : at least 2.
    estimate : of the sets whose numbers it is given, an array of any one shape.
    """
    every = np.arange(n_sets)
    without = np.array([estimate(np.delete(every, one)) for one in every])
    error: Floats = np.sqrt((n_sets - 1) / n_sets * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    return estimate(every), error


def _bennett(energies: Floats, beta_steps: Floats) -> Floats:
    """(n_rungs - 1,) differences of -ln Z between neighbouring rungs, by bisection.

    Parameters
    ----------
    energies : (n_rungs, n_measured) eV.
    beta_steps : (n_rungs - 1,) 1/eV.
    """
    forward = beta_steps[:, None] * energies[:-1]
    backward = beta_steps[:, None] * energies[1:]
    low, high = np.minimum(forward, backward).min(axis=1), np.maximum(forward, backward).max(axis=1)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        excess = expit(middle[:, None] - forward).sum(axis=1) - expit(backward - middle[:, None]).sum(axis=1)
        low, high = np.where(excess < 0, middle, low), np.where(excess < 0, high, middle)
    result: Floats = 0.5 * (low + high)
    return result


def canonical_samples(
    polynomial: BitPolynomial,
    sublattices: Sequence[Sublattice],
    temperatures: ArrayLike,
    sets: int = 8,
    sweeps: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> CanonicalSamples:
    """Sample orderings in thermal equilibrium.

    Parameters
    ----------
    polynomial : energy of the bits.
    sublattices : bits of the polynomial in order, each sublattice with its number of ones.
    temperatures : eV, positive, that the ladder is to span; its rungs are chosen so that neighbours overlap.
    sets : independent repetitions, at least 2: they give the error bars.
    sweeps : of every walker; in one sweep as many ions are redrawn as can move.
    seed : of the random numbers; the same seed gives the same result.
    progress : called with (sweeps done, sweeps).

    Raises
    ------
    ValueError
        If a temperature is not positive and finite, there are fewer than 2 sets or 10 sweeps, or the sublattices do
        not have the polynomial's bits.
    """
    wanted = np.asarray(temperatures, dtype=float)
    if not wanted.size or not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(f"temperatures {wanted.tolist()} eV must be positive")
    if sets < 2 or sweeps < 10:
        raise ValueError(f"{sets} sets of {sweeps} sweeps give no error bars; take at least 2 and 10")
    if sum(part.sites for part in sublattices) != polynomial.n_bits:
        raise ValueError(f"{sublattices} do not have the {polynomial.n_bits} bits of the energy")
    random = np.random.default_rng(seed)
    measured = sweeps - int(SETTLING * sweeps)
    free = polynomial.energies(random_arrangements(sublattices, sets * measured, random))
    rungs = ladder(float(wanted.min()), float(free.std()), _n_moving(sublattices))
    energies = np.empty((sets, 1 + len(rungs), measured))
    energies[:, 0] = free.reshape(sets, measured)
    walk, settling = Exchange(polynomial, sublattices, rungs, sets, random), sweeps - measured
    for sweep in range(sweeps):
        # Settled by cooling: what is quenched to a cold rung takes long to get away again.
        warmth = max(0.0, 1.0 - sweep / (COOLING * settling)) if settling else 0.0
        found = walk.sweep(rungs[0] ** warmth * rungs ** (1.0 - warmth))
        if sweep >= settling:
            energies[:, 1:, sweep - settling] = found
        if progress is not None:
            progress(sweep + 1, sweeps)
    ln_arrangements = log(prod(comb(part.sites, part.ones) for part in sublattices))
    lowest = float(energies.min())
    return CanonicalSamples(np.array([np.inf, *rungs]), energies - lowest, lowest, ln_arrangements)


def ladder(coldest: float, spread: float, n_moving: int) -> Floats:
    """Temperatures to walk at, from where every arrangement is nearly as likely down to the coldest.

    Neighbours overlap where ln(T) differs by no more than one over the root of the heat capacity in units of k. That is
    at most about one for each ion that moves, and (spread / T)^2 where it is hot.

    Parameters
    ----------
    coldest : eV.
    spread : standard deviation of the energies of random arrangements, eV.
    n_moving : ions and high states that can move.

    Returns
    -------
    (n_rungs,) eV, descending.
    """
    rungs = [max(coldest, spread / HOT)]
    while rungs[-1] > coldest:
        capacity = min((spread / rungs[-1]) ** 2, float(n_moving))
        rungs.append(max(coldest, rungs[-1] * exp(-1.0 / sqrt(max(capacity, LEAST_CAPACITY)))))
    return np.array(rungs)


def _n_moving(sublattices: Sequence[Sublattice]) -> int:
    return sum(min(part.ones, part.sites - part.ones) for part in sublattices)
