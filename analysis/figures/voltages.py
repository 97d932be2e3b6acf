"""Voltage over composition (plateaus between stable phases)."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..voltages import Voltages
from .style import BLUE, GREY, legend_below, titled


def voltages_figure(found: Voltages, title: str) -> Figure:
    """Steps of the voltage against the metal, and the average over the whole range."""
    figure = Figure(figsize=(5.2, 3.9), layout="constrained")
    axes = figure.add_subplot()
    x = [found.steps[0].x_low, *(s.x_high for s in found.steps)]
    axes.stairs([s.voltage for s in found.steps], x, baseline=None, color=BLUE, linewidth=1.8, label="plateaus")
    label = f"average {found.average:.2f} V"
    axes.axhline(found.average, color=GREY, linestyle="--", linewidth=1.0, label=label)
    axes.set_xlim(0, 1)
    axes.margins(y=0.2)
    axes.set_xlabel(f"{found.working_ion} fraction $x$")
    axes.set_ylabel(f"voltage against {found.metal}, V")
    legend_below(figure, axes)
    titled(figure, title, found.source)
    return figure
