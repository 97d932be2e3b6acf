"""Clusters of ordering sites that are equivalent under the supercell's group, and what they count in an ordering.

The features of an expansion: per orbit of sites, pairs and triplets the sum over its members of the product of
(bit - mean occupation of the site's sublattice). Taking the mean off keeps pairs from repeating what sites say.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..supercells import HostSupercell
from .energies import BitPolynomial, Floats
from .group import Bits, ordering_group
from .site_orbits import orbit_means, pair_orbits, site_orbits, triplet_orbits


@dataclass(frozen=True, eq=False)
class Clusters:
    """Sites, pairs and triplets of one supercell, each with the number of its orbit.

    Attributes
    ----------
    cell : the supercell; bits are joint (working ++ charge).
    pair_cutoff, triplet_cutoff : longest distance within a cluster, A, in the host's cell; None: no limit for pairs,
        no triplets.
    """

    cell: HostSupercell
    pair_cutoff: float | None = None
    triplet_cutoff: float | None = None

    def __post_init__(self) -> None:
        """Check the cut-offs."""
        for name in ("pair_cutoff", "triplet_cutoff"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} = {value} A must be positive")

    @cached_property
    def distances(self) -> Floats:
        """(n_bits, n_bits) shortest distances between the ordering sites, A."""
        sites = np.concatenate([self.cell.working_sites, self.cell.redox_sites])
        positions = self.cell.structure.frac_coords[sites]
        return np.asarray(self.cell.structure.lattice.get_all_distances(positions, positions))

    @cached_property
    def members(self) -> tuple[NDArray[np.int_], ...]:
        """(n_clusters, 1 | 2 | 3) sites of the clusters of each size, rows ascending."""
        n = len(self.distances)
        first, second = np.triu_indices(n, 1)
        near = np.ones(len(first), dtype=bool)
        if self.pair_cutoff is not None:
            near = self.distances[first, second] <= self.pair_cutoff
        pairs = np.column_stack([first, second])[near]
        return np.arange(n)[:, None], pairs, self._triplets()

    def _triplets(self) -> NDArray[np.int_]:
        if self.triplet_cutoff is None:
            return np.zeros((0, 3), dtype=int)
        near = self.distances <= self.triplet_cutoff
        found = [
            (i, j, k)
            for i in range(len(near))
            for j, k in combinations((np.flatnonzero(near[i, i + 1 :]) + i + 1).tolist(), 2)
            if near[j, k]
        ]
        return np.array(found, dtype=int).reshape(-1, 3)

    @cached_property
    def orbits(self) -> tuple[NDArray[np.int_], ...]:
        """(n_clusters,) number of each cluster's orbit; numbers run on from sites over pairs to triplets."""
        group = ordering_group(self.cell)
        pairs, triplets = self.members[1:]
        labels = site_orbits(group), pair_orbits(group)[pairs[:, 0], pairs[:, 1]], triplet_orbits(group, triplets)
        numbers, start = [], 0
        for label in labels:
            different, number = np.unique(label, return_inverse=True)
            numbers.append(number.ravel() + start)
            start += len(different)
        return tuple(numbers)

    @property
    def n_orbits(self) -> int:
        """Number of orbits, which is that of features."""
        return int(max(part.max(initial=-1) for part in self.orbits)) + 1

    def features(self, bits: Bits, means: Floats) -> Floats:
        """Sums over each orbit of the products of (bit - mean).

        Parameters
        ----------
        bits : (n_orderings, n_bits).
        means : (n_bits,) mean occupation of each bit's sublattice.

        Returns
        -------
        (n_orderings, n_orbits).
        """
        centred = bits - means
        summed = np.zeros((len(bits), self.n_orbits))
        for members, orbits in zip(self.members, self.orbits, strict=True):
            products = centred[:, members].prod(axis=2)
            for row, values in zip(summed, products, strict=True):
                row += np.bincount(orbits, values, minlength=self.n_orbits)
        return summed

    def polynomial(self, constant: float, coefficients: Floats, means: Floats) -> BitPolynomial:
        """Energy constant + features @ coefficients, written out in bits.

        Parameters
        ----------
        constant : eV.
        coefficients : (n_orbits,) eV.
        means : (n_bits,) as given to `features`.
        """
        n = len(means)
        linear, pairs = np.zeros(n), np.zeros((n, n))
        one, two, three = (coefficients[orbits] for orbits in self.orbits)
        (site,), (i, j), (a, b, c) = (members.T for members in self.members)
        constant += -(one @ means[site]) + two @ (means[i] * means[j]) - three @ (means[a] * means[b] * means[c])
        np.add.at(linear, site, one)
        for here, other in ((i, j), (j, i)):
            np.add.at(linear, here, -two * means[other])
            np.add.at(pairs, (here, other), two)
        for here, other, third in ((a, b, c), (b, c, a), (c, a, b)):
            np.add.at(linear, here, three * means[other] * means[third])
            np.add.at(pairs, (here, other), -three * means[third])
            np.add.at(pairs, (other, here), -three * means[third])
        # Equivalent sites sum the same terms in different orders; the mean makes them equal to the last bit.
        group = ordering_group(self.cell)
        return BitPolynomial.on_grid(
            constant,
            orbit_means(linear, site_orbits(group)),
            orbit_means(pairs, pair_orbits(group)),
            self.members[2],
            three,
        )
