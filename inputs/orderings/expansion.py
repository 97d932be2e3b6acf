"""Energies learned from calculations: a cluster expansion over the group's sites, pairs and (optionally) triplets.

The second energy model: it takes ordering bits and energies (from the store, or a potential), is fitted by ridge
regression, and ranks every ordering of its supercell as the electrostatic model does. The strength of the ridge is the
one of least cross-validated error, which is reported: an expansion whose error is near the spread of the energies has
learned nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from ..charge_states import RedoxCouple
from ..supercells import HostSupercell
from .clusters import Clusters
from .energies import BitPolynomial, Floats, checked_orderings
from .group import Bits, ordering_group

RIDGES = np.geomspace(1e-10, 1e4, 57)
"""Strengths of the ridge that are tried, relative to the number of orderings."""

FEWEST = 5
"""Distinct orderings below which nothing is fitted."""


@dataclass(frozen=True, eq=False)
class ClusterExpansion:
    """A fitted expansion; it has the interface of `EnergyModel`.

    Attributes
    ----------
    cell, couple : the supercell whose orderings it ranks, and its redox couple.
    polynomial : energy of the joint bits (working ++ charge), eV per supercell.
    clusters : what was summed over.
    intercept : eV per supercell where every feature is zero.
    coefficients : (n_orbits,) eV per cluster.
    means : (n_bits,) mean occupation that was taken off each bit.
    ridge : strength of the ridge, relative to the number of orderings.
    cv_error : root mean square error of orderings that the fit had not seen, eV per supercell.
    cv_spearman : rank correlation of those predictions with the energies.
    fit_error : root mean square error of the orderings fitted, eV per supercell.
    spread : standard deviation of the energies: the error of guessing their mean.
    n_orderings, n_distinct : energies fitted, and how many orderings of them are not equivalent.
    folds : parts of the cross-validation; equivalent orderings stay together.
    source : whose energies they are (engine and protocol, say); "" where nobody said.
    """

    cell: HostSupercell
    couple: RedoxCouple
    polynomial: BitPolynomial
    clusters: Clusters
    intercept: float
    coefficients: Floats
    means: Floats
    ridge: float
    cv_error: float
    cv_spearman: float
    fit_error: float
    spread: float
    n_orderings: int
    n_distinct: int
    folds: int
    source: str = ""

    @property
    def name(self) -> str:
        """What `by:` and the listings call it."""
        return "expansion"


def fit_expansion(
    cell: HostSupercell,
    couple: RedoxCouple,
    working: ArrayLike,
    charge: ArrayLike,
    energies: ArrayLike,
    pair_cutoff: float | None = None,
    triplet_cutoff: float | None = None,
    folds: int = 10,
    seed: int = 0,
    source: str = "",
) -> ClusterExpansion:
    """Fit an expansion to energies of orderings of one supercell.

    Parameters
    ----------
    cell, couple : the supercell and the couple of every ordering.
    working : (n_orderings, n_working) bool, True = occupied.
    charge : (n_orderings, n_redox) bool, True = high state.
    energies : (n_orderings,) eV per supercell, all by one method.
    pair_cutoff : longest pair, A; None: all pairs of the supercell.
    triplet_cutoff : longest side of a triplet, A; None: no triplets.
    folds : parts of the cross-validation; as many as distinct orderings where there are fewer.
    seed : of the division into parts.
    source : whose energies they are; it is kept with the expansion and shown with what it ranks.

    Raises
    ------
    ValueError
        If shapes do not fit, an ordering is not neutral, an energy is not a number, or there are fewer than 5 distinct
        orderings or 2 folds.
    """
    w, c = checked_orderings(cell, couple, working, charge)
    bits = np.atleast_2d(np.concatenate([w, c], axis=-1))
    values = np.asarray(energies, dtype=float)
    if values.shape != (len(bits),):
        raise ValueError(f"energies have shape {values.shape}, expected ({len(bits)},), one for each ordering")
    if not np.isfinite(values).all():
        raise ValueError(f"energy {int(np.flatnonzero(~np.isfinite(values))[0])} is not a number; leave it out")
    of_orbit = _orbit_numbers(cell, bits)
    n_distinct = int(of_orbit.max(initial=-1)) + 1
    if n_distinct < FEWEST or folds < 2:
        raise ValueError(
            f"{n_distinct} distinct orderings and {folds} folds are too few to fit and cross-validate an expansion; "
            f"give at least {FEWEST} and 2"
        )
    clusters = Clusters(cell, pair_cutoff, triplet_cutoff)
    means = _sublattice_means(bits, len(cell.working_sites))
    features = clusters.features(bits, means)
    parts = np.random.default_rng(seed).permutation(n_distinct)[of_orbit] % min(folds, n_distinct)
    predictions = _cross_validated(features, values, parts)
    errors = np.sqrt(((predictions - values[:, None]) ** 2).mean(axis=0))
    best = int(np.flatnonzero(errors == errors.min())[-1])  # of equal errors the strongest ridge
    constant, coefficients = _ridge_fits(features, values, RIDGES[best : best + 1])
    polynomial = clusters.polynomial(float(constant[0]), coefficients[:, 0], means)
    return ClusterExpansion(
        cell=cell,
        couple=couple,
        polynomial=polynomial,
        clusters=clusters,
        intercept=float(constant[0]),
        coefficients=coefficients[:, 0],
        means=means,
        ridge=float(RIDGES[best]),
        cv_error=float(errors[best]),
        cv_spearman=_rank_correlation(predictions[:, best], values),
        fit_error=float(np.sqrt(((polynomial.energies(bits) - values) ** 2).mean())),
        spread=float(values.std()),
        n_orderings=len(bits),
        n_distinct=n_distinct,
        folds=int(parts.max()) + 1,
        source=source,
    )


def _orbit_numbers(cell: HostSupercell, bits: Bits) -> NDArray[np.int_]:
    """(n_orderings,) the same number for equivalent orderings."""
    group = ordering_group(cell)
    keys = [str(group.key(row[: group.n_working], row[group.n_working :])) for row in bits]
    _, numbers = np.unique(keys, return_inverse=True)
    return numbers.ravel()


def _sublattice_means(bits: Bits, n_working: int) -> Floats:
    means = np.empty(bits.shape[1])
    means[:n_working], means[n_working:] = bits[:, :n_working].mean(), bits[:, n_working:].mean()
    return means


def _cross_validated(features: Floats, energies: Floats, parts: NDArray[np.int_]) -> Floats:
    """(n_orderings, n_ridges) each energy as predicted by the fits that have not seen it."""
    predictions = np.empty((len(energies), len(RIDGES)))
    for part in range(int(parts.max()) + 1):
        unseen = parts == part
        constants, coefficients = _ridge_fits(features[~unseen], energies[~unseen], RIDGES)
        predictions[unseen] = constants + features[unseen] @ coefficients
    return predictions


def _ridge_fits(features: Floats, energies: Floats, ridges: NDArray[Any]) -> tuple[Floats, Floats]:
    """Ridge regressions on standardised features for several strengths.

    Returns
    -------
    constants (n_ridges,) and coefficients (n_features, n_ridges).
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    # A feature that is the same in all orderings (to rounding) says nothing: its coefficient is zero.
    varies = scale > 1e-9 * np.abs(features).max(initial=1.0)
    standard = np.where(varies, (features - centre) / np.where(varies, scale, 1.0), 0.0)
    u, s, vt = np.linalg.svd(standard, full_matrices=False)
    target = u.T @ (energies - energies.mean())
    shrunk = (s * target)[:, None] / (s[:, None] ** 2 + ridges * len(energies))
    coefficients = (vt.T @ shrunk) * np.where(varies, 1 / np.where(varies, scale, 1.0), 0.0)[:, None]
    return energies.mean() - centre @ coefficients, coefficients


def _rank_correlation(predicted: Floats, energies: Floats) -> float:
    if np.ptp(predicted) == 0 or np.ptp(energies) == 0:
        return float("nan")
    return float(spearmanr(predicted, energies).statistic)
