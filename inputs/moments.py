"""From measured moments to charge states: label windows, the gap rule, and the count that neutrality asks for.

A window alone misreads a hole smeared over several sites, so the number of high sites must also be the one that
neutrality asks for. Windows act on |moment|: the sign belongs to the spin order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .charge_states import LabelWindow, RedoxCouple

MIN_GAP_FIT = 0.2
"""muB between the two groups of moments where no published window exists (`window: fit`)."""

Verdict = Literal["resolved", "ambiguous", "delocalised"]


@dataclass(frozen=True)
class StateReading:
    """Charge states read from the moments of the redox sites.

    Attributes
    ----------
    is_high : (n_redox,) bool, or None unless the verdict is `resolved`.
    verdict : `resolved`; `ambiguous`: the groups stand apart (or all sites are to be of one state) but a moment lies
        between the windows, or, where no window exists, the gap is too small;
        `delocalised`: no set of n_high sites stands apart, or the count contradicts neutrality.
    gap : muB between the n_high most outlying moments and the rest; nan when one group is empty.
    reason : one line, empty when resolved.
    """

    is_high: NDArray[np.bool_] | None
    verdict: Verdict
    gap: float
    reason: str = ""


def read_states(moments: ArrayLike, couple: RedoxCouple, engine: str, n_high: int) -> StateReading:
    """Assign each redox site its charge state from its moment.

    Parameters
    ----------
    moments : (n_redox,) final moments, muB, either sign.
    couple : the redox couple with its windows.
    engine : whose moments these are; windows belong to engines.
    n_high : number of high sites that neutrality asks for.

    Raises
    ------
    ValueError
        If a moment is not finite or n_high lies outside 0..n_redox.
    """
    size = np.abs(np.asarray(moments, dtype=float))
    if not np.all(np.isfinite(size)):
        raise ValueError(f"moments of redox sites {np.flatnonzero(~np.isfinite(size)).tolist()} are not finite")
    if not 0 <= n_high <= len(size):
        raise ValueError(f"n_high = {n_high} lies outside 0..{len(size)}")
    towards_high = size if couple.high_moment_is_larger else -size
    order = np.argsort(-towards_high, kind="stable")
    picked = np.zeros(len(size), dtype=bool)
    picked[order[:n_high]] = True
    gap = float(towards_high[picked].min() - towards_high[~picked].max()) if 0 < n_high < len(size) else float("nan")
    window = couple.window(engine)
    if window is None:
        return _by_gap(picked, gap)
    return _by_window(size, picked, gap, window, couple.high_moment_is_larger)


def _by_gap(picked: NDArray[np.bool_], gap: float) -> StateReading:
    if gap < MIN_GAP_FIT - 1e-9:  # 3.9 - 3.7 is a little under 0.2 in floating point
        return StateReading(None, "ambiguous", gap, f"the two groups of moments are only {gap:.2f} muB apart")
    return StateReading(picked, "resolved", gap)


def _by_window(
    size: NDArray[np.float64], picked: NDArray[np.bool_], gap: float, window: LabelWindow, high_is_larger: bool
) -> StateReading:
    small, large = size <= window.low_max, size >= window.high_min
    reads_high = large if high_is_larger else small
    between = ~(small | large)
    if not between.any():
        if np.array_equal(reads_high, picked):
            return StateReading(picked, "resolved", gap)
        reason = f"{int(reads_high.sum())} sites read as the high state where neutrality asks for {int(picked.sum())}"
        return StateReading(None, "delocalised", gap, reason)
    values = " ".join(f"{value:.2f}" for value in size[between])
    reason = f"{int(between.sum())} moments ({values}) lie between {window.low_max} and {window.high_min} muB"
    # Half the forbidden zone still counts as two groups; less means that a hole is shared between sites.
    # Where neutrality asks for one state only (gap nan) there is no hole to share.
    apart = np.isnan(gap) or gap >= 0.5 * (window.high_min - window.low_max)
    return StateReading(None, "ambiguous" if apart else "delocalised", gap, reason)
