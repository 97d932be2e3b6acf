"""Relative energies over all compositions and who is on the hull, model against reference (paper Eq. 1, Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...inputs.species import FloatArray
from ...stores.relative_energy import EV_TO_MEV, hull_energies, relative_energies
from .scores import HullScore, Start

ON_HULL = 1e-6
"""meV per formula unit."""


@dataclass(frozen=True)
class HullPoint:
    """One structure: name, working-ion fraction, energies of reference and model, eV per formula unit."""

    name: str
    fraction: float
    reference: float
    model: float


def hull_score(start: Start, points: Sequence[HullPoint]) -> HullScore | None:
    """Score a hull; None unless both end members are there.

    Parameters
    ----------
    start : where relaxations began.
    points : structures of one host; end members have fractions 0 and 1, of several the lowest counts.
    """
    x = np.array([point.fraction for point in points])
    if not ((x == 0).any() and (x == 1).any()):
        return None
    reference = _relative(x, np.array([point.reference for point in points]))
    model = _relative(x, np.array([point.model for point in points]))
    # End members define both scales: they are no test of the model.
    residuals = (model - reference)[(x > 0) & (x < 1)]
    if not residuals.size:
        return None
    names = [point.name for point in points]
    return HullScore(
        start=start,
        n=len(residuals),
        names=names,
        fractions=x.tolist(),
        reference=reference.tolist(),
        model=model.tolist(),
        mae=float(np.abs(residuals).mean()),
        rmse=float(np.sqrt((residuals**2).mean())),
        largest=float(np.abs(residuals).max()),
        stable_reference=_stable(names, x, reference),
        stable_model=_stable(names, x, model),
    )


def _relative(x: NDArray[np.float64], energies: FloatArray) -> FloatArray:
    relative = relative_energies(energies, x, float(energies[x == 1].min()), float(energies[x == 0].min()))
    in_mev: FloatArray = EV_TO_MEV * relative
    return in_mev


def _stable(names: Sequence[str], x: NDArray[np.float64], energies: FloatArray) -> list[str]:
    above = energies - hull_energies(x, energies)
    return [name for name, height in zip(names, above, strict=True) if height < ON_HULL]
