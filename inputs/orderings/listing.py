"""Listing every distinct ordering of a small space, asserted against Burnside's count before it is returned.

Arrangements are integers whose most significant bit is the first site, so that the smallest integer of an orbit is the
canonical key of `group`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from .group import Bits, JointKey, OrderingGroup, burnside_count

LISTABLE = 1_000_000
"""Raw arrangements up to which a space is listed."""

Masks = NDArray[np.uint64]


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


@lru_cache(maxsize=256)
def _all_masks(n_sites: int, n_ones: int) -> Masks:
    if n_ones in (0, n_sites):
        return np.array([(1 << n_sites) - 1 if n_ones else 0], dtype=np.uint64)
    top = np.uint64(1 << (n_sites - 1))
    return np.concatenate([_all_masks(n_sites - 1, n_ones), _all_masks(n_sites - 1, n_ones - 1) | top])


def _byte_tables(permutation: NDArray[np.int_]) -> list[tuple[np.uint64, Masks]]:
    """Per byte of a mask: its shift and the image of each of its 256 values."""
    n_sites = len(permutation)
    target = np.empty(n_sites, dtype=int)
    target[permutation] = np.arange(n_sites)  # image[i] = bits[permutation[i]]: the bit of site j moves to target[j]
    tables = []
    for low in range(0, n_sites, 8):
        table = np.zeros(256, dtype=np.uint64)
        for bit in range(low, min(low + 8, n_sites)):
            moved = np.uint64(1 << (n_sites - 1 - int(target[n_sites - 1 - bit])))
            table[(np.arange(256) >> (bit - low)) & 1 == 1] |= moved
        tables.append((np.uint64(low), table))
    return tables


def _images(masks: Masks, tables: list[tuple[np.uint64, Masks]]) -> Masks:
    images = np.zeros_like(masks)
    for shift, table in tables:
        images |= table[(masks >> shift) & np.uint64(255)]
    return images


def list_orbits(permutations: NDArray[np.int_], n_ones: int) -> Orbits:
    """List the distinct arrangements of `n_ones` ones under a permutation group.

    Parameters
    ----------
    permutations : (n_operations, n_sites) a group acting on the sites.
    n_ones : ones in each arrangement.

    Raises
    ------
    ValueError
        If the raw count exceeds `LISTABLE` (the count and the way out are named), or n_ones lies outside 0..n_sites.
    """
    n_sites = permutations.shape[1]
    if not 0 <= n_ones <= n_sites:
        raise ValueError(f"n_ones = {n_ones} lies outside 0..{n_sites}")
    raw = comb(n_sites, n_ones)
    if raw > LISTABLE or n_sites > 64:
        distinct = burnside_count(permutations, n_ones)
        raise ValueError(
            f"{raw:,} arrangements of {n_ones} on {n_sites} sites ({distinct:,} distinct) are too many to list "
            f"(limit {LISTABLE:,}); use a smaller supercell"
        )
    tables = [_byte_tables(row) for row in np.unique(permutations, axis=0)]
    masks = _all_masks(n_sites, n_ones)
    for table in tables:
        masks = masks[_images(masks, table) >= masks]
    fixing = sum((_images(masks, table) == masks).astype(int) for table in tables)
    orbits = Orbits(masks, len(tables) // np.asarray(fixing), n_sites)
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
