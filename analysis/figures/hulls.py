"""Relative energies over composition with their hull: one set of energies, or models before and after (Figs. 2, 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..hull_agreement import ON_HULL, Hull
from ..model_results import ModelHulls
from .style import BLACK, BLUE, GREY, ORANGE, SKY, Mark, legend_below, titled

ABOVE, STABLE = Mark("o", SKY, BLACK, 22), Mark("D", BLUE, BLACK, 48)
REFERENCE = Mark("*", "#FFFFFF", BLACK, 150)
BEFORE, AFTER = Mark("o", "none", BLUE, 26), Mark("s", ORANGE, BLACK, 26)


def hull_figure(hull: Hull, working_ion: str, title: str, highlighted: Sequence[str] = ()) -> Figure:
    """Every structure over composition, the stable ones on their hull (Fig. 2b, c).

    Parameters
    ----------
    hull : relative energies.
    working_ion : element symbol.
    title : heading; engine and protocol stand below it.
    highlighted : names of reference structures, which have a star of their own.
    """
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    on, special = hull.above < ON_HULL, np.isin(hull.names, list(highlighted))
    _frame(axes, working_ion, "energy relative to the\nend members, meV/f.u.")
    axes.plot(*hull.vertices, color=BLACK, linewidth=1.2, zorder=2, label="hull")
    for here, mark, name in (
        (~on & ~special, ABOVE, "above the hull"),
        (on & ~special, STABLE, "stable"),
        (special, REFERENCE, "reference"),
    ):
        if here.any():
            label = f"{name} ({here.sum()})"
            axes.scatter(hull.x[here], hull.energies[here], **mark.options(), zorder=3, label=label)
    legend_below(figure, axes)
    titled(figure, title, hull.source)
    return figure


def model_hulls_figure(found: Sequence[ModelHulls], working_ion: str, title: str, source: str) -> Figure:
    """One column per kind of model: hulls before and after, and their residuals from the reference (Fig. 6)."""
    figure = Figure(figsize=(max(4.6, 3.7 * len(found)), 5.4), layout="constrained")
    panels = figure.subplots(2, len(found), sharex=True, height_ratios=(2.2, 1), squeeze=False, sharey="row")
    for column, one in enumerate(found):
        top, bottom = panels[0, column], panels[1, column]
        _frame(top, "", "energy relative to the\nend members, meV/f.u." if column == 0 else "")
        _frame(bottom, working_ion, "residual, meV/f.u." if column == 0 else "")
        top.plot(*one.reference.vertices, color=BLACK, linewidth=1.6, zorder=2, label="hull of the reference")
        words = []
        for hull, mark, dashes, name in ((one.before, BEFORE, "--", "before"), (one.after, AFTER, ":", "after")):
            if hull is None:
                continue
            colour = mark.edge if mark.face == "none" else mark.face
            top.plot(*hull.vertices, color=colour, linestyle=dashes, linewidth=1.4, zorder=2)
            label = f"{name} embedding charge states"
            top.scatter(hull.x, hull.energies, **mark.options(), zorder=3, label=label)
            agreement = one.agreements[name]
            bottom.scatter(agreement.x, agreement.residuals, **mark.options(0.7), zorder=3)
            words.append(f"{name} {agreement.mae:.1f}")
        top.set_title(f"{one.kind}\nMAE, meV/f.u.: {', '.join(words)}", fontsize=8)
    entries: dict[str, Artist] = {}
    for axes in panels[0]:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(3, 2 * len(found) - 1),
        frameon=False,
        fontsize=8,
    )
    titled(figure, title, source)
    return figure


def _frame(axes: Axes, working_ion: str, label: str) -> None:
    axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylabel(label)
    if working_ion:
        axes.set_xlabel(f"{working_ion} fraction $x$")
