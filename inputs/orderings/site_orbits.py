"""Which sites, pairs and triplets of ordering sites are equivalent under the supercell's group.

Labels are canonical numbers (the smallest image), so that they compare between runs; equal labels mean equivalent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .energies import Floats
from .group import OrderingGroup

Labels = NDArray[np.int_]


def site_orbits(group: OrderingGroup) -> Labels:
    """(n_sites,) the smallest site that an operation moves each site to."""
    smallest: Labels = group.permutations.min(axis=0)
    return smallest


def pair_orbits(group: OrderingGroup) -> Labels:
    """(n_sites, n_sites) the smallest image of each unordered pair, as one number."""
    n = group.permutations.shape[1]
    smallest = np.full((n, n), n * n)
    for row in group.permutations:
        np.minimum(smallest, row[:, None] * n + row, out=smallest)
    either: Labels = np.minimum(smallest, smallest.T)
    return either


def triplet_orbits(group: OrderingGroup, triplets: NDArray[np.int_]) -> Labels:
    """Smallest images of triplets of sites.

    Parameters
    ----------
    group : the supercell's group.
    triplets : (n_triplets, 3) sites.

    Returns
    -------
    (n_triplets,) the smallest image of each, as one number.
    """
    n = group.permutations.shape[1]
    smallest = np.full(len(triplets), n**3)
    for row in group.permutations:
        images = np.sort(row[triplets], axis=1)
        np.minimum(smallest, images @ np.array([n * n, n, 1]), out=smallest)
    return smallest


def orbit_means(values: Floats, orbits: Labels) -> Floats:
    """Replace each value by the mean over its orbit: the same number, to the last bit, for all of it."""
    _, label = np.unique(orbits, return_inverse=True)
    label = label.ravel()
    means: Floats = (np.bincount(label, values.ravel()) / np.bincount(label))[label].reshape(values.shape)
    return means
