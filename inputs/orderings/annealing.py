"""Low-energy orderings of spaces too large to list: swap annealing from many random starts, with its hit rate.

What comes out is the best found, never proven. The share of independent starts that end in the same energy tells how
far to trust it: a lone hit asks for more sweeps. Each step takes one ion (or high state) of every start and redraws its
site among the empty ones from the Boltzmann distribution. Where both sublattices order, some steps redraw an ion and a
high state together: they attract each other's vacancies, and neither gets away alone. The last sweeps are greedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .energies import BitPolynomial, EnergyModel, Floats, group_of
from .group import Bits, JointKey, OrderingGroup, checked_bits

HOTTEST, COLDEST = 0.5, 0.03
"""First and last temperature relative to the spread of the energies of random moves (the surest of a dozen pairs)."""

GREEDY_SHARE = 0.1
"""Share of the sweeps that end the run at zero temperature."""

IONS_PER_PAIR = 6
"""Ions and high states redrawn alone for each pair that is redrawn together, which costs as much as twenty of them."""


@dataclass(frozen=True)
class AnnealedOrdering:
    """The best ordering that annealing found.

    Attributes
    ----------
    key : canonical joint key; where equal energies were found, the smallest.
    energy : eV per supercell.
    status : `best found`: nothing is proven.
    hits : starts that ended at this energy (in any ordering).
    starts, sweeps, seed : what was run; a sweep redraws as many ions as can move.
    energies : (starts,) final energy of each start, eV per supercell.
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
        """Share of the starts that ended at the best energy."""
        return self.hits / self.starts


Progress = Callable[[int, int], None]


def anneal_joint(
    model: EnergyModel,
    n_occupied: int,
    starts: int = 40,
    sweeps: int = 400,
    seed: int = 0,
    progress: Progress | None = None,
) -> AnnealedOrdering:
    """Search for the lowest ordering of working ions and charges together.

    Parameters
    ----------
    model : the energy model.
    n_occupied : working ions in the supercell; neutrality gives the high-state sites.
    starts : independent random starts.
    sweeps : sweeps of each start.
    seed : of the random numbers; the same seed gives the same result.
    progress : called now and then with (sweeps done, sweeps).

    Raises
    ------
    ValueError
        If starts or sweeps is not positive, or no number of high states is neutral.
    """
    group = group_of(model)
    n_high = model.cell.n_high(n_occupied, model.couple)
    run = _Annealing(
        model.polynomial,
        [(slice(0, group.n_working), n_occupied), (slice(group.n_working, None), n_high)],
        _positive(starts, "starts"),
        seed,
    )
    bits = run.run(_positive(sweeps, "sweeps"), progress)
    return _best(model, group, bits, sweeps, seed)


def anneal_charges(
    model: EnergyModel,
    working: ArrayLike,
    starts: int = 40,
    sweeps: int = 400,
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
    run = _Annealing(model.polynomial.given(occupied), [(slice(None), n_high)], _positive(starts, "starts"), seed)
    charges = run.run(_positive(sweeps, "sweeps"), progress)
    bits = np.hstack([np.broadcast_to(occupied, (starts, group.n_working)), charges])
    return _best(model, group, bits, sweeps, seed)


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


class _Annealing:
    """All starts at once: bits, what setting each bit would add, and how that changes when another one is set."""

    def __init__(self, polynomial: BitPolynomial, sublattices: list[tuple[slice, int]], starts: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._every = np.arange(starts)
        n = polynomial.n_bits
        self.bits = np.zeros((starts, n), dtype=bool)
        self._movable: list[NDArray[np.int_]] = []
        for part, n_ones in sublattices:
            sites = np.arange(n)[part]
            chosen = self._random.permuted(np.broadcast_to(sites, (starts, len(sites))), axis=1)[:, :n_ones]
            np.put_along_axis(self.bits, chosen, values=True, axis=1)
            if 0 < n_ones < len(sites):
                self._movable.append(sites)
        x = self.bits.astype(float)
        self._triplets = _dense_triplets(polynomial)
        # Second differences: shared by all starts, but for triplets.
        self._second = polynomial.pairs
        if self._triplets is not None:
            self._second = polynomial.pairs + np.tensordot(x, self._triplets, 1)
            self._first = polynomial.linear + (0.5 * (polynomial.pairs + self._second) @ x[..., None])[..., 0]
        else:
            self._first = polynomial.linear + x @ polynomial.pairs

    def run(self, sweeps: int, progress: Progress | None) -> Bits:
        """Cool down and return the bits of every start."""
        if not self._movable:
            return self.bits
        n_moving = [int(self.bits[0, sites].sum()) for sites in self._movable]
        for done, temperature in enumerate(self._temperatures(sweeps), 1):
            for sites, n_ones in zip(self._movable, n_moving, strict=True):
                for _ in range(n_ones):
                    self._step(sites, temperature)
            if len(self._movable) == 2:
                for _ in range(1 + sum(n_moving) // IONS_PER_PAIR):
                    self._pair_step(temperature)
            if progress is not None:
                progress(done, sweeps)
        return self.bits

    def _temperatures(self, sweeps: int) -> list[float]:
        """Temperature of each sweep, eV: falling by a constant factor, then zero."""
        spread, n_greedy = self._spread(), max(1, round(GREEDY_SHARE * sweeps))
        cooling = spread * np.geomspace(HOTTEST, COLDEST, sweeps - n_greedy)
        return [*cooling.tolist(), *[0.0] * n_greedy]

    def _spread(self) -> float:
        """Standard deviation of the energy of moving one ion to a random empty site."""
        moves: list[Floats] = []
        for sites in self._movable:
            rows = [self._moves(sites, self._occupied(sites)) for _ in range(8)]
            moves.extend(values[np.isfinite(values)] for values in rows)
        return float(np.concatenate(moves).std()) or 1.0

    def _occupied(self, sites: NDArray[np.int_]) -> NDArray[np.int_]:
        """(starts,) a random occupied site of each start."""
        places = np.where(self.bits[:, sites], self._random.random((len(self.bits), len(sites))), -1.0)
        chosen: NDArray[np.int_] = sites[places.argmax(axis=1)]
        return chosen

    def _moves(self, sites: NDArray[np.int_], taken: NDArray[np.int_]) -> Floats:
        """(starts, n_sites) energy of moving the ion from `taken` to each site: 0 where it is, infinite where taken."""
        row = self._row(taken)[:, sites]
        first = self._first[self._every, taken][:, None]
        energies = np.where(self.bits[:, sites], np.inf, self._first[:, sites] - row - first)
        return np.where(sites == taken[:, None], 0.0, energies)

    def _row(self, sites: NDArray[np.int_]) -> Floats:
        """(starts, n_bits) second differences with one site of each start."""
        return self._second[sites] if self._triplets is None else self._second[self._every, sites]

    def _step(self, sites: NDArray[np.int_], temperature: float) -> None:
        """Redraw the site of one random ion of every start."""
        taken = self._occupied(sites)
        chosen = self._drawn(self._moves(sites, taken), temperature)
        self._set(taken, -1)
        self._set(sites[chosen], +1)

    def _pair_step(self, temperature: float) -> None:
        """Redraw the sites of one random ion and one random high state of every start together."""
        one, other = self._movable
        for sites in (one, other):
            self._set(self._occupied(sites), -1)
        first, second = (np.where(self.bits[:, sites], np.inf, self._first[:, sites]) for sites in (one, other))
        between = self._second[..., one[:, None], other]
        energies = first[:, :, None] + second[:, None, :] + between
        chosen = np.divmod(self._drawn(energies.reshape(len(energies), -1), temperature), len(other))
        for sites, place in zip((one, other), chosen, strict=True):
            self._set(sites[place], +1)

    def _drawn(self, energies: Floats, temperature: float) -> NDArray[np.intp]:
        """(starts,) a column of each row, from the Boltzmann distribution; at zero temperature the lowest."""
        if temperature:
            # The smallest energy with Gumbel noise is a draw from the Boltzmann distribution.
            energies = energies + temperature * np.log(self._random.exponential(size=energies.shape))
        lowest: NDArray[np.intp] = energies.argmin(axis=1)
        return lowest

    def _set(self, sites: NDArray[np.int_], sign: int) -> None:
        self._first += sign * self._row(sites)
        self.bits[self._every, sites] = sign > 0
        if self._triplets is not None:
            self._second += sign * self._triplets[sites]


def _dense_triplets(polynomial: BitPolynomial) -> Floats | None:
    """(n_bits, n_bits, n_bits) triplet energies in all six orders, or None where there are none."""
    if not len(polynomial.triplets):
        return None
    dense = np.zeros((polynomial.n_bits,) * 3)
    i, j, k = polynomial.triplet_sites.T
    for a, b, c in ((i, j, k), (i, k, j), (j, i, k), (j, k, i), (k, i, j), (k, j, i)):
        dense[a, b, c] = polynomial.triplets
    return dense
