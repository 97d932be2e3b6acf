"""Seeded samples of orderings that can grow: N + 1 contains N, on every machine and after every release.

A listed space is ranked by a hash of (seed, key). Uniform over arrangements: an orbit of multiplicity m stands in for m
arrangements, so its place in the ranking is -ln(u) / m with u from the hash (Efraimidis and Spirakis, Inf. Process.
Lett. 97 (2006) 181), the order in which repeated uniform draws of arrangements would first meet the orbits. A space too
large to list is drawn from in just that way (`random_orbits`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from math import comb
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weight = Literal["arrangements", "orbits"]

RANKED_UP_TO, RANKED_SITES = 1_000_000, 64
"""Arrangements and sites up to which a sample ranks the listed space; larger ones are drawn from. Both ways are uniform
but take different members, so these numbers may never change."""


def is_ranked(n_sites: int, n_ones: int) -> bool:
    """Whether a sample of this space ranks its listing, rather than drawing."""
    return n_sites <= RANKED_SITES and comb(n_sites, n_ones) <= RANKED_UP_TO


def uniform_of(seed: int, keys: Sequence[str]) -> NDArray[np.float64]:
    """Numbers in (0, 1], each of which depends on the seed and its key alone."""
    prefix = f"{seed}:".encode()
    digests = b"".join([hashlib.sha256(prefix + key.encode()).digest()[:8] for key in keys])
    return (np.frombuffer(digests, dtype=">u8").astype(np.float64) + 0.5) / 2.0**64


def sample_ranking(
    keys: Iterable[str], multiplicities: ArrayLike, seed: int, weight: Weight = "arrangements"
) -> NDArray[np.int_]:
    """Order in which a seeded sample takes the orbits.

    Parameters
    ----------
    keys : (n_orbits,) canonical keys.
    multiplicities : (n_orbits,) arrangements per orbit.
    seed : the sample's seed.
    weight : `arrangements`: each arrangement equally likely; `orbits`: each orbit equally likely.

    Returns
    -------
    (n_orbits,) indices; the first N of them are the sample of size N.

    Raises
    ------
    ValueError
        If the weight is neither of the two.
    """
    checked_weight(weight)
    names = list(keys)
    waiting = -np.log(uniform_of(seed, names))
    if weight == "arrangements":
        waiting = waiting / np.asarray(multiplicities, dtype=float)
    ranking: NDArray[np.int_] = np.argsort(waiting, kind="stable")
    in_order = waiting[ranking]
    if np.any(in_order[1:] == in_order[:-1]):  # the key decides; sorting all of them takes longer than the rest
        ranking = np.lexsort((np.array(names), waiting))
    return ranking


def checked_weight(weight: str) -> Weight:
    """The weight, if it is one of the two."""
    if weight not in get_args(Weight):
        raise ValueError(f"weight = {weight!r} must be one of {', '.join(get_args(Weight))}")
    return cast(Weight, weight)
