"""Unit and sign of a data set's stresses, found from its energies or asked for; never guessed.

Along a trajectory the energy changes by the work of forces and stress (second order, midpoint)::

    E1 - E0 = - (F0 + F1)/2 . dr + V (s0 + s1)/2 : strain

so that what is left of the energy when the forces' work is taken out, over V s : strain, is the factor to eV/A^3 with
ASE's sign. Known units lie a factor of ten or more apart: a clear answer is one of them, anything else is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .frame_arrays import FloatArray
from .ingest_options import STRESS_FACTORS

ENOUGH_PAIRS = 3
CLOSE = 0.3
"""Relative distance to a unit's factor that is still that unit: strains are finite, bases incomplete."""

EXPLAINED = 0.8
"""Share of the energy differences that the factor must explain."""

_ANIONS = (8, 9)


@dataclass(frozen=True)
class WorkFrame:
    """What the work between frames is made of.

    Attributes
    ----------
    lattice : (3, 3) A.
    scaled : (n_sites, 3) fractional coordinates.
    energy : eV.
    forces : (n_sites, 3) eV/A.
    stress : (3, 3) in the unknown unit.
    """

    lattice: FloatArray
    scaled: FloatArray
    energy: float
    forces: FloatArray
    stress: FloatArray


def stress_factor(pairs: Sequence[tuple[WorkFrame, WorkFrame]]) -> tuple[str | None, str]:
    """Unit of stresses from consecutive frames of trajectories.

    Parameters
    ----------
    pairs : frames of the same sites, one shortly after the other.

    Returns
    -------
    A key of `STRESS_FACTORS`, or None, and one line on how sure that is.
    """
    strained = [_work(one, other) for one, other in pairs]
    x = np.array([work for work, _ in strained])
    y = np.array([left for _, left in strained])
    kept = np.isfinite(x) & np.isfinite(y) & (np.abs(x) > 0)
    x, y = x[kept], y[kept]
    if len(x) < ENOUGH_PAIRS or not np.any(y):
        return None, f"only {len(x)} pairs of consecutive frames change the cell"
    factor = float(x @ y / (x @ x))
    explained = 1.0 - float(np.sum((y - factor * x) ** 2) / np.sum(y**2))
    unit = min(STRESS_FACTORS, key=lambda name: abs(factor / STRESS_FACTORS[name] - 1.0))
    said = f"factor {factor:.3g} from {len(x)} pairs of frames, {100 * explained:.0f} % of the energy explained"
    close = abs(factor / STRESS_FACTORS[unit] - 1.0) <= CLOSE
    return (unit if close and explained >= EXPLAINED else None), said


def _work(one: WorkFrame, other: WorkFrame) -> tuple[float, float]:
    """(V s : strain, energy left when the forces' work is taken out)."""
    deformation = np.linalg.solve(one.lattice, other.lattice)
    strain = 0.5 * (deformation + deformation.T) - np.eye(3)
    moved = other.scaled - one.scaled
    moved = (moved - np.round(moved)) @ (0.5 * (one.lattice + other.lattice))
    volume = 0.5 * (abs(np.linalg.det(one.lattice)) + abs(np.linalg.det(other.lattice)))
    work = volume * float(np.sum(0.5 * (one.stress + other.stress) * strain))
    left = other.energy - one.energy + float(np.sum(0.5 * (one.forces + other.forces) * moved))
    return work, left


def bader_sign(numbers: Sequence[np.ndarray], charges: Sequence[FloatArray]) -> tuple[float | None, str]:
    """Sign that makes Bader charges positive on cations, from the anions and the sum over the cell.

    Parameters
    ----------
    numbers, charges : (n_sites,) atomic numbers and charges of some frames.

    Returns
    -------
    1, -1, or None where it cannot be told (counts of electrons, no O or F), and one line why.
    """
    on_anions = [c[np.isin(n, _ANIONS)] for n, c in zip(numbers, charges, strict=True)]
    values = np.concatenate(on_anions) if on_anions else np.zeros(0)
    if values.size == 0:
        return None, "no O or F tells the sign of the Bader charges"
    mean, rest = float(np.mean(values)), max(abs(float(c.sum())) / len(c) for c in charges)
    if rest > 0.05 or not 0.2 <= abs(mean) <= 2.5:
        return None, f"Bader charges are {mean:.2f} on O and F and sum to {rest:.2f} e per atom: no net charges"
    return (1.0 if mean < 0 else -1.0), f"{mean:.2f} e on O and F"
