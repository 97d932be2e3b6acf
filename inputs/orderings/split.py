"""Energies of every arrangement of n ones at once: the sites are cut in two halves, each block is one matrix product.

The energy of an arrangement is f(a) + f(b) + a J b over its halves a and b, so a block of `halves` is the product of
two thin matrices: 735,471 energies of 24 sites take 1 ms and no more memory than they fill.
"""

from __future__ import annotations

import numpy as np

from .energies import BitPolynomial, Floats
from .halves import Halves, halves


class SplitEnergies:
    """Energies of all arrangements for one set of pair (and triplet) energies and any linear ones.

    Parameters
    ----------
    polynomial : over the sites; its linear and constant terms are given anew with each call.
    n_ones : ones in each arrangement.
    """

    def __init__(self, polynomial: BitPolynomial, n_ones: int) -> None:
        """Do everything that does not depend on the linear energies."""
        self.halves = cut = halves(polynomial.n_bits, n_ones)
        n = cut.n_first
        self._first = _within(polynomial, slice(0, n)).energies(cut.first)
        self._second = _within(polynomial, slice(n, None)).energies(cut.second)
        left, right = _crossing(polynomial, cut)
        ones = np.ones((len(left), 1)), np.ones((len(right), 1))
        # E = [left, f(a), 1] @ [right, 1, f(b)]: the columns of ones carry the energies of the halves into the product.
        self._left = np.hstack([left, np.zeros((len(left), 1)), ones[0]])
        self._right = np.ascontiguousarray(np.hstack([right, ones[1], np.zeros((len(right), 1))]).T)
        self._space = np.empty(len(cut))

    def half_energies(self, linear: Floats, constant: float = 0.0) -> tuple[Floats, Floats]:
        """Energies within either half, (n_first_halves,) and (n_second_halves,); the constant goes to the first."""
        n = self.halves.n_first
        first: Floats = self._first + self.halves.first @ linear[:n] + constant
        second: Floats = self._second + self.halves.second @ linear[n:]
        return first, second

    def blocks(self, linear: Floats, constant: float = 0.0) -> list[Floats]:
        """Energies block by block, in a space that the next call uses again."""
        self._left[:, -2], self._right[-1] = self.half_energies(linear, constant)
        made, start = [], 0
        for rows, columns in self.halves.blocks:
            height, width = rows.stop - rows.start, columns.stop - columns.start
            block = self._space[start : start + height * width].reshape(height, width)
            np.matmul(self._left[rows], self._right[:, columns], out=block)
            made.append(block)
            start += height * width
        return made

    def by_place(self, linear: Floats, constant: float = 0.0) -> Floats:
        """(n_arrangements,) energies block by block, in a space that the next call uses again."""
        self.blocks(linear, constant)
        return self._space

    def ascending(self, linear: Floats, constant: float = 0.0) -> Floats:
        """(n_arrangements,) energies in the order of ascending masks."""
        self.blocks(linear, constant)
        return self._space.take(self.halves.ascending)


def _within(polynomial: BitPolynomial, part: slice) -> BitPolynomial:
    """The pair and triplet terms inside one half."""
    start, stop, _ = part.indices(polynomial.n_bits)
    inside = ((polynomial.triplet_sites >= start) & (polynomial.triplet_sites < stop)).all(axis=1)
    return BitPolynomial(
        0.0,
        np.zeros(stop - start),
        polynomial.pairs[part, part],
        polynomial.triplet_sites[inside] - start,
        polynomial.triplets[inside],
        polynomial.resolution,
    )


def _crossing(polynomial: BitPolynomial, cut: Halves) -> tuple[Floats, Floats]:
    """Two thin matrices whose product is the energy between the halves."""
    n = cut.n_first
    left = [cut.first @ polynomial.pairs[:n, n:]]
    right = [cut.second]
    before = (polynomial.triplet_sites < n).sum(axis=1)
    for sites, value in zip(polynomial.triplet_sites[before == 2], polynomial.triplets[before == 2], strict=True):
        left[0][:, sites[2] - n] += value * cut.first[:, sites[0]] * cut.first[:, sites[1]]
    single = before == 1
    if single.any():
        sites, values = polynomial.triplet_sites[single], polynomial.triplets[single]
        pairs, which = np.unique(sites[:, 1:], axis=0, return_inverse=True)
        of_first = np.zeros((n, len(pairs)))
        np.add.at(of_first, (sites[:, 0], which.ravel()), values)
        left.append(cut.first @ of_first)
        right.append(cut.second[:, pairs[:, 0] - n] * cut.second[:, pairs[:, 1] - n])
    return np.hstack(left), np.hstack(right)
