"""How well a cheap energy ranks orderings that an expensive one has decided: correlations, and what a choice costs.

`regret` answers what a campaign asks: the expensive calculations are run on the lowest few by the cheap energy, so how
far above the true lowest does that choice lie?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, spearmanr


@dataclass(frozen=True)
class Agreement:
    """One cheap energy held against the expensive one.

    Attributes
    ----------
    n : orderings that both have.
    spearman, kendall : rank correlations, 1 for the same ranking; nan below three orderings.
    same_pairs : share of the pairs of one group (one working-ion ordering) that are ranked alike; nan without pairs.
    regret : energy, eV, by which the lowest by the cheap energy lies above the true lowest.
    spread_ratio : standard deviation of the cheap energies over that of the expensive ones.
    """

    n: int
    spearman: float
    kendall: float
    same_pairs: float
    regret: float
    spread_ratio: float


def agreement(expensive: ArrayLike, cheap: ArrayLike, groups: Sequence[str]) -> Agreement:
    """Hold one ranking against another.

    Parameters
    ----------
    expensive, cheap : (n,) energies, eV per cell; nan where one is missing, and the ordering is left out.
    groups : (n,) name of the group that each ordering belongs to.

    Raises
    ------
    ValueError
        If the lengths differ or fewer than two orderings have both energies.
    """
    true, guess = np.asarray(expensive, dtype=float), np.asarray(cheap, dtype=float)
    if not len(true) == len(guess) == len(groups):
        raise ValueError(f"{len(true)} and {len(guess)} energies for {len(groups)} orderings: lengths must be equal")
    there = np.isfinite(true) & np.isfinite(guess)
    if there.sum() < 2:
        raise ValueError(f"{int(there.sum())} orderings have both energies; a ranking needs two")
    true, guess = true[there], guess[there]
    named = [group for group, kept in zip(groups, there, strict=True) if kept]
    enough = len(true) > 2
    return Agreement(
        n=len(true),
        spearman=float(spearmanr(true, guess).statistic) if enough else float("nan"),
        kendall=float(kendalltau(true, guess).statistic) if enough else float("nan"),
        same_pairs=_same_pairs(true, guess, named),
        regret=float(true[np.argmin(guess)] - true.min()),
        spread_ratio=float(guess.std() / true.std()) if true.std() > 0 else float("nan"),
    )


def _same_pairs(true: NDArray[np.float64], guess: NDArray[np.float64], groups: Sequence[str]) -> float:
    alike = [
        (true[i] - true[j]) * (guess[i] - guess[j]) > 0
        for i in range(len(true))
        for j in range(i)
        if groups[i] == groups[j]
    ]
    return float(np.mean(alike)) if alike else float("nan")
