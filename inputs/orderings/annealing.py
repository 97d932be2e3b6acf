"""Low-energy orderings of spaces too large to list: annealing from many random starts, with its hit rate.

What comes out is the best found, never proven. The share of independent starts that meet the same lowest energy tells
how far to trust it. Each start is a ladder of temperatures with heat-bath steps (`walkers`) and exchanges (`exchange`),
so that what is caught on a cold rung leaves it by a warm one: at equal cost it hits more often than cooling once. Where
fewer than a few starts agree on the lowest, all of them go on for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .energies import BitPolynomial, EnergyModel, Floats, group_of
from .exchange import Exchange
from .group import Bits, JointKey, OrderingGroup, checked_bits
from .walkers import Sublattice, Walkers

HOTTEST, COLDEST, RUNGS = 0.3, 0.03, 8
"""Temperatures of a start's ladder relative to the spread of the energies of random moves, and their number."""

AGREEING = 3
"""Starts that have to meet the lowest energy, or everything goes on."""

AT_MOST = 4
"""Times the sweeps asked for, after which a lowest energy that few starts have met is taken as it is."""

GREEDY = 3
"""Sweeps at zero temperature that end each start."""


@dataclass(frozen=True)
class AnnealedOrdering:
    """The best ordering that annealing found.

    Attributes
    ----------
    key : canonical joint key; where equal energies were found, the smallest.
    energy : eV per supercell.
    status : `best found`: nothing is proven.
    hits : starts that met this energy (in any ordering).
    starts, sweeps, seed : what was run; a sweep redraws as many ions as can move, on every rung of a start's ladder.
    energies : (starts,) lowest energy of each start, eV per supercell.
    model : name of the energy model.
    """

    key: JointKey
    energy: float
    status: Literal["best found"]
    hits: int
    starts: int
    sweeps: int
    seed: int
    energies: Floats
    model: str

    @property
    def hit_rate(self) -> float:
        """Share of the starts that met the best energy."""
        return self.hits / self.starts


Progress = Callable[[int, int], None]


def anneal_joint(
    model: EnergyModel,
    n_occupied: int,
    starts: int = 40,
    sweeps: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> AnnealedOrdering:
    """Search for the lowest ordering of working ions and charges together.

    Parameters
    ----------
    model : the energy model.
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.
    starts : independent random starts.
    sweeps : sweeps of each start; up to four times as many where fewer than three starts meet the lowest energy.
    seed : of the random numbers; the same seed gives the same result.
    progress : called now and then with (sweeps done, sweeps).

    Raises
    ------
    ValueError
        If starts or sweeps is not positive, or no number of high states is neutral.
    """
    group = group_of(model)
    n_high = model.cell.n_high(n_occupied, model.couple)
    sublattices = [Sublattice(group.n_working, n_occupied), Sublattice(group.n_redox, n_high)]
    bits, done = _annealed(model.polynomial, sublattices, starts, sweeps, seed, progress)
    return _best(model, group, bits, done, seed)


def anneal_charges(
    model: EnergyModel,
    working: ArrayLike,
    starts: int = 40,
    sweeps: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> AnnealedOrdering:
    """Search for the lowest charge ordering at one working-ion ordering; parameters as in `anneal_joint`.

    Parameters
    ----------
    working : (n_working,) bool, True = occupied.
    """
    group = group_of(model)
    occupied = checked_bits(working, group.n_working, "working-ion")
    n_high = model.cell.n_high(int(occupied.sum()), model.couple)
    sublattices = [Sublattice(group.n_redox, n_high)]
    charges, done = _annealed(model.polynomial.given(occupied), sublattices, starts, sweeps, seed, progress)
    bits = np.hstack([np.broadcast_to(occupied, (starts, group.n_working)), charges])
    return _best(model, group, bits, done, seed)


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise ValueError(f"{name} = {value} must be at least 1")
    return value


def _best(model: EnergyModel, group: OrderingGroup, bits: Bits, sweeps: int, seed: int) -> AnnealedOrdering:
    energies = model.polynomial.energies(bits)
    lowest = np.flatnonzero(energies == energies.min())
    keys = [group.key(row[: group.n_working], row[group.n_working :]) for row in np.unique(bits[lowest], axis=0)]
    return AnnealedOrdering(
        key=min(keys, key=str),
        energy=float(energies.min()),
        status="best found",
        hits=len(lowest),
        starts=len(bits),
        sweeps=sweeps,
        seed=seed,
        energies=energies,
        model=model.name,
    )


def _annealed(
    polynomial: BitPolynomial,
    sublattices: list[Sublattice],
    starts: int,
    sweeps: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Bits, int]:
    """Lowest arrangement that each start meets, (starts, n_bits), and the sweeps that were made."""
    random = np.random.default_rng(seed)
    probe = Walkers(polynomial, sublattices, _positive(starts, "starts"), random)
    if not probe.movable:
        return probe.bits, _positive(sweeps, "sweeps")
    rungs = probe.spread_of_moves() * np.geomspace(HOTTEST, COLDEST, RUNGS)
    ladders = Exchange(polynomial, sublattices, rungs, starts, random)
    lowest, bits, every = np.full(starts, np.inf), probe.bits, np.arange(starts)
    n_sweeps = _positive(sweeps, "sweeps")
    for done in range(1, AT_MOST * n_sweeps + 1):
        energies = ladders.sweep()
        rung = energies.argmin(axis=1)
        lower = np.flatnonzero(energies[every, rung] < lowest)
        lowest[lower], bits[lower] = energies[lower, rung[lower]], ladders.bits(lower, rung[lower])
        if progress is not None:
            progress(done, n_sweeps * -(-done // n_sweeps))
        if done % n_sweeps == 0 and (lowest == lowest.min()).sum() >= min(AGREEING, starts):
            break
    ends = Walkers(polynomial, sublattices, starts, random, bits)
    for _ in range(GREEDY):
        ends.sweep(0.0)
    return ends.bits, done
