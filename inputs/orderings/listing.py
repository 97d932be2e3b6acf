"""Listing every distinct ordering of a small space, asserted against Burnside's count before it is returned.

Arrangements are integers whose most significant bit is the first site, so that the smallest integer of an orbit is the
canonical key of `group`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np
from numpy.typing import NDArray

from .group import Bits, JointKey, OrderingGroup, burnside_count, count_text
from .halves import MAX_SITES, Masks, halves
from .images import smallest_of_orbits

LISTABLE = 3_000_000
"""Raw arrangements up to which a space is listed: half of 24 sites is 2.7 million."""


@dataclass(frozen=True)
class Orbits:
    """Distinct arrangements of `n_ones` ones on `n_sites` sites under a group.

    Attributes
    ----------
    masks : (n_orbits,) uint64, smallest image of each orbit, ascending.
    multiplicities : (n_orbits,) arrangements in each orbit; they sum to C(n_sites, n_ones).
    n_sites : sites on the sublattice.
    """

    masks: Masks
    multiplicities: NDArray[np.int_]
    n_sites: int

    def __len__(self) -> int:
        return len(self.masks)

    def bits(self, index: int) -> Bits:
        """(n_sites,) bool of one representative."""
        return bits_of(int(self.masks[index]), self.n_sites)


def bits_of(mask: int, n_sites: int) -> Bits:
    """Bits of one mask, first site first."""
    return np.array([mask >> (n_sites - 1 - i) & 1 for i in range(n_sites)], dtype=bool)


def mask_of(bits: Bits) -> int:
    """Mask of one bit array, first site as the most significant bit."""
    return int("".join("1" if bit else "0" for bit in bits) or "0", 2)


def check_listable(permutations: NDArray[np.int_], n_ones: int) -> None:
    """Refuse a space that is too large to visit every arrangement of it.

    Raises
    ------
    ValueError
        If the raw count exceeds `LISTABLE` (the count and the way out are named), or n_ones lies outside 0..n_sites.
    """
    n_sites = permutations.shape[1]
    if not 0 <= n_ones <= n_sites:
        raise ValueError(f"n_ones = {n_ones} lies outside 0..{n_sites}")
    raw = comb(n_sites, n_ones)
    if raw > LISTABLE or n_sites > MAX_SITES:
        distinct = burnside_count(permutations, n_ones)
        raise ValueError(
            f"{count_text(raw)} arrangements of {n_ones} on {n_sites} sites ({count_text(distinct)} distinct) "
            f"are too many to list (limit {LISTABLE:,} on {MAX_SITES} sites); use a smaller supercell, annealing for "
            "low energies, or a uniform sample, which lists nothing"
        )


def list_orbits(permutations: NDArray[np.int_], n_ones: int) -> Orbits:
    """List the distinct arrangements of `n_ones` ones under a permutation group.

    Parameters
    ----------
    permutations : (n_operations, n_sites) a group acting on the sites.
    n_ones : ones in each arrangement.

    Raises
    ------
    ValueError
        As in `check_listable`.
    """
    check_listable(permutations, n_ones)
    raw = comb(permutations.shape[1], n_ones)
    rows = np.unique(permutations, axis=0)
    masks, fixing = smallest_of_orbits(rows, halves(permutations.shape[1], n_ones))
    orbits = Orbits(masks, len(rows) // fixing, permutations.shape[1])
    expected = burnside_count(permutations, n_ones)
    if len(orbits) != expected or orbits.multiplicities.sum() != raw:
        raise AssertionError(f"{len(orbits)} orbits listed where Burnside's lemma counts {expected}")
    return orbits


@dataclass(frozen=True)
class Ordering:
    """One distinct joint ordering, in the canonical images.

    Attributes
    ----------
    key : canonical joint key; its bits are those of the representative.
    multiplicity : charge arrangements equivalent to it at its working-ion ordering (1 where the charge order is free).
    working_multiplicity : working-ion arrangements equivalent to its working-ion ordering.
    """

    key: JointKey
    multiplicity: int
    working_multiplicity: int

    @property
    def working(self) -> Bits:
        """(n_working,) True = occupied."""
        return self.key.working

    @property
    def charge(self) -> Bits | None:
        """(n_redox,) True = high state; None for a free charge order."""
        return self.key.charge

    @property
    def fraction(self) -> Fraction:
        """Occupied working-ion sites / all of them."""
        return Fraction(int(self.working.sum()), len(self.working))


def working_orbits(group: OrderingGroup, n_occupied: int) -> Orbits:
    """Distinct working-ion orderings with `n_occupied` sites filled."""
    return list_orbits(group.working_permutations, n_occupied)


def charge_orbits(group: OrderingGroup, working: Bits, n_high: int) -> Orbits:
    """Distinct charge orderings at one working-ion ordering, modulo the stabiliser of that ordering."""
    return list_orbits(group.stabiliser(working), n_high)
