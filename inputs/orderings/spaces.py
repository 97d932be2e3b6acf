"""Spaces of orderings: of the working ions at one fraction, of the charges at one ordering of them, of both jointly.

Each is the arrangements of a number of ones modulo the symmetry that is left. Members are named by their canonical
keys, so that samples and files mean the same ordering everywhere.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import comb, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .group import (
    Bits,
    JointKey,
    OrderingGroup,
    burnside_count,
    checked_bits,
    joint_burnside_count,
    smallest_image,
)
from .halves import MAX_SITES
from .listing import LISTABLE, Orbits, bits_of, list_orbits
from .random_orbits import FixedPoints
from .sampling import Weight, checked_weight, is_ranked, sample_ranking


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
class OrderingSpace(ABC):
    """Arrangements modulo symmetry.

    Attributes
    ----------
    group : of the supercell.
    """

    group: OrderingGroup

    @property
    @abstractmethod
    def permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_sites) the group that says which arrangements are one."""

    @property
    @abstractmethod
    def ones(self) -> tuple[tuple[int, int], ...]:
        """(sites, ones) of each sublattice, in the order of the bits."""

    @property
    @abstractmethod
    def distinct(self) -> int:
        """Number of distinct orderings, by Burnside's lemma."""

    @property
    @abstractmethod
    def is_listable(self) -> bool:
        """Whether every arrangement can be visited."""

    @abstractmethod
    def key(self, bits: Bits) -> JointKey:
        """Joint key of a canonical arrangement."""

    @abstractmethod
    def members(self) -> Iterator[Member]:
        """Every distinct ordering with its multiplicity, ascending by key.

        Raises
        ------
        ValueError
            If there are too many to list.
        """

    @property
    def n_sites(self) -> int:
        """Bits of an arrangement."""
        return sum(sites for sites, _ in self.ones)

    @property
    def raw(self) -> int:
        """Number of arrangements."""
        return prod(comb(sites, ones) for sites, ones in self.ones)

    def canonical(self, bits: ArrayLike) -> Bits:
        """Smallest image of an arrangement."""
        return smallest_image(checked_bits(bits, self.n_sites, "this"), self.permutations)

    def multiplicity(self, bits: ArrayLike) -> int:
        """Arrangements equivalent to this one."""
        images = checked_bits(bits, self.n_sites, "this")[self.permutations]
        return len(np.unique(np.packbits(images, axis=1), axis=0))

    def member(self, bits: ArrayLike, energy: float | None = None) -> Member:
        """The ordering of an arrangement."""
        return Member(self.canonical(bits), self.multiplicity(bits), energy)

    def sampled(self, seed: int, weight: Weight = "arrangements") -> Iterator[Member]:
        """Members in the order in which a seeded sample takes them; the first N are the sample of size N.

        Parameters
        ----------
        seed : of the sample.
        weight : `arrangements`: each arrangement equally likely; `orbits`: each distinct ordering.

        Yields
        ------
        Each distinct ordering once, without end where the space is drawn from: take no more than there are.

        Raises
        ------
        ValueError
            If the weight is unknown.
        """
        checked_weight(weight)
        return self._drawn(seed, weight)

    def _drawn(self, seed: int, weight: Weight) -> Iterator[Member]:
        """Draws without listing; what tells this space from others goes into the seed."""
        operations = np.unique(self.permutations, axis=0)
        counted = operations if weight == "orbits" else np.arange(self.n_sites)[None, :]
        ends = np.cumsum([0, *(sites for sites, _ in self.ones)]).tolist()
        parts = tuple((a, b, ones) for (a, b), (_, ones) in zip(pairwise(ends), self.ones, strict=True))
        digest = hashlib.sha256(f"{seed}:{self._name}".encode()).digest()
        met: set[bytes] = set()
        for bits in FixedPoints(counted, parts).draws(int.from_bytes(digest[:8], "big")):
            smallest = smallest_image(bits, operations)
            if smallest.tobytes() not in met:
                met.add(smallest.tobytes())
                yield self.member(smallest)

    @property
    @abstractmethod
    def _name(self) -> str:
        """What tells this space from others under one seed; it may never change."""


@dataclass(frozen=True, eq=False)
class _OneSublattice(OrderingSpace):
    """Arrangements of `n_ones` ones on one sublattice."""

    n_ones: int

    @property
    def ones(self) -> tuple[tuple[int, int], ...]:
        """(sites, ones) of the sublattice."""
        return ((int(self.permutations.shape[1]), self.n_ones),)

    @cached_property
    def distinct(self) -> int:
        """Number of distinct orderings, by Burnside's lemma."""
        return burnside_count(self.permutations, self.n_ones)

    @property
    def is_listable(self) -> bool:
        """Whether every arrangement can be visited."""
        return self.raw <= LISTABLE and self.n_sites <= MAX_SITES

    @cached_property
    def orbits(self) -> Orbits:
        """Every distinct ordering at once; errors as in `members`."""
        return list_orbits(self.permutations, self.n_ones)

    def members(self) -> Iterator[Member]:
        """Every distinct ordering with its multiplicity, ascending by key."""
        orbits = self.orbits
        for mask, multiplicity in zip(orbits.masks.tolist(), orbits.multiplicities.tolist(), strict=True):
            yield Member(bits_of(mask, self.n_sites), multiplicity)

    def sampled(self, seed: int, weight: Weight = "arrangements") -> Iterator[Member]:
        """Members in the order in which a seeded sample takes them, the listing ranked where the space is small."""
        if not is_ranked(self.n_sites, self.n_ones):
            yield from super().sampled(seed, weight)
            return
        orbits = self.orbits
        for i in sample_ranking(self._names(orbits), orbits.multiplicities, seed, weight).tolist():
            yield Member(orbits.bits(i), int(orbits.multiplicities[i]))

    @abstractmethod
    def _names(self, orbits: Orbits) -> list[str]:
        """Texts of the keys, hundreds of thousands at once."""


@dataclass(frozen=True, eq=False)
class WorkingSpace(_OneSublattice):
    """Working-ion orderings with `n_ones` sites occupied."""

    @property
    def permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_working) the supercell's group."""
        return self.group.working_permutations

    def key(self, bits: Bits) -> JointKey:
        """Joint key with a free charge order."""
        return JointKey(bits, None)

    @property
    def _name(self) -> str:
        return f"working {self.n_ones}/{self.n_sites}"

    def _names(self, orbits: Orbits) -> list[str]:
        return [f"{mask:0{-(-orbits.n_sites // 4)}x}.free" for mask in orbits.masks.tolist()]


@dataclass(frozen=True, eq=False)
class ChargeSpace(_OneSublattice):
    """Charge orderings with `n_ones` high states at one working-ion ordering.

    Attributes
    ----------
    working : (n_working,) bool, canonical; `at` makes it so.
    """

    working: Bits

    @classmethod
    def at(cls, group: OrderingGroup, working: ArrayLike, n_high: int) -> ChargeSpace:
        """Charge orderings at a working-ion ordering, which is made canonical."""
        return cls(group, n_high, group.key(working, None).working)

    @cached_property
    def permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_redox) the stabiliser of the working-ion ordering."""
        return self.group.stabiliser(self.working)

    def key(self, bits: Bits) -> JointKey:
        """Joint key with this space's working-ion ordering."""
        return JointKey(self.working, bits)

    @property
    def _half(self) -> str:
        return str(JointKey(self.working, None)).partition(".")[0]

    @property
    def _name(self) -> str:
        return f"charges {self.n_ones}/{self.n_sites} at {self._half}"

    def _names(self, orbits: Orbits) -> list[str]:
        half, width = self._half, -(-orbits.n_sites // 4)
        return [f"{half}.{mask:0{width}x}" for mask in orbits.masks.tolist()]


@dataclass(frozen=True, eq=False)
class JointSpace(OrderingSpace):
    """Orderings of `n_working` working ions and `n_high` high states together; bits are working ++ charge."""

    n_working: int
    n_high: int

    @property
    def permutations(self) -> NDArray[np.int_]:
        """(n_operations, n_working_sites + n_redox) the supercell's group."""
        return self.group.permutations

    @property
    def ones(self) -> tuple[tuple[int, int], ...]:
        """(sites, ones) of both sublattices."""
        return (self.group.n_working, self.n_working), (self.group.n_redox, self.n_high)

    @cached_property
    def distinct(self) -> int:
        """Number of distinct orderings, by Burnside's lemma."""
        return joint_burnside_count(self.group, self.n_working, self.n_high)

    @property
    def working_ions(self) -> WorkingSpace:
        """The working-ion orderings alone."""
        return WorkingSpace(self.group, self.n_working)

    def charges_at(self, working: Bits) -> ChargeSpace:
        """The charge orderings at one of them."""
        return ChargeSpace.at(self.group, working, self.n_high)

    @property
    def is_listable(self) -> bool:
        """Whether every arrangement of either sublattice can be visited (not: every pair of them)."""
        anywhere = np.arange(self.group.n_working) < self.n_working
        return self.working_ions.is_listable and self.charges_at(anywhere).is_listable

    def key(self, bits: Bits) -> JointKey:
        """Joint key of both halves."""
        return JointKey(bits[: self.group.n_working], bits[self.group.n_working :])

    def members(self) -> Iterator[Member]:
        """Every distinct ordering with its multiplicity, ascending by key."""
        for working in self.working_ions.members():
            for charge in self.charges_at(working.bits).members():
                both = np.concatenate([working.bits, charge.bits])
                yield Member(both, working.multiplicity * charge.multiplicity)

    @property
    def _name(self) -> str:
        return f"joint {self.n_working}/{self.group.n_working} {self.n_high}/{self.group.n_redox}"
