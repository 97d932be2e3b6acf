"""Energy relative to the two end members (paper Eq. 1) and the lower convex hull of such energies: numbers alone.

Shared by `potentials`, `search` and `analysis`, which may not import each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EV_TO_MEV = 1000.0


def relative_energies(energies: ArrayLike, x: ArrayLike, e_full: float, e_empty: float) -> NDArray[np.float64]:
    """Energy relative to the end members (paper Eq. 1).

    Parameters
    ----------
    energies : (n_structures,) total energies, eV per formula unit.
    x : (n_structures,) working-ion fraction, 0 to 1.
    e_full, e_empty : energies of the full and the empty host, eV per formula unit.

    Returns
    -------
    (n_structures,) relative energies, eV per formula unit; 0 at both ends.

    Raises
    ------
    ValueError
        If a fraction lies outside 0 to 1.
    """
    fractions = np.asarray(x, dtype=float)
    if np.any((fractions < 0) | (fractions > 1)):
        raise ValueError(f"fractions {fractions[(fractions < 0) | (fractions > 1)].tolist()} lie outside 0 to 1")
    relative: NDArray[np.float64] = np.asarray(energies, dtype=float) - fractions * e_full - (1 - fractions) * e_empty
    return relative


def hull_energies(x: ArrayLike, energies: ArrayLike) -> NDArray[np.float64]:
    """Lower convex hull of points, at the points' own abscissae.

    Parameters
    ----------
    x : (n_points,) working-ion fractions.
    energies : (n_points,) any unit, at least one at the smallest and the largest x.

    Returns
    -------
    (n_points,) energy of the hull, same unit.

    Raises
    ------
    ValueError
        If there is no point, or a number is not finite.
    """
    points = np.column_stack([np.asarray(x, dtype=float), np.asarray(energies, dtype=float)])
    if len(points) == 0 or not np.all(np.isfinite(points)):
        raise ValueError(f"a hull needs finite points, got {len(points)} of which some may be no numbers")
    corners: list[NDArray[np.float64]] = []
    for point in points[np.lexsort((points[:, 1], points[:, 0]))]:
        if corners and point[0] == corners[-1][0]:
            continue  # a higher energy at the same fraction
        while len(corners) > 1 and _turns_down(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    line = np.array(corners)
    return np.asarray(np.interp(points[:, 0], line[:, 0], line[:, 1]), dtype=np.float64)


def _turns_down(first: NDArray[np.float64], middle: NDArray[np.float64], last: NDArray[np.float64]) -> bool:
    """Whether the middle point lies on or above the line between its neighbours."""
    run, rise = last - first, middle - first
    return bool(rise[1] * run[0] >= run[1] * rise[0])
