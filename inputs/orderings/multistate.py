"""Orderings of more than two states on one sublattice (V3+, V4+ and V5+, say): counted and listed exactly.

States are placed one after the other: the distinct placements of the first, then, on the sites that are left, those of
the second modulo the operations that keep the first in place, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from .group import CycleType, count_text, cycle_types
from .halves import MAX_SITES
from .listing import LISTABLE, bits_of, list_orbits


@dataclass(frozen=True)
class StateOrbits:
    """Distinct arrangements of several states on one sublattice.

    Attributes
    ----------
    states : (n_orbits, n_sites) the state of each site, 0 .. n_states - 1, of one representative: the sites of state 1
        have their smallest mask, those of state 2 the smallest that is left, and so on.
    multiplicities : (n_orbits,) arrangements in each orbit.
    """

    states: NDArray[np.int8]
    multiplicities: NDArray[np.int_]

    def __len__(self) -> int:
        return len(self.states)


def multistate_count(permutations: NDArray[np.int_], numbers: Sequence[int]) -> int:
    """Count orbits of arrangements of several states by Burnside's lemma.

    Parameters
    ----------
    permutations : (n_operations, n_sites) a group acting on the sites (each element equally often).
    numbers : sites in each state; they sum to n_sites.

    Raises
    ------
    ValueError
        If the numbers do not sum to the sites, or the permutations are no group.
    """
    _check_numbers(permutations, numbers)
    types = Counter(cycle_types(permutations))
    total = sum(times * _fixed(of_type, tuple(numbers)) for of_type, times in types.items())
    if total % len(permutations):
        raise ValueError(f"{len(permutations)} permutations are no group: their fixed points sum to {total}")
    return total // len(permutations)


def list_multistate_orbits(permutations: NDArray[np.int_], numbers: Sequence[int]) -> StateOrbits:
    """List the distinct arrangements of several states, asserted against Burnside's count.

    Parameters and errors as in `multistate_count`; besides, ValueError if there are too many to list.
    """
    expected = multistate_count(permutations, numbers)
    raw = prod(comb(sum(numbers[i:]), numbers[i]) for i in range(len(numbers)))
    if raw > LISTABLE or permutations.shape[1] > MAX_SITES:
        raise ValueError(
            f"{count_text(raw)} arrangements of {' + '.join(map(str, numbers))} states "
            f"({count_text(expected)} distinct) are too many to list (limit {LISTABLE:,} on {MAX_SITES} sites); use a "
            "smaller supercell"
        )
    operations = np.unique(permutations, axis=0)
    placed = list(_placements(operations, list(numbers[1:]), 1))
    orbits = StateOrbits(np.array([states for states, _ in placed]), np.array([number for _, number in placed]))
    if len(orbits) != expected or orbits.multiplicities.sum() != raw:
        raise AssertionError(f"{len(orbits)} orbits listed where Burnside's lemma counts {expected}")
    return orbits


def _placements(operations: NDArray[np.int_], numbers: list[int], state: int) -> Iterator[tuple[NDArray[np.int8], int]]:
    """Arrangements of the states from `state` on, and their multiplicities; sites left over are 0."""
    n_sites = operations.shape[1]
    if not numbers:
        yield np.zeros(n_sites, dtype=np.int8), 1
        return
    orbits = list_orbits(operations, numbers[0])
    for mask, multiplicity in zip(orbits.masks.tolist(), orbits.multiplicities.tolist(), strict=True):
        here = bits_of(mask, n_sites)
        fixing = operations[(here[operations] == here).all(axis=1)]
        left = np.flatnonzero(~here)
        # Operations that keep these sites in place move the others among themselves.
        place = np.cumsum(~here) - 1
        for others, number in _placements(np.unique(place[fixing[:, left]], axis=0), numbers[1:], state + 1):
            states = np.where(here, state, 0).astype(np.int8)
            states[left] = others
            yield states, multiplicity * number


def _check_numbers(permutations: NDArray[np.int_], numbers: Sequence[int]) -> None:
    if min(numbers, default=-1) < 0 or sum(numbers) != permutations.shape[1]:
        raise ValueError(
            f"{list(numbers)} sites in each state do not sum to the {permutations.shape[1]} sites there are"
        )


def _fixed(cycles_of_length: CycleType, numbers: tuple[int, ...]) -> int:
    """Arrangements that a permutation of this cycle type leaves as they are."""
    ways = {(0,) * len(numbers): 1}  # by the sites in each state so far
    for length, number in enumerate(cycles_of_length, 1):
        shares = [share for share in product(*(range(n // length + 1) for n in numbers)) if sum(share) == number]
        after: Counter[tuple[int, ...]] = Counter()
        for share in shares:
            choices = prod(comb(sum(share[i:]), share[i]) for i in range(len(share)))
            for filled, before in ways.items():
                total = tuple(f + s * length for f, s in zip(filled, share, strict=True))
                if all(t <= n for t, n in zip(total, numbers, strict=True)):
                    after[total] += choices * before
        ways = dict(after)
    return ways.get(numbers, 0)
