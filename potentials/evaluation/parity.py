"""Parity plots: a model's numbers against the reference's, one panel per target, readable in grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...inputs.species import FloatArray
from ...inputs.whole_files import written_whole
from .errors import Predictions, error_scores
from .scores import ErrorScore

MOST = 20_000
"""Points of a panel; of more, evenly spaced ones are drawn and the errors are those of all."""


def draw_parity(found: Predictions, title: str, path: Path) -> None:
    """Write parity plots of every target that both sides have.

    Parameters
    ----------
    found : numbers side by side.
    title : names model, data set and engine.
    path : .svg, .png or .pdf.
    """
    panels = {score.target: score for score in error_scores(found) if score.group == "all"}
    figure = Figure(figsize=(3.2 * len(panels), 3.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for ax, (target, score) in zip(axes, panels.items(), strict=True):
        _panel(ax, _pairs(found, target), score)
    figure.suptitle(title, fontsize=9)
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150, format=path.suffix[1:])


def _pairs(found: Predictions, target: str) -> FloatArray:
    values: FloatArray = getattr(found, target).reshape(-1, 2)
    return values[np.isfinite(values).all(axis=1)]


def _panel(ax: Axes, pairs: FloatArray, score: ErrorScore) -> None:
    shown = pairs[:: -(-len(pairs) // MOST)]
    low, high = float(pairs.min()), float(pairs.max())
    ax.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
    ax.plot(shown[:, 0], shown[:, 1], ".", color="#0072B2", markersize=2, alpha=0.5, rasterized=True)
    title = f"{score.target}, MAE {score.mae:.3g} {score.unit}\n(of a constant {score.baseline:.3g})"
    ax.set_title(title, fontsize=8)
    ax.set_xlabel(f"reference, {score.unit}", fontsize=8)
    ax.set_ylabel(f"model, {score.unit}", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.set_aspect("equal", adjustable="datalim")
