"""Scores of several models side by side: one row per score that any of them has. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .rankings import finds_lowest
from .scores import ModelScores

MEV = 1000.0
_SHOWN = {
    "energy": ("energy MAE, meV/atom", MEV),
    "forces": ("force MAE, meV/A", MEV),
    "stress": ("stress MAE, meV/A^3", MEV),
    "magmoms": ("moment MAE, muB", 1.0),
    "charges": ("charge MAE, e", 1.0),
}


def comparison_rows(done: Sequence[ModelScores]) -> list[dict[str, Any]]:
    """Rows `{"score": name, "values": one per model, None where a model has none}`.

    Raises
    ------
    ValueError
        If the models were scored on different data sets, sides or settings.
    """
    kinds = {(s.data_set_checksum, s.side, str(s.settings)) for s in done}
    if len(kinds) > 1:
        raise ValueError("scores of different data sets, sides or settings do not compare; evaluate them together")
    rows: list[tuple[str, Callable[[ModelScores], Any]]] = []
    for target, (title, scale) in _SHOWN.items():
        rows += [
            (title, lambda s, target=target, scale=scale: _error(s, target, "mae", scale)),  # type: ignore[misc]
            (f"{title}, of a constant", lambda s, t=target, scale=scale: _error(s, t, "baseline", scale)),  # type: ignore[misc]
        ]
    for start in ("ideal", "rattled", "first"):
        rows += [
            (f"{title}, {start} start", lambda s, of=of, start=start: of(s, start))  # type: ignore[misc]
            for title, of in _OF_A_START.items()
        ]
    rows.append(("silhouette of charge states", lambda s: _rounded([e.silhouette for e in s.embeddings], 2)))
    made = [{"score": title, "values": [of(scores) for scores in done]} for title, of in rows]
    return [row for row in made if any(value is not None for value in row["values"])]


def _error(scores: ModelScores, target: str, which: str, scale: float) -> float | None:
    values = [getattr(error, which) for error in scores.errors if error.target == target and error.group == "all"]
    return _rounded([None if value is None else value * scale for value in values], 3)


def _rounded(values: Sequence[float | None], digits: int) -> float | None:
    """Mean of what is there."""
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), digits) + 0.0 if known else None


def _achieved(judge: str) -> Callable[[ModelScores, str], str | None]:
    def of(scores: ModelScores, start: str) -> str | None:
        found = [a for a in scores.achieved if a.start == start and a.judge == judge]
        return f"{found[0].achieved} of {found[0].n}" if found else None

    return of


def _mean_of_rankings(name: str, which: str) -> Callable[[ModelScores, str], float | None]:
    def of(scores: ModelScores, start: str) -> float | None:
        values = [getattr(getattr(r, which), name) for r in scores.rankings if r.start == start]
        return _rounded(values, 3)

    return of


def _lowest(scores: ModelScores, start: str) -> str | None:
    found = [finds_lowest(ranking) for ranking in scores.rankings if ranking.start == start]
    return f"{sum(found)} of {len(found)}" if found else None


def _hull(scores: ModelScores, start: str) -> float | None:
    return _rounded([h.mae for h in scores.hull if h.start == start], 1)


_OF_A_START: dict[str, Callable[[ModelScores, str], Any]] = {
    "orderings achieved by moments": _achieved("moments"),
    "orderings achieved by the judge": _achieved("judge"),
    "orderings achieved by bond valences": _achieved("bond valences"),
    "Spearman, mean over groups": _mean_of_rankings("spearman", "with_reference"),
    "Spearman without the reference": _mean_of_rankings("spearman", "without_reference"),
    "Kendall, mean over groups": _mean_of_rankings("kendall", "with_reference"),
    "Kendall without the reference": _mean_of_rankings("kendall", "without_reference"),
    "relative energy MAE, eV per cell": _mean_of_rankings("mae", "with_reference"),
    "lowest found, groups": _lowest,
    "hull MAE, meV/f.u.": _hull,
}
