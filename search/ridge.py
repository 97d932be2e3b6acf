"""Ridge regression whose strength and order of clusters are chosen by generalised cross-validation (Golub, Heath and
Wahba, Technometrics 21 (1979) 215): cheap enough to be chosen anew in every round of a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inputs.orderings.energies import Floats

STRENGTHS = np.geomspace(1e-6, 1e3, 37)
"""Ridge strengths that are tried, relative to the number of orderings."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted ridge regression.

    Attributes
    ----------
    columns : (n_used,) features that it uses.
    constant : eV.
    coefficients : (n_used,) eV per unit of each feature.
    order : largest order of clusters used.
    strength : of the ridge, relative to the number of orderings.
    gcv_error : square root of the generalised cross-validation score, eV.
    """

    columns: NDArray[np.int_]
    constant: float
    coefficients: Floats
    order: int
    strength: float
    gcv_error: float

    def predict(self, features: Floats) -> Floats:
        """(n_orderings,) energies of (n_orderings, n_features)."""
        predicted: Floats = self.constant + features[:, self.columns] @ self.coefficients
        return predicted


def fit_ridge(features: Floats, energies: Floats, orders: NDArray[np.int_], weights: Floats | None = None) -> Ridge:
    """Fit with clusters up to two, three, ... sites and keep the fit of least generalised cross-validation score.

    Parameters
    ----------
    features : (n_orderings, n_features).
    energies : (n_orderings,) eV.
    orders : (n_features,) order of the clusters of each feature; 0 for one that is always used.
    weights : (n_orderings,) of the squared errors; None: all alike.

    Raises
    ------
    ValueError
        If there are fewer than two energies, or one is not finite.
    """
    if len(energies) < 2 or not np.isfinite(energies).all():
        raise ValueError(f"a fit needs at least two finite energies, got {len(energies)}")
    tried: Sequence[int] = sorted({max(2, int(order)) for order in orders} or {2})
    fits = [_fit(features, energies, np.flatnonzero(orders <= order), order, weights) for order in tried]
    return min(fits, key=lambda fit: fit.gcv_error)


def _fit(features: Floats, energies: Floats, columns: NDArray[np.int_], order: int, weights: Floats | None) -> Ridge:
    used = features[:, columns].astype(float)
    share = np.full(len(energies), 1 / len(energies)) if weights is None else weights / weights.sum()
    centre, mean = share @ used, float(share @ energies)
    spread = np.sqrt(share @ (used - centre) ** 2)
    varies = spread > 1e-9 * max(1.0, float(np.abs(used).max(initial=0.0)))
    scale = np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
    root = np.sqrt(share)
    u, s, vt = np.linalg.svd((used - centre) * scale * root[:, None], full_matrices=False)
    target = root * (energies - mean)
    along = u.T @ target
    kept = s[:, None] ** 2 / (s[:, None] ** 2 + STRENGTHS)
    left_out = float(target @ target - along @ along)  # what no feature reaches
    errors = left_out + (((1 - kept) * along[:, None]) ** 2).sum(axis=0)
    freedom = 1 - (1 + kept.sum(axis=0)) / len(energies)  # one for the mean
    scores = np.where(freedom > 1e-6, errors / np.maximum(freedom, 1e-6) ** 2, np.inf)
    best = int(np.flatnonzero(scores == scores.min())[-1])
    coefficients = (vt.T @ (s * along / (s**2 + STRENGTHS[best]))) * scale
    return Ridge(
        columns=columns,
        constant=mean - float(centre @ coefficients),
        coefficients=coefficients,
        order=order,
        strength=float(STRENGTHS[best]),
        gcv_error=float(np.sqrt(max(0.0, float(scores[best])))),
    )
