"""Many arrangements of one size at once, whose ions and high states jump by heat-bath steps: annealing and Monte Carlo.

A step takes one ion (or high state) of every arrangement and redraws its site among the empty ones, its own included,
from the Boltzmann distribution: detailed balance holds, and nothing is ever rejected. Where more than half of the sites
are full the empty ones are moved instead, which have more places to go to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .energies import BitPolynomial, Floats
from .group import Bits

Sites = NDArray[np.int_]
Temperature = float | Floats


@dataclass(frozen=True)
class Sublattice:
    """Sites of which a number is occupied (or in the high state)."""

    sites: int
    ones: int


def sublattice_slices(sublattices: Sequence[Sublattice]) -> list[slice]:
    """Bits of each sublattice."""
    ends = np.cumsum([0, *(part.sites for part in sublattices)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def random_arrangements(sublattices: Sequence[Sublattice], number: int, random: np.random.Generator) -> Bits:
    """(number, n_bits) arrangements, each equally likely."""
    bits = np.zeros((number, sum(part.sites for part in sublattices)), dtype=bool)
    for part, one in zip(sublattice_slices(sublattices), sublattices, strict=True):
        bits[:, part.start : part.start + one.ones] = True
        bits[:, part] = random.permuted(bits[:, part], axis=1)
    return bits


class Walkers:
    """Bits of every walker, what setting each bit would add, and how that changes when another one is set.

    Parameters
    ----------
    polynomial : energy of the bits.
    sublattices : the bits in order, each sublattice with its number of ones, which steps keep.
    number : walkers.
    random : where they get their numbers from.
    bits : (number, n_bits) bool, where they start; None: anywhere.

    Attributes
    ----------
    bits : (number, n_bits) bool.
    movable : sites of each sublattice that is neither full nor empty.
    n_moving : ions or empty sites of each of them, whichever are fewer.
    """

    def __init__(
        self,
        polynomial: BitPolynomial,
        sublattices: Sequence[Sublattice],
        number: int,
        random: np.random.Generator,
        bits: Bits | None = None,
    ) -> None:
        """Place the walkers."""
        self._random = random
        self._every = np.arange(number)
        self.bits: Bits = random_arrangements(sublattices, number, random) if bits is None else bits.copy()
        parts = sublattice_slices(sublattices)
        moving = [(np.arange(polynomial.n_bits)[part], one.ones) for part, one in zip(parts, sublattices, strict=True)]
        self.movable: list[Sites] = [sites for sites, ones in moving if 0 < ones < len(sites)]
        self.n_moving = [min(ones, len(sites) - ones) for sites, ones in moving if 0 < ones < len(sites)]
        x = self.bits.astype(float)
        self._triplets = _dense_triplets(polynomial)
        # Second differences: shared by all walkers, but for triplets.
        self._second = polynomial.pairs
        if self._triplets is not None:
            self._second = polynomial.pairs + np.tensordot(x, self._triplets, 1)
            self._first = polynomial.linear + (0.5 * (polynomial.pairs + self._second) @ x[..., None])[..., 0]
        else:
            self._first = polynomial.linear + x @ polynomial.pairs

    def __len__(self) -> int:
        return len(self.bits)

    def sweep(self, temperature: Temperature) -> None:
        """Redraw as many ions (or empty sites, where they are fewer) as there are, one after the other.

        Parameters
        ----------
        temperature : eV (k times T), of all walkers or (number,) of each; 0 takes the lowest of the sites.
        """
        for sites, n_ones in zip(self.movable, self.n_moving, strict=True):
            for _ in range(n_ones):
                self.step(sites, temperature)

    def step(self, sites: Sites, temperature: Temperature) -> None:
        """Redraw one random ion or empty site of every walker; `sites` is one of `movable`."""
        moved = self._moved_kind(sites)
        taken = self._random_one(sites, moved)
        energies = self._moves(sites, taken, moved)
        chosen = sites[self._drawn(energies, temperature)]
        self._set(taken, not moved)
        self._set(chosen, moved)

    def spread_of_moves(self) -> float:
        """Standard deviation of the energy of moving one ion anywhere, eV; 1 where nothing depends on it."""
        moves: list[Floats] = [np.zeros(1)]
        for sites in self.movable:
            moved = self._moved_kind(sites)
            rows = [self._moves(sites, self._random_one(sites, moved), moved) for _ in range(8)]
            moves.extend(values[np.isfinite(values)] for values in rows)
        return float(np.concatenate(moves).std()) or 1.0

    def _moved_kind(self, sites: Sites) -> bool:
        """What is rarer on a sublattice: True (ions, high states) or False (empty sites)."""
        return bool(2 * self.bits[0, sites].sum() <= len(sites))

    def _random_one(self, sites: Sites, kind: bool) -> Sites:
        """(number,) a random site of this kind of each walker."""
        places = np.where(self.bits[:, sites] == kind, self._random.random((len(self.bits), len(sites))), -1.0)
        chosen: Sites = sites[places.argmax(axis=1)]
        return chosen

    def _moves(self, sites: Sites, taken: Sites, kind: bool) -> Floats:
        """(number, n_sites) energy of moving what is on `taken` to each site; infinite where it cannot go."""
        row = self._row(taken)[:, sites]
        difference = self._first[:, sites] - self._first[self._every, taken][:, None]
        energies = (difference if kind else -difference) - row
        energies[self.bits[:, sites] == kind] = np.inf
        return np.where(sites == taken[:, None], 0.0, energies)

    def _row(self, sites: Sites) -> Floats:
        """(number, n_bits) second differences with one site of each walker."""
        return self._second[sites] if self._triplets is None else self._second[self._every, sites]

    def _drawn(self, energies: Floats, temperature: Temperature) -> NDArray[np.intp]:
        """(number,) a column of each row, from the Boltzmann distribution; at zero temperature the lowest."""
        if np.any(temperature):
            # The smallest energy with Gumbel noise is a draw from the Boltzmann distribution.
            noise = np.log(self._random.exponential(size=energies.shape))
            energies = energies + np.reshape(temperature, (-1, 1)) * noise
        lowest: NDArray[np.intp] = energies.argmin(axis=1)
        return lowest

    def _set(self, sites: Sites, value: bool) -> None:
        sign = 1 if value else -1
        self._first += sign * self._row(sites)
        self.bits[self._every, sites] = value
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
