"""Seeded samples of orderings that can grow: orderings are ranked by a hash of (seed, key), so N + 1 contains N.

Uniform over arrangements: an orbit of multiplicity m stands in for m arrangements, so its place in the ranking is
-ln(u) / m with u from the hash (Efraimidis and Spirakis, Inf. Process. Lett. 97 (2006) 181), the order in which
repeated uniform draws of arrangements would first meet the orbits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weight = Literal["arrangements", "orbits"]


def uniform_of(seed: int, key: str) -> float:
    """A number in (0, 1) that depends on the seed and the key alone."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / 2.0**64


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
    if weight not in get_args(Weight):
        raise ValueError(f"weight = {weight!r} must be one of {', '.join(get_args(Weight))}")
    names = list(keys)
    waiting = -np.log(np.array([uniform_of(seed, name) for name in names]))
    if weight == "arrangements":
        waiting = waiting / np.asarray(multiplicities, dtype=float)
    ranking: NDArray[np.int_] = np.lexsort((names, waiting)) if names else np.zeros(0, dtype=int)
    return ranking
