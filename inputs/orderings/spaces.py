"""A space of orderings: the working-ion orderings at one fraction, or the charge orderings at one working-ion ordering.

Both are arrangements of ones on a sublattice modulo a group; members are named by their canonical keys, so that samples
and files mean the same ordering everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .group import Bits, JointKey, OrderingGroup, burnside_count, checked_bits
from .halves import MAX_SITES
from .listing import LISTABLE, Orbits, bits_of, list_orbits
from .sampling import Weight, draw_orbits, is_ranked, sample_ranking


@dataclass(frozen=True, eq=False)
class Member:
    """One ordering of a space.

    Attributes
    ----------
    bits : (n_sites,) bool, the canonical image.
    multiplicity : arrangements of the space that it stands for.
    energy : eV per supercell by the model that chose it; None where none did.
    """

    bits: Bits
    multiplicity: int
    energy: float | None = None


@dataclass(frozen=True, eq=False)
class OrderingSpace:
    """Arrangements of `n_ones` ones modulo the symmetry that is left.

    Attributes
    ----------
    group : of the supercell.
    n_ones : occupied working-ion sites, or high states.
    working : (n_working,) bool, the canonical working-ion ordering whose charge orderings these are; None: the space is
        that of the working-ion orderings themselves.
    """

    group: OrderingGroup
    n_ones: int
    working: Bits | None = None

    @classmethod
    def of_charges(cls, group: OrderingGroup, working: ArrayLike, n_high: int) -> OrderingSpace:
        """Charge orderings at a working-ion ordering, which is made canonical."""
        return cls(group, n_high, group.key(checked_bits(working, group.n_working, "working-ion"), None).working)

    @cached_property
    def permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_sites) the group that acts on the sublattice."""
        return self.group.working_permutations if self.working is None else self.group.stabiliser(self.working)

    @property
    def n_sites(self) -> int:
        """Sites of the sublattice."""
        return int(self.permutations.shape[1])

    @property
    def raw(self) -> int:
        """Number of arrangements."""
        return comb(self.n_sites, self.n_ones)

    @cached_property
    def distinct(self) -> int:
        """Number of distinct orderings, by Burnside's lemma."""
        return burnside_count(self.permutations, self.n_ones)

    @property
    def is_listable(self) -> bool:
        """Whether every arrangement can be visited."""
        return self.raw <= LISTABLE and self.n_sites <= MAX_SITES

    def canonical(self, bits: ArrayLike) -> Bits:
        """Smallest image of an arrangement."""
        images = checked_bits(bits, self.n_sites, "charge" if self.working is not None else "working-ion")[
            self.permutations
        ]
        packed = np.packbits(images, axis=1)
        smallest: Bits = images[min(range(len(images)), key=lambda row: packed[row].tobytes())]
        return smallest

    def multiplicity(self, bits: ArrayLike) -> int:
        """Arrangements equivalent to this one."""
        return len(np.unique(np.packbits(np.asarray(bits, dtype=bool)[self.permutations], axis=1), axis=0))

    def member(self, bits: ArrayLike, energy: float | None = None) -> Member:
        """The ordering of an arrangement."""
        return Member(self.canonical(bits), self.multiplicity(bits), energy)

    def key(self, bits: Bits) -> JointKey:
        """Joint key of a canonical arrangement; of a working-ion ordering, that of its free charge order."""
        return JointKey(bits, None) if self.working is None else JointKey(self.working, bits)

    def listed(self) -> Orbits:
        """Every distinct ordering.

        Raises
        ------
        ValueError
            If there are too many to list.
        """
        return self._orbits

    @cached_property
    def _orbits(self) -> Orbits:
        return list_orbits(self.permutations, self.n_ones)

    def members(self) -> Iterator[Member]:
        """Every distinct ordering with its multiplicity, ascending by key; errors as in `listed`."""
        orbits = self.listed()
        for mask, multiplicity in zip(orbits.masks.tolist(), orbits.multiplicities.tolist(), strict=True):
            yield Member(bits_of(mask, self.n_sites), multiplicity)

    def sampled(self, seed: int, weight: Weight = "arrangements") -> Iterator[Member]:
        """Members in the order in which a seeded sample takes them; the first N are the sample of size N.

        A space that is too large to list is drawn from, without end.

        Raises
        ------
        ValueError
            If the weight is unknown.
        """
        if not is_ranked(self.n_sites, self.n_ones):
            for bits, multiplicity in draw_orbits(self.permutations, self.n_ones, seed, self._name, weight):
                yield Member(bits, multiplicity)
            return
        orbits = self.listed()
        for i in sample_ranking(self._keys(orbits), orbits.multiplicities, seed, weight).tolist():
            yield Member(orbits.bits(i), int(orbits.multiplicities[i]))

    @property
    def _name(self) -> str:
        """What tells this space from others in a sample's hashes."""
        where = "working" if self.working is None else _half(self.working)
        return f"{where}.{self.n_ones}/{self.n_sites}"

    def _keys(self, orbits: Orbits) -> list[str]:
        """Texts of the keys, hundreds of thousands at once."""
        width = -(-orbits.n_sites // 4)
        if self.working is None:
            return [f"{mask:0{width}x}.free" for mask in orbits.masks.tolist()]
        prefix = _half(self.working)
        return [f"{prefix}.{mask:0{width}x}" for mask in orbits.masks.tolist()]


def _half(working: Bits) -> str:
    return str(JointKey(working, None)).partition(".")[0]
