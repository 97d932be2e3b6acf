"""A small L-BFGS over sites and, where asked, the cell: enough for a smooth toy, and quick to start."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .crystal import Crystal
    from .engines import Evaluation

LONGEST_STEP = 0.1
"""The farthest that a row of the coordinates moves in one step, angstrom."""
MEMORY = 30
"""How many steps the inverse Hessian remembers."""
FIRST_CURVATURE = 25.0
"""Curvature assumed before any is known, eV/angstrom^2."""


def descend(
    evaluate: Callable[[Crystal], Evaluation], start: Crystal, *, relax_cell: bool
) -> Iterator[tuple[Crystal, Evaluation]]:
    """Yield one geometry after the other with its evaluation, downhill from `start`, without an end.

    The coordinates are the positions in the undeformed cell and the scaled deformation gradient
    (Tadmor et al., Phys. Rev. B 59 (1999) 235).
    """
    n_sites = len(start.symbols)
    # The energy of a strain grows with the cell: this scale gives cell and sites like curvatures at any size.
    scale = np.sqrt(n_sites)
    x = np.vstack([start.cartesian, scale * np.eye(3)])
    history: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque(maxlen=MEMORY)
    before: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    while True:
        deformation = x[n_sites:] / scale
        here = start.moved(start.lattice @ deformation.T, x[:n_sites] @ deformation.T)
        point = evaluate(here)
        yield here, point
        slope = np.zeros_like(x)
        slope[:n_sites] = -point.forces @ deformation
        if relax_cell:
            slope[n_sites:] = here.volume * point.stress @ np.linalg.inv(deformation).T / scale
        if before is not None and np.sum((x - before[0]) * (slope - before[1])) > 0:
            history.append((x - before[0], slope - before[1]))
        before = (x, slope)
        x = x + _bounded(-_inverse_hessian_times(slope, history))


def _inverse_hessian_times(
    slope: NDArray[np.float64], history: deque[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Two-loop recursion (Nocedal, Math. Comp. 35 (1980) 773)."""
    direction = slope.copy()
    weights = []
    for dx, dg in reversed(history):
        weights.append(np.sum(dx * direction) / np.sum(dx * dg))
        direction -= weights[-1] * dg
    if history:
        dx, dg = history[-1]
        direction *= np.sum(dx * dg) / np.sum(dg * dg)
    else:
        direction /= FIRST_CURVATURE
    for (dx, dg), weight in zip(history, reversed(weights), strict=True):
        direction += (weight - np.sum(dg * direction) / np.sum(dx * dg)) * dx
    return direction


def _bounded(step: NDArray[np.float64]) -> NDArray[np.float64]:
    longest = float(np.linalg.norm(step, axis=1).max())
    return step * min(1.0, LONGEST_STEP / longest) if longest > 0 else step
