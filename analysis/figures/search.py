"""How a search went (paper Fig. 2a)."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ...stores.relative_energy import EV_TO_MEV
from ..search_course import SearchCourse
from .style import titled

COLOURS = "cividis"
"""Made for the colour-blind; its darkness grows evenly, so that it reads in grey."""


def search_figure(course: SearchCourse, title: str) -> Figure:
    """Every evaluation and the lowest so far (lines) at each composition, above the best that was found there."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    colours = ScalarMappable(Normalize(0, 1), COLOURS)
    lowest = course.lowest_so_far()
    for fraction, (numbers, energies) in lowest.items():
        every = course.energies_per_fu[course.x == fraction]
        colour = [colours.to_rgba(np.array(fraction))]
        axes.scatter(numbers, EV_TO_MEV * (every - every.min()), c=colour, s=14, edgecolor="black", linewidth=0.3)
        ends = np.append(numbers, len(course.names) + 0.0)
        axes.step(
            ends, np.append(energies, 0.0), where="post", color=colours.to_rgba(np.array(fraction)), linewidth=1.2,
            marker=".", markersize=3, label=f"{fraction:.3g}",
        )  # fmt: skip
    axes.set_xlabel("orderings evaluated")
    axes.set_ylabel("energy above the best found\n(lines: lowest so far), meV/f.u.")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(bottom=0)
    figure.colorbar(colours, ax=axes, label=f"{course.working_ion} fraction $x$ (of {len(lowest)} compositions)")
    titled(figure, f"{title}\n{course.title}", course.source)
    return figure
