"""Moments of redox sites, one way of having them against another (paper Fig. 5a-d)."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...inputs.charge_states import LabelWindow
from ..moment_comparison import AXES, MomentSeries, Panel
from .style import BLACK, GREY, STATES, model_mark, titled

_AXIS_LENGTH = 36
"""Letters beside an axis."""


def moments_figure(series: Sequence[MomentSeries], panel: Panel, window: LabelWindow | None, title: str) -> Figure:
    """Scatter of moments; between the label windows, where no charge state is told, the ground is grey.

    Parameters
    ----------
    series : of one reference; one series shows its charge states, of several each has its own mark.
    panel : which of the comparisons.
    window : of the couple and the reference's engine; None: nothing is grey.
    title : heading.
    """
    figure = Figure(figsize=(4.4, 4.9), layout="constrained")
    axes = figure.add_subplot()
    values = np.concatenate([np.concatenate([s.x, s.y]) for s in series])
    low, high = float(values.min()) - 0.08, float(values.max()) + 0.08
    if window is not None:
        name = "no charge state told"
        axes.axhspan(window.low_max, window.high_min, color="#DDDDDD", zorder=0, label=name)
        axes.axvspan(window.low_max, window.high_min, color="#DDDDDD", zorder=0)
        low, high = min(low, window.low_max - 0.05), max(high, window.high_min + 0.05)
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
    if len(series) == 1:
        _by_state(axes, series[0])
    else:
        for number, one in enumerate(series):
            axes.scatter(one.x, one.y, **model_mark(number).options(0.7), alpha=0.85, zorder=3, label=one.label)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    across, up = AXES[panel]
    axes.set_xlabel(f"moment {across}, µB")
    axes.set_ylabel(fill(f"moment {up}, µB", _AXIS_LENGTH))
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8)
    titled(figure, title, series[0].source)
    return figure


def _by_state(axes: Axes, one: MomentSeries) -> None:
    names = {False: "low charge state", True: "high charge state", None: "not told"}
    marks = {False: STATES[0], True: STATES[1], None: None}
    for state, name in names.items():
        here = np.array([h is state for h in one.high])
        if not here.any():
            continue
        mark = marks[state]
        options = {"marker": "x", "color": BLACK, "s": 30} if mark is None else mark.options(0.8)
        axes.scatter(one.x[here], one.y[here], **options, zorder=3, label=f"{one.label}: {name} ({here.sum()})")
