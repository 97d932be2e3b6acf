"""Moments of redox sites, one way of having them against another (paper Fig. 5): from calculations and from scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..potentials.evaluation.scores import ModelScores, MomentSet
from .campaign_results import CampaignResults
from .ways_out import is_number, retry_options

Floats = NDArray[np.float64]
Panel = Literal["a", "b", "c", "d"]

KINDS: dict[Panel, str] = {"a": "reference first", "b": "first", "c": "relaxed", "d": "at reference"}
"""Panel of Fig. 5 -> the moments that scores have for it."""

AXES: dict[Panel, tuple[str, str]] = {
    "a": ("before relaxation", "after relaxation"),
    "b": ("reference, before relaxation", "model, before relaxation"),
    "c": ("reference, relaxed", "model, relaxed by itself"),
    "d": ("reference, relaxed", "model, at the reference's structure"),
}
"""What stands on the axes of each panel."""


@dataclass(frozen=True, eq=False)
class MomentSeries:
    """Absolute moments of the redox sites of several structures, two ways.

    Attributes
    ----------
    label : the model, or the campaign.
    source : engine and protocol of the reference.
    x, y : (n_sites,) muB, as `AXES` names them.
    high : (n_sites,) whether the reference has the site in the high state; None where it cannot tell.
    """

    label: str
    source: str
    x: Floats
    y: Floats
    high: tuple[bool | None, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per site."""
        pairs = zip(self.x.tolist(), self.y.tolist(), self.high, strict=True)
        return [{"series": self.label, "x_muB": x, "y_muB": y, "high": high} for x, y, high in pairs]


def relaxation_moments(results: CampaignResults) -> MomentSeries:
    """Moments of the first ionic step against those at the end (Fig. 5a), over structures of two charge states.

    Raises
    ------
    ValueError
        If no such calculation has both, or one of them is no number.
    """
    x: list[float] = []
    y: list[float] = []
    high: list[bool | None] = []
    for calculation in results.calculations:
        step = calculation["steps"].get("relax") or calculation["steps"].get("free relax")
        if step is None or not 0 < calculation["n_high"] < len(step["redox_sites"]):
            continue
        if step["magmoms"] is None or step["first_magmoms"] is None:
            continue
        place = {parent: here for here, parent in enumerate(step["site_order"])}
        sites = [place[parent] for parent in step["redox_sites"]]
        both = [[step[name][site] for site in sites] for name in ("first_magmoms", "magmoms")]
        if not all(is_number(moment) for moments in both for moment in moments):
            again = results.ways("retry", results.engine, *retry_options([calculation]))
            raise ValueError(
                f"{results.source}: a moment of {calculation['intended_key']} is no number; look at the OUTCAR, then "
                f"{again} and run again"
            )
        x += [abs(moment) for moment in both[0]]
        y += [abs(moment) for moment in both[1]]
        high += step["achieved"]["is_high"] or [None] * len(sites)
    if not x:
        raise ValueError(f"no calculation of two charge states has moments of its first step; {results.run} adds some")
    return MomentSeries(results.name, results.source, np.array(x), np.array(y), tuple(high))


def model_moments(scores: Sequence[ModelScores], panel: Panel) -> list[MomentSeries]:
    """Moments of models against the reference's; for panel a the reference's own, once.

    Raises
    ------
    ValueError
        If no score has them.
    """
    found = [(s, m) for s in scores for m in s.moments if m.kind == KINDS[panel]]
    if not found:
        raise ValueError(f"no scores have moments `{KINDS[panel]}`: these models predict none, or the set holds none")
    if panel == "a":
        s, m = found[0]
        # Here the set's model is the reference itself, at its first frame.
        return [_series(f"{s.data_set}", s, m.model, m.reference, m)]
    series = []
    for s, m in found:
        first = next((f.model for f in s.moments if f.kind == "reference first"), [])
        x = first if panel == "b" and len(first) == len(m.model) else m.reference
        series.append(_series(s.model, s, x, m.model, m))
    return series


def _series(label: str, scores: ModelScores, x: Sequence[float], y: Sequence[float], m: MomentSet) -> MomentSeries:
    return MomentSeries(label, reference_of(scores), np.array(x), np.array(y), tuple(m.high))


def reference_of(scores: ModelScores) -> str:
    """Engine and protocol that a score's reference has, as figures say them."""
    return f"{scores.engine}, protocol {scores.protocol}" if scores.protocol else f"{scores.engine}, {scores.data_set}"


def separation(series: MomentSeries) -> Mapping[str, float | None]:
    """How far the two states lie apart in y: largest of the low, smallest of the high, and the mean of each, muB."""
    low = series.y[[h is False for h in series.high]]
    high = series.y[[h is True for h in series.high]]
    return {
        "largest_low": float(low.max()) if low.size else None,
        "smallest_high": float(high.min()) if high.size else None,
        "mean_low": float(low.mean()) if low.size else None,
        "mean_high": float(high.mean()) if high.size else None,
        "mae": float(np.abs(series.y - series.x).mean()),
    }
