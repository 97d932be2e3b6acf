"""Charge orderings at one working-ion ordering ranked by an energy model: all of them, or the lowest ones exactly.

Every arrangement is evaluated (`split`), so nothing here is a guess; ties are broken by the canonical key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .energies import BitPolynomial, EnergyModel, Floats, group_of
from .group import Bits, JointKey, OrderingGroup, checked_bits
from .halves import Masks, arrangement_masks
from .images import smallest_images
from .listing import bits_of, check_listable, mask_of
from .split import SplitEnergies

PART = 16
"""One energy in so many is sorted first when the lowest ones are looked for."""


@dataclass(frozen=True)
class ChargeRanking:
    """Distinct charge orderings at one working-ion ordering, lowest energy first, ties by key.

    Attributes
    ----------
    working : (n_working,) the working-ion ordering, True = occupied.
    masks : (n,) smallest image of each charge ordering under the stabiliser of `working`.
    multiplicities : (n,) equivalent charge arrangements at `working`.
    energies : (n,) eV per supercell, ascending.
    keys : (n,) canonical joint keys.
    model : name of the energy model.
    n_redox : sites of the charge orderings.
    """

    working: Bits
    masks: Masks
    multiplicities: NDArray[np.int_]
    energies: Floats
    keys: tuple[JointKey, ...]
    model: str
    n_redox: int

    def __len__(self) -> int:
        return len(self.masks)

    def charge(self, index: int) -> Bits:
        """(n_redox,) bool of one ordering, True = high state."""
        return bits_of(int(self.masks[index]), self.n_redox)


class ChargeLandscape:
    """An energy model with what does not depend on the working-ion ordering done once.

    Parameters
    ----------
    model : the energy model.
    n_high : high-state sites.

    Raises
    ------
    ValueError
        If there are too many charge arrangements to visit each of them.
    """

    def __init__(self, model: EnergyModel, n_high: int) -> None:
        """Check the size of the space."""
        self.group = group_of(model)
        check_listable(self.group.redox_permutations, n_high)
        self.polynomial, self.n_high = model.polynomial, n_high

    @cached_property
    def pairs_depend_on_working(self) -> bool:
        """Whether triplets of one working-ion and two redox sites make even the charges' pair energies vary."""
        inside = (self.polynomial.triplet_sites < self.group.n_working).sum(axis=1)
        return bool((inside == 1).any())

    @cached_property
    def interaction(self) -> BitPolynomial:
        """Energy of the charge bits without any working ion; its pair terms hold at every working-ion ordering."""
        return self.polynomial.given(np.zeros(self.group.n_working))

    @cached_property
    def _fixed(self) -> SplitEnergies:
        return SplitEnergies(self.interaction, self.n_high)

    def at(self, working: ArrayLike) -> tuple[SplitEnergies, BitPolynomial]:
        """Energies of the charge bits once the working ions are placed."""
        remaining = self.polynomial.given(working)
        if self.pairs_depend_on_working:
            return SplitEnergies(remaining, self.n_high), remaining
        return self._fixed, remaining

    def energies(self, working: ArrayLike) -> Floats:
        """(n_arrangements,) eV, in the order of ascending masks."""
        split, remaining = self.at(working)
        return split.ascending(remaining.linear, remaining.constant)


@lru_cache(maxsize=8)
def charge_landscape(model: EnergyModel, n_high: int) -> ChargeLandscape:
    """The landscape of a model, made once."""
    return ChargeLandscape(model, n_high)


def _landscape_at(model: EnergyModel, working: ArrayLike) -> tuple[Bits, ChargeLandscape]:
    bits = checked_bits(working, len(model.cell.working_sites), "working-ion")
    return bits, charge_landscape(model, model.cell.n_high(int(bits.sum()), model.couple))


def charge_energies(model: EnergyModel, working: ArrayLike) -> tuple[Masks, Floats]:
    """Energies of all charge arrangements at one working-ion ordering.

    Parameters
    ----------
    model : the energy model.
    working : (n_working,) bool, True = occupied.

    Returns
    -------
    masks (n_arrangements,) ascending (not to be written to), and energies (n_arrangements,), eV per supercell.

    Raises
    ------
    ValueError
        If neutrality asks for an impossible number of high states, or there are too many arrangements to visit.
    """
    bits, landscape = _landscape_at(model, working)
    return arrangement_masks(landscape.group.n_redox, landscape.n_high), landscape.energies(bits)


def lowest_charge_orderings(model: EnergyModel, working: ArrayLike, how_many: int = 1) -> ChargeRanking:
    """Find the lowest distinct charge orderings at one working-ion ordering, ties broken by key.

    Parameters
    ----------
    model : the energy model.
    working : (n_working,) bool, True = occupied.
    how_many : distinct orderings wanted; fewer come back where fewer exist.

    Raises
    ------
    ValueError
        If `how_many` is not positive, or as in `charge_energies`.
    """
    if how_many < 1:
        raise ValueError(f"how_many = {how_many} must be at least 1")
    bits, landscape = _landscape_at(model, working)
    to_canonical, canonical = _canonical_frame(landscape.group, bits)
    split, remaining = landscape.at(canonical)
    energies = split.by_place(remaining.linear, remaining.constant)
    stabiliser = landscape.group.stabiliser(canonical)
    places = _lowest(energies, how_many * len(stabiliser))
    images = smallest_images(split.halves.masks_at(places), stabiliser)
    smallest, first, multiplicities = np.unique(images, return_index=True, return_counts=True)
    found = energies[places[first]]
    # At a canonical working-ion ordering the masks order as the joint keys do.
    kept = np.lexsort((smallest, found))[:how_many]
    n_redox = landscape.group.n_redox
    charges = [bits_of(int(mask), n_redox) for mask in smallest[kept]]
    back = np.argsort(to_canonical)
    here = np.array([mask_of(charge[back]) for charge in charges], dtype=np.uint64)
    return ChargeRanking(
        working=bits,
        masks=smallest_images(here, landscape.group.stabiliser(bits)),
        multiplicities=multiplicities[kept],
        energies=found[kept],
        keys=tuple(JointKey(canonical, charge) for charge in charges),
        model=model.name,
        n_redox=n_redox,
    )


def _canonical_frame(group: OrderingGroup, working: Bits) -> tuple[NDArray[np.int_], Bits]:
    """Redox permutation of an operation that makes a working-ion ordering canonical, and what it becomes."""
    canonical = group.key(working, None).working
    operation = int(np.flatnonzero((working[group.working_permutations] == canonical).all(axis=1))[0])
    return group.redox_permutations[operation], canonical


def _lowest(energies: Floats, at_least: int) -> NDArray[np.intp]:
    """Places of the lowest energies, with everything that ties with the last of them."""
    if at_least >= len(energies):
        return np.arange(len(energies))
    if at_least == 1:
        return np.flatnonzero(energies == energies.min())
    # The wanted rank within a part of the energies is a limit for all of them, and few of them are below it.
    part = energies[:: max(1, min(PART, len(energies) // at_least))]
    below = np.flatnonzero(energies <= _of_rank(part, at_least))
    return below[energies[below] <= _of_rank(energies[below], at_least)]


def _of_rank(energies: Floats, rank: int) -> float:
    return float(np.partition(energies, rank - 1)[rank - 1])
