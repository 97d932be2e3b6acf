"""Distinct orderings drawn uniformly from spaces of any size, without listing them.

By Burnside's lemma the pairs (operation, arrangement that it fixes) hold each orbit equally often, as often as the
group has operations. So a pair drawn uniformly is an orbit drawn uniformly (Dixon and Wilf, J. Algorithms 4 (1983)
205). An arrangement is fixed when it is constant on each cycle of the operation, and the n-th one is found by counting.
Draw i depends on the seed and i alone, so a sample can grow without changing its earlier members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, count
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from .group import Bits, OrderingGroup, count_text, cycle_lengths, cycles, smallest_image
from .sampling import Weight


@dataclass(frozen=True)
class SampledOrbits:
    """Distinct arrangements in the order in which they were drawn.

    Attributes
    ----------
    bits : (n, n_sites) bool, the canonical image of each.
    multiplicities : (n,) arrangements in each orbit.
    n_orbits : distinct arrangements that exist, by Burnside's lemma.
    weight : `orbits`: each orbit was equally likely; `arrangements`: each arrangement.
    """

    bits: Bits
    multiplicities: NDArray[np.int_]
    n_orbits: int
    weight: Weight

    def __len__(self) -> int:
        return len(self.bits)


def sample_orbits(
    permutations: NDArray[np.int_], n_ones: int, how_many: int, seed: int, weight: Weight = "arrangements"
) -> SampledOrbits:
    """Draw distinct arrangements of `n_ones` ones on one sublattice.

    Parameters
    ----------
    permutations : (n_operations, n_sites) a group acting on the sites (the stabiliser of a working-ion ordering, say).
    n_ones : ones in each arrangement.
    how_many : distinct arrangements wanted.
    seed : the sample's seed.
    weight : `arrangements`: each arrangement equally likely; `orbits`: each orbit equally likely.

    Raises
    ------
    ValueError
        If more are wanted than exist, n_ones lies outside 0..n_sites, or the weight is neither of the two.
    """
    return _sample(permutations, [(0, permutations.shape[1], n_ones)], how_many, seed, weight)


def sample_joint_orbits(
    group: OrderingGroup, n_occupied: int, n_high: int, how_many: int, seed: int, weight: Weight = "arrangements"
) -> SampledOrbits:
    """Draw distinct joint orderings; the bits are working ++ charge, so their halves make a `JointKey`.

    Parameters and errors as in `sample_orbits`, with `n_occupied` working ions and `n_high` high states.
    """
    n, total = group.n_working, group.n_working + group.n_redox
    return _sample(group.permutations, [(0, n, n_occupied), (n, total, n_high)], how_many, seed, weight)


Part = tuple[int, int, int]
"""First site, site after the last, ones: a sublattice that keeps its number of ones."""


def _sample(
    permutations: NDArray[np.int_], parts: Sequence[Part], how_many: int, seed: int, weight: Weight
) -> SampledOrbits:
    if weight not in get_args(Weight):
        raise ValueError(f"weight = {weight!r} must be one of {', '.join(get_args(Weight))}")
    for start, stop, n_ones in parts:
        if not 0 <= n_ones <= stop - start:
            raise ValueError(f"n_ones = {n_ones} lies outside 0..{stop - start}")
    operations = np.unique(permutations, axis=0)
    orbits = FixedPoints(operations, tuple(parts))
    n_orbits = orbits.total // len(operations)
    if not 0 < how_many <= n_orbits:
        raise ValueError(f"{how_many} distinct orderings were asked for, but {count_text(n_orbits)} exist")
    source = orbits if weight == "orbits" else FixedPoints(np.arange(permutations.shape[1])[None], tuple(parts))
    found: dict[bytes, Bits] = {}
    for bits in source.draws(seed):
        smallest = smallest_image(bits, operations)
        found.setdefault(smallest.tobytes(), smallest)
        if len(found) == how_many:
            break
    rows = np.array(list(found.values()))
    fixing = np.array([(row[operations] == row).all(axis=1).sum() for row in rows])
    return SampledOrbits(rows, len(operations) // fixing, n_orbits, weight)


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """The pairs (operation, arrangement that it fixes), numbered without listing them.

    Attributes
    ----------
    operations : (n_operations, n_sites) permutations.
    parts : the sublattices and their numbers of ones.
    """

    operations: NDArray[np.int_]
    parts: tuple[Part, ...]

    @cached_property
    def _ways(self) -> list[list[list[list[int]]]]:
        """Per operation and part: in how many ways the first cycles hold a number of ones (`_ways_to_fill`)."""
        return [
            [_ways_to_fill(cycle_lengths(row[start:stop] - start), n_ones) for start, stop, n_ones in self.parts]
            for row in self.operations
        ]

    @cached_property
    def _ends(self) -> list[int]:
        """Number of pairs up to and including each operation; Python integers, as they outgrow 64 bits."""
        per_operation = []
        for of_parts in self._ways:
            product = 1
            for ways, (_, _, n_ones) in zip(of_parts, self.parts, strict=True):
                product *= ways[-1][n_ones]
            per_operation.append(product)
        return list(accumulate(per_operation))

    @property
    def total(self) -> int:
        """Number of pairs: the number of orbits times that of operations."""
        return self._ends[-1]

    def draws(self, seed: int) -> Iterator[Bits]:
        """Arrangements of uniformly drawn pairs, without end."""
        for number in count():
            digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
            # 256 random bits scaled to the number of pairs: even 10^40 of them are equally likely to 1 in 10^36.
            yield self[int.from_bytes(digest, "big") * self.total >> 256]

    def __getitem__(self, number: int) -> Bits:
        """Arrangement of a pair, by the pair's number."""
        operation = next(i for i, end in enumerate(self._ends) if number < end)
        number -= self._ends[operation - 1] if operation else 0
        bits = np.zeros(self.operations.shape[1], dtype=bool)
        for ways, (start, stop, n_ones) in zip(self._ways[operation], self.parts, strict=True):
            number, here = divmod(number, ways[-1][n_ones])
            of_part = self.operations[operation, start:stop] - start
            bits[start:stop][_filled_sites(cycles(of_part), ways, n_ones, here)] = True
        return bits


def _ways_to_fill(lengths: Sequence[int], n_ones: int) -> list[list[int]]:
    """[i][k]: ways in which the first i cycles, each full or empty, hold k ones."""
    ways = [[1] + [0] * n_ones]
    for length in lengths:
        before = ways[-1]
        ways.append([before[k] + (before[k - length] if k >= length else 0) for k in range(n_ones + 1)])
    return ways


def _filled_sites(of_cycles: Sequence[Sequence[int]], ways: list[list[int]], n_ones: int, number: int) -> list[int]:
    """Sites of the full cycles in the `number`-th way to fill them."""
    filled: list[int] = []
    for i in range(len(of_cycles) - 1, -1, -1):
        if number >= ways[i][n_ones]:  # past the ways that leave this cycle empty
            number -= ways[i][n_ones]
            n_ones -= len(of_cycles[i])
            filled.extend(of_cycles[i])
    return filled
