"""Models side by side: tables of relative energies, energies, embeddings (paper Tables 1, 2; Figs. 8, 9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ...potentials.evaluation.scores import Ranking
from ..model_results import EmbeddedSites, EnergyTable
from .style import BLACK, GREY, STATES, Mark, legend_below, model_mark, titled

COLUMNS = 4
IDENTITY = 20
"""Digits of a configuration's identity."""

STATISTICS = (
    ("mae", "without the reference", "MAE, eV"),
    ("spearman", "without the reference", "Spearman"),
    ("kendall", "without the reference", "Kendall"),
    ("spearman", "with the reference", "Spearman, all rows"),
    ("kendall", "with the reference", "Kendall, all rows"),
)
"""Score, over which structures, and what the table calls it; the reference structure is the last row."""


def short_name(name: str) -> str:
    """The first eight digits of an identity, which says no more to the eye whole; any other name as it is."""
    return name[:8] if len(name) == IDENTITY and set(name) <= set("0123456789abcdef") else name


def table_figure(table: EnergyTable, title: str) -> Figure:
    """Relative energies in eV per cell, then errors and rank correlations with and without the reference structure."""
    columns = [*table.columns, "reference"]
    cells = [[f"{row[name]:.3f}" for name in columns] for row in table.rows()]
    names = [short_name(name) for name in table.structures]
    for name, over, word in STATISTICS:
        chosen = {s["model"]: s for s in table.statistics() if s["over"] == over}
        values = [chosen[model][name] for model in table.columns]
        cells.append([*("-" if v is None else f"{v:.3f}" for v in values), ""])
        names.append(f"{word}, n = {next(iter(chosen.values()))['n']}")
    figure = Figure(figsize=(2.8 + 0.9 * len(columns), 0.8 + 0.2 * (len(cells) + 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    drawn = axes.table(cells, rowLabels=names, colLabels=columns, loc="center", cellLoc="right")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7)
    drawn.auto_set_column_width(list(range(-1, len(columns))))
    for (row, _), cell in drawn.get_celld().items():
        cell.set_linewidth(0.4)
        if row == 0 or row > len(table.structures):
            cell.set_facecolor("#EEEEEE")
    titled(figure, f"{title}\n{table.title}", table.source)
    return figure


def scatter_figure(rankings: Mapping[str, Ranking], title: str, source: str) -> Figure:
    """Relative energies of charge orderings by each model against the reference's (Fig. 9)."""
    first = next(iter(rankings.values()))
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.add_subplot()
    everything = np.concatenate([[*r.energies, *r.reference_energies] for r in rankings.values()])
    margin = 0.06 * float(np.ptp(everything)) or 0.1
    low, high = float(everything.min()) - margin, float(everything.max()) + margin
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
    for number, (model, r) in enumerate(rankings.items()):
        score = r.with_reference
        rank = "" if score.spearman is None else f", Spearman {score.spearman:.2f}"
        label = f"{model}: MAE {score.mae:.3f} eV{rank}"
        axes.scatter(r.reference_energies, r.energies, **model_mark(number).options(0.7), zorder=3, label=label)
    zero = Mark("*", "#FFFFFF", BLACK, 170)
    axes.scatter([0.0], [0.0], **zero.options(), zorder=4, label=f"reference structure ({short_name(first.reference)})")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xlabel("reference method, eV per cell from the star")
    axes.set_ylabel("model relaxed by itself, eV per cell")
    legend_below(figure, axes, 1)
    titled(figure, f"{title}\n{len(first.names)} orderings, {first.group}, {first.start} start", source)
    return figure


def embeddings_figure(found: Sequence[EmbeddedSites], title: str, source: str) -> Figure:
    """Redox sites in two principal components of each model's last layer (Fig. 8)."""
    columns = min(len(found), COLUMNS)
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(max(4.2, 2.8 * columns), 2.7 * rows + 0.9), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    for axes, one in zip(panels, found, strict=False):
        points = np.array(one.points)
        for name, mark in zip(sorted(set(one.species)), STATES, strict=False):
            here = np.array(one.species) == name
            axes.scatter(points[here, 0], points[here, 1], **mark.options(), label=name, zorder=2)
        which = "with" if one.charge_states else "without"
        apart = "" if one.silhouette is None else f", silhouette {one.silhouette:.2f}"
        axes.set_title(f"{one.model}\n{which} charge states{apart}", fontsize=7)
        share = [*one.explained, 0.0, 0.0]
        axes.set_xlabel(f"first component ({share[0]:.0%})", fontsize=7)
        axes.set_ylabel(f"second component ({share[1]:.0%})", fontsize=7)
        axes.tick_params(labelsize=6)
        # Sites that symmetry makes equal differ by noise alone, which is not to be magnified.
        half = 0.6 * max(float(np.ptp(points[:, 1])), 0.1 * float(np.ptp(points[:, 0])), 1e-6)
        middle = float(points[:, 1].mean())
        axes.set_ylim(middle - half, middle + half)
        axes.margins(x=0.15)
    legend_below(figure, panels[0])
    titled(figure, f"{title}\nstructure {short_name(found[0].structure)}", source)
    return figure
