"""Replica exchange: walkers at a ladder of temperatures, so that cold ones are not caught where they are.

Neighbours exchange their rungs by Metropolis' rule (Hukushima and Nemoto, J. Phys. Soc. Jpn. 65 (1996) 1604). Annealing
takes the lowest ordering that a set meets, Monte Carlo the energies on every rung.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .energies import BitPolynomial, Floats
from .group import Bits
from .walkers import Sublattice, Walkers


class Exchange:
    """Walkers on the rungs of a ladder, in independent sets, which exchange their rungs with neighbours.

    Parameters
    ----------
    polynomial : energy of the bits.
    sublattices : the bits in order, each sublattice with its number of ones.
    rungs : (n_rungs,) temperatures, eV, descending.
    sets : independent repetitions.
    random : where they get their numbers from.
    """

    def __init__(
        self,
        polynomial: BitPolynomial,
        sublattices: Sequence[Sublattice],
        rungs: Floats,
        sets: int,
        random: np.random.Generator,
    ) -> None:
        """Place the walkers at random."""
        self._polynomial, self._rungs, self._random = polynomial, rungs, random
        self.walkers = Walkers(polynomial, sublattices, sets * len(rungs), random)
        self._on_rung: NDArray[np.int_] = np.arange(sets * len(rungs)).reshape(sets, len(rungs))
        self._parity = 0

    def sweep(self, temperatures: Floats | None = None) -> Floats:
        """Move every walker, exchange, and return the energies on the rungs, (n_sets, n_rungs).

        Parameters
        ----------
        temperatures : (n_rungs,) eV, for this sweep; None: those of the ladder.
        """
        of_rungs = self._rungs if temperatures is None else temperatures
        of_walkers = np.empty(len(self.walkers))
        of_walkers[self._on_rung] = of_rungs
        self.walkers.sweep(of_walkers)
        energies = self._polynomial.energies(self.walkers.bits)
        self._exchange(energies, of_rungs)
        found: Floats = energies[self._on_rung]
        return found

    def _exchange(self, energies: Floats, temperatures: Floats) -> None:
        """Exchange every second pair of neighbours by Metropolis' rule; the other pairs at the next call."""
        here = np.arange(self._parity, len(temperatures) - 1, 2)
        self._parity = 1 - self._parity
        hot, cold = self._on_rung[:, here], self._on_rung[:, here + 1]
        beta_step = 1.0 / temperatures[here + 1] - 1.0 / temperatures[here]
        gain = beta_step * (energies[cold] - energies[hot])
        accepted = gain >= -self._random.exponential(size=gain.shape)
        self._on_rung[:, here], self._on_rung[:, here + 1] = (
            np.where(accepted, cold, hot),
            np.where(accepted, hot, cold),
        )

    def bits(self, sets: NDArray[np.intp], rungs: NDArray[np.intp]) -> Bits:
        """(n, n_bits) where the walkers on some rungs of some sets are now."""
        found: Bits = self.walkers.bits[self._on_rung[sets, rungs]]
        return found
