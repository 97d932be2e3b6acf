"""Correlation functions of many orderings: per orbit of clusters the sum of the products of spins (+1 or -1).

The features of the learner. Clusters are taken with all their orders, whatever their extent: the ridge decides. They
are the orbits of `inputs.orderings` (small arrangements under the same group), and sums are small whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..inputs.orderings.group import Bits
from ..inputs.orderings.halves import MAX_SITES, Masks, arrangement_masks
from ..inputs.orderings.images import smallest_images

MAX_ORBITS = 2_000
"""Orbits of one order above which this order is left out: far more than energies can ever tell apart."""

Counts = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Correlations:
    """Clusters of one sublattice of at most 64 sites, up to four sites each.

    Attributes
    ----------
    permutations : (n_operations, n_sites) the group whose orbits the clusters are of.
    orders : sites of the clusters, ascending.
    """

    permutations: NDArray[np.int_]
    orders: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        """Check the number of sites."""
        if self.permutations.shape[1] > MAX_SITES:
            raise ValueError(f"{self.permutations.shape[1]} sites are more than the {MAX_SITES} that a mask holds")

    @cached_property
    def orbits(self) -> tuple[tuple[int, Masks], ...]:
        """(order, masks of the members) of every orbit that is kept, ascending by order."""
        n_sites, found = self.permutations.shape[1], []
        operations = np.unique(self.permutations, axis=0)
        for order in self.orders:
            if order > n_sites:
                continue
            masks = arrangement_masks(n_sites, order)
            _, label = np.unique(smallest_images(masks, operations), return_inverse=True)
            members = [masks[label.ravel() == one] for one in range(int(label.max()) + 1)]
            if len(members) <= MAX_ORBITS:
                found += [(order, masks) for masks in members]
        return tuple(found)

    @cached_property
    def order_of(self) -> NDArray[np.int_]:
        """(n_orbits,) sites of the clusters of each orbit."""
        return np.array([order for order, _ in self.orbits], dtype=int)

    def of(self, masks: Masks) -> Counts:
        """Correlation functions.

        Parameters
        ----------
        masks : (n_orderings,) arrangements, first site as the most significant bit.

        Returns
        -------
        (n_orderings, n_orbits) sums over the members of each orbit.
        """
        sums = np.empty((len(self.orbits), len(masks)), dtype=np.int16)
        kind = np.uint32 if self.permutations.shape[1] <= 32 else np.uint64  # half the memory to move
        empty = np.bitwise_not(masks.astype(kind))
        for row, (_, members) in zip(sums, self.orbits, strict=True):
            odd = np.zeros(len(masks), dtype=np.int16)
            for member in members.astype(empty.dtype):
                odd += np.bitwise_count(empty & member) & 1
            row[:] = len(members) - 2 * odd
        return np.ascontiguousarray(sums.T)


def masks_of(rows: Bits) -> Masks:
    """(n_orderings,) masks of (n_orderings, n_sites) bits."""
    n_sites = rows.shape[1]
    power = np.uint64(1) << np.arange(n_sites - 1, -1, -1, dtype=np.uint64)
    masks: Masks = (rows.astype(np.uint64) * power).sum(axis=1, dtype=np.uint64)
    return masks
