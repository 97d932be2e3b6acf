"""Bounds that let whole working-ion orderings be skipped in the search for the joint optimum, and their proof.

With the working ions fixed (a row), the energy of the charge bits c is e + h.c + T(c): e and h depend on the row, the
interaction T of the charges does not. Cut c into halves a and b. For each number of ones in the first half choose
potentials u, v with

    u(a) + v(b) <= T(a, b) for all a and b:

from any start v, u(a) = min_b [T(a, b) - v(b)] and then v(b) = min_a [T(a, b) - u(a)]. (The second step only raises
v, as u(a) + v(b) <= T(a, b) held before it.) Then for every arrangement of the row

    E = e + h.a + h.b + T(a, b) >= e + [h.a + u(a)] + [h.b + v(b)],

and the row's minimum is at least e + min_a [h.a + u(a)] + min_b [h.b + v(b)], minimised over the numbers of ones: two
minima over some thousand halves in the place of one over their product. Inside a row the same inequality drops every
half a whose own [h.a + u(a)] plus the least [h.b + v(b)] is above the limit, and so for b; the limit is the least
energy found, first of all those with the half whose own term is least. T does not change under the operations of the
group, so a row may be looked at through any of them: the largest of these bounds holds. Every number is a multiple of
the energy's resolution, hence exact; a limit is compared without a tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .energies import BitPolynomial, Floats
from .halves import Halves, halves
from .split import SplitEnergies

MAX_VIEWS = 6
"""Operations through which a row is looked at before it is searched."""

RESTARTS = 10
"""Random starts of the search for the cut."""

CHUNK = 128
"""Rows bounded at a time, so that their halves stay in the cache."""


@dataclass(frozen=True, eq=False)
class RowBounds:
    """Lower bounds on the lowest energy of many rows, and the exact minimum of one.

    Attributes
    ----------
    polynomial : energy of the charge bits; only its pair and triplet terms (T above) count.
    n_ones : high-state sites.
    permutations : (n_operations, n_sites) operations under which T does not change.
    """

    polynomial: BitPolynomial
    n_ones: int
    permutations: NDArray[np.int_]

    @cached_property
    def views(self) -> NDArray[np.int_]:
        """(n_views, n_sites) site orders that cut the sites differently though T looks the same in each of them."""
        n_first = self.polynomial.n_bits // 2
        order = loosest_cut(self.polynomial.pairs)
        seen: set[frozenset[int]] = set()
        found: list[NDArray[np.int_]] = []
        for row in self.permutations:
            sides = frozenset(row[order[:n_first]].tolist()), frozenset(row[order[n_first:]].tolist())
            if not seen.intersection(sides) and len(found) < MAX_VIEWS:
                seen.update(sides)
                found.append(row[order])
        return np.array(found)

    @cached_property
    def _halves(self) -> Halves:
        return halves(self.polynomial.n_bits, self.n_ones)

    @cached_property
    def _interaction(self) -> list[Floats]:
        """T, block by block, in the site order of the first view."""
        split = SplitEnergies(_reordered(self.polynomial, self.views[0]), self.n_ones)
        return split.blocks(np.zeros(self.polynomial.n_bits))

    @cached_property
    def _potentials(self) -> tuple[Floats, Floats]:
        """The potentials u and v of every half."""
        first, second = [], []
        for block in self._interaction:
            # Half of T's own minimum is a start that shares the energy evenly; rounded to stay on the grid.
            start = np.floor(block.min(axis=0) / 2 / self.polynomial.resolution) * self.polynomial.resolution
            first.append((block - start).min(axis=1))
            second.append((block - first[-1][:, None]).min(axis=0))
        return np.concatenate(first), np.concatenate(second)

    @cached_property
    def _tables(self) -> tuple[Floats, Floats]:
        """Per half the matrix whose product with [h, 1] is h.a + u(a), transposed."""
        cut = self._halves
        pairs = zip((cut.first, cut.second), self._potentials, strict=True)
        first, second = (np.ascontiguousarray(np.column_stack([bits, u]).T) for bits, u in pairs)
        return first, second

    def _half_energies(self, linear: Floats, view: int) -> tuple[Floats, Floats]:
        """h.a + u(a) and h.b + v(b) of rows, (n_rows, n_first_halves) and (n_rows, n_second_halves)."""
        n_first = self._halves.n_first
        seen = linear[:, self.views[view]]
        ones = np.ones((len(linear), 1))
        tables = self._tables
        return (
            np.hstack([seen[:, :n_first], ones]) @ tables[0],
            np.hstack([seen[:, n_first:], ones]) @ tables[1],
        )

    def bounds(self, linear: Floats, view: int = 0) -> Floats:
        """Lower bounds on min_c [h.c + T(c)].

        Parameters
        ----------
        linear : (n_rows, n_sites) h of each row, eV.
        view : which of `views` to look through.

        Returns
        -------
        (n_rows,) eV.
        """
        found = np.empty(len(linear))
        for start in range(0, len(linear), CHUNK):
            first, second = self._half_energies(linear[start : start + CHUNK], view)
            per_block = [
                first[:, rows].min(axis=1) + second[:, columns].min(axis=1) for rows, columns in self._halves.blocks
            ]
            found[start : start + CHUNK] = np.min(per_block, axis=0)
        return found

    def minimum(self, linear: Floats, limit: float, view: int = 0) -> float:
        """Find the exact minimum of one row, if it does not lie above a limit.

        Parameters
        ----------
        linear : (n_sites,) h, eV.
        limit : eV; infinity for no limit.
        view : which of `views` to look through.

        Returns
        -------
        min_c [h.c + T(c)], eV, or infinity where it is above the limit.
        """
        cut = self._halves
        first, second = (values[0] for values in self._half_energies(linear[None], view))
        u, v = self._potentials
        ends = [(first[rows], second[columns]) for rows, columns in cut.blocks]
        bounds = np.array([near.min() + far.min() for near, far in ends])
        lowest = np.inf
        for number in np.argsort(bounds, kind="stable"):
            if bounds[number] > limit:
                break
            (near, far), (rows, columns) = ends[number], cut.blocks[number]
            # h.a alone is (h.a + u(a)) - u(a)
            here = _Sums(self._interaction[number], near - u[rows], far - v[columns])
            limit = min(limit, here.least_of_row(int(near.argmin())), here.least_of_column(int(far.argmin())))
            kept = np.flatnonzero(near <= limit - far.min())
            also = np.flatnonzero(far <= limit - near.min())
            if len(kept) and len(also):
                least = here.least(kept, also)
                if least <= limit:  # of a block above the limit, parts were dropped
                    lowest = limit = least
        return lowest


@dataclass(frozen=True, eq=False)
class _Sums:
    """The energies T(a, b) + h.a + h.b of one block.

    Attributes
    ----------
    block : (n_first, n_second) T.
    first, second : (n_first,) h.a and (n_second,) h.b.
    """

    block: Floats
    first: Floats
    second: Floats

    def least_of_row(self, a: int) -> float:
        """Of all b."""
        return float((self.block[a] + self.second).min() + self.first[a])

    def least_of_column(self, b: int) -> float:
        """Of all a."""
        return float((self.block[:, b] + self.first).min() + self.second[b])

    def least(self, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> float:
        """Of some a and b."""
        inside = self.block if (len(rows), len(columns)) == self.block.shape else self.block[np.ix_(rows, columns)]
        return float((inside + self.first[rows, None] + self.second[columns]).min())


def _reordered(polynomial: BitPolynomial, order: NDArray[np.int_]) -> BitPolynomial:
    """The same energies with bit i of the new polynomial being bit order[i] of the old one."""
    place = np.argsort(order)
    return BitPolynomial(
        polynomial.constant,
        polynomial.linear[order],
        polynomial.pairs[np.ix_(order, order)],
        np.sort(place[polynomial.triplet_sites], axis=1),
        polynomial.triplets,
        polynomial.resolution,
    )


def loosest_cut(pairs: Floats) -> NDArray[np.int_]:
    """Order the sites so that the halves interact as additively as possible: where they do, the bounds are sharp.

    Parameters
    ----------
    pairs : (n_sites, n_sites) pair energies.

    Returns
    -------
    (n_sites,) site indices, those of the first half first: a local optimum, from seeded random starts, of the squares
    that remain of the block between the halves when the best sum of row and column terms is taken off.
    """
    n = len(pairs)
    half = n // 2
    random = np.random.default_rng(0)
    i, j = np.divmod(np.arange(half * (n - half)), max(1, n - half))
    best = np.arange(n)
    lowest = np.inf
    for _ in range(RESTARTS if half else 0):
        order = random.permutation(n)
        value = float(_remainder(pairs[np.ix_(order[:half], order[half:])]))
        while True:
            first, second = (np.repeat(part[None], len(i), axis=0) for part in (order[:half], order[half:]))
            first[np.arange(len(i)), i], second[np.arange(len(i)), j] = order[half + j], order[i]
            swapped = _remainder(pairs[first[:, :, None], second[:, None, :]])
            k = int(swapped.argmin())
            if swapped[k] >= value * (1 - 1e-9):
                break
            value, order = float(swapped[k]), np.concatenate([first[k], second[k]])
        if value < lowest * (1 - 1e-9):
            best, lowest = order, value
    return best


def _remainder(blocks: Floats) -> Floats:
    """(...) sum of squares of (..., n, m) matrices after the best sum of row and column terms is taken off."""
    centred = blocks - blocks.mean(axis=-1, keepdims=True)
    centred = centred - centred.mean(axis=-2, keepdims=True)
    remainder: Floats = (centred**2).sum(axis=(-2, -1))
    return remainder
