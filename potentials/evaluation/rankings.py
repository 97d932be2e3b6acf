"""Relative energies of one group of structures: correlations with average ranks, errors, and who is lowest.

The published Tables 1 and 2 go through the same functions (`published`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, spearmanr

from .scores import Ranking, RankScore, Start

FEWEST = 3
"""Structures below which a correlation says nothing."""
TIE_EV = 1e-3
"""eV per cell. To a model without charge states all charge orderings of one working-ion ordering are one structure:
their relaxed energies differ by the order of the atoms alone, and a ranking of that would be one of noise."""
NOISE_EV = 1e-6
"""eV per cell: what lies below another structure by less does so by the rounding of sums."""


def rank_structures(
    group: str,
    start: Start | Literal["published"],
    names: Sequence[str],
    reference_energies: ArrayLike,
    energies: ArrayLike,
    reference: str | None = None,
    formula_units: int | None = None,
) -> Ranking:
    """Score the energies of one group.

    Parameters
    ----------
    group, start : what the structures have in common, and where relaxations began.
    names : (n,) of the structures.
    reference_energies, energies : (n,) of the reference method and the model, eV per cell, each on a scale of its own.
    reference : structure that energies are relative to; None: the reference method's lowest.
    formula_units : of the cell, to be kept with the scores.

    Raises
    ------
    ValueError
        If lengths differ, there are fewer than two structures, a number is not finite, or the reference is not there.
    """
    true, found = np.asarray(reference_energies, dtype=float), np.asarray(energies, dtype=float)
    if not len(names) == len(true) == len(found):
        raise ValueError(f"{len(names)} names, {len(true)} and {len(found)} energies: lengths must be equal")
    if len(names) < 2 or not (np.isfinite(true).all() and np.isfinite(found).all()):
        raise ValueError(f"{group}: a ranking needs two structures or more, each with two energies")
    if reference is not None and reference not in names:
        raise ValueError(f"{group}: the reference {reference} is not among {', '.join(names)}")
    place = int(np.argmin(true)) if reference is None else list(names).index(reference)
    true, found = true - true[place], found - found[place]
    others = np.arange(len(names)) != place
    return Ranking(
        group=group,
        start=start,
        names=list(names),
        reference=names[place],
        reference_energies=true.tolist(),
        energies=found.tolist(),
        with_reference=_score(true, found, true[others], found[others]),
        without_reference=_score(true[others], found[others], true[others], found[others]),
        reference_lowest=bool(found.min() > -NOISE_EV),
        formula_units=formula_units,
    )


def finds_lowest(ranking: Ranking) -> bool:
    """Whether the structure that is lowest in the reference is below every other by more than a tie."""
    lowest = int(np.argmin(ranking.reference_energies))
    others = [energy - ranking.energies[lowest] for i, energy in enumerate(ranking.energies) if i != lowest]
    return min(others) > TIE_EV


def _score(
    true: NDArray[np.float64],
    found: NDArray[np.float64],
    others_true: NDArray[np.float64],
    others_found: NDArray[np.float64],
) -> RankScore:
    return RankScore(
        n=len(true),
        spearman=_correlation(spearmanr, true, found),
        kendall=_correlation(kendalltau, true, found),
        mae=float(np.abs(others_true - others_found).mean()),
        mae_centred=float(np.abs((true - true.mean()) - (found - found.mean())).mean()),
    )


def _correlation(of: object, true: NDArray[np.float64], found: NDArray[np.float64]) -> float | None:
    """A rank correlation of energies rounded to `TIE_EV`; None where there are too few structures or all are equal."""
    true, found = (np.round(energies / TIE_EV) for energies in (true, found))
    if len(true) < FEWEST or np.ptp(true) == 0 or np.ptp(found) == 0:
        return None
    return float(of(true, found).statistic)  # type: ignore[operator]  # scipy has no stubs
