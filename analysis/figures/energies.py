"""Pictures of a campaign. Each says which engine and protocol its numbers come from, and is readable in grey."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ..relative_energy import relative_energies_mev
from .style import said_source

# Okabe and Ito's colours; each relation has a shape and a darkness of its own as well, for prints in grey.
STYLES = {
    "kept": ("o", "#0072B2", "kept"),
    "equivalent": ("s", "#56B4E9", "equivalent image"),
    "measured": ("D", "#009E73", "left free, measured"),
    "moved": ("X", "#D55E00", "lost: moved"),
    "delocalised": ("P", "#CC79A7", "lost: delocalised"),
    "ambiguous": ("v", "#F0E442", "lost: ambiguous"),
}
HOLLOW = "hollow: audit failed"
MARK_POINTS = (3.0, 7.0)
"""Smallest and largest diameter of a mark, points (1/72 inch)."""

ROOMY = 60
"""Marks at one composition that the largest size has room for."""

MAX_SHIFT = 0.06
"""Largest sideways shift of a mark, in units of x: it must not be taken for another composition."""


def formula_text(formula: str) -> str:
    """A formula with its numbers, and the x of an unknown amount, as subscripts (mathtext).

    Examples
    --------
    >>> formula_text("NaxFePO4")
    'Na$_{x}$FePO$_{4}$'
    """
    return re.sub(r"(?<=[A-Za-z)])(\d+(?:\.\d+)?|x)(?![a-z])", r"$_{\1}$", formula)


def ordering_energies(calculations: Sequence[Mapping[str, Any]], working_ion: str, title: str = "") -> Figure:
    """Relative energy of every ordering over composition; lost orderings and failed audits are marked.

    Parameters
    ----------
    calculations : ChargeOrderedCalculationDocs as dicts, one engine and one protocol.
    working_ion : element symbol for the axis.
    title : first line above the axes; may hold mathtext (`formula_text`).

    Raises
    ------
    ValueError
        If no calculation has an energy, or engines are mixed.
    """
    shown = [c for c in calculations if c["energy_per_fu"] is not None]
    if not shown:
        raise ValueError("no calculation has an energy yet; run the campaign first")
    energies = relative_energies_mev(shown)
    if any(energy is None for energy in energies):
        raise ValueError("relative energies need both end members (end_members: true); run them first")
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    fractions, y = np.array([c["fraction"] for c in shown]), np.asarray(energies, dtype=float)
    _frame(axes, y, working_ion)
    points = mark_size(fractions)
    shifts = side_by_side(axes, fractions, y, points)
    _marks(axes, shown, fractions + shifts, y, points)
    _counts(axes, shown)
    if shifts.any():
        axes.set_xlabel(f"{axes.get_xlabel()} (marks of nearly one energy stand side by side)")
    source = said_source(f"{shown[0]['engine']}, protocol {shown[0]['protocol']}")
    axes.set_title(f"{title}\n{source}", fontsize=9, pad=14)
    # Below the axes: it covers no mark, however many there are.
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8, columnspacing=1.2, handletextpad=0.2)
    return figure


def mark_size(fractions: ArrayLike) -> float:
    """Diameter of the marks, points: smaller where many share one composition.

    Parameters
    ----------
    fractions : (n,) where the marks belong.
    """
    crowd = int(np.unique(np.asarray(fractions, dtype=float), return_counts=True)[1].max())
    smallest, largest = MARK_POINTS
    return max(smallest, largest * min(1.0, math.sqrt(ROOMY / crowd)))


def side_by_side(axes: Axes, fractions: ArrayLike, energies: ArrayLike, points: float) -> NDArray[np.float64]:
    """Sideways shifts, in units of x, by which marks of one composition and nearly one energy stand side by side.

    Parameters
    ----------
    axes : with its limits set.
    fractions, energies : (n,) where the marks belong.
    points : diameter of a mark.

    Returns
    -------
    (n,) shifts, at most `MAX_SHIFT`; where there is no room left, marks cover each other after all.
    """
    x, y = np.asarray(fractions, dtype=float), np.asarray(energies, dtype=float)
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes that were given limits belong to one
    width, height = axes.get_position().size * figure.get_size_inches() * 72
    per_x, per_y = width / float(np.ptp(axes.get_xlim())), height / float(np.ptp(axes.get_ylim()))
    places = np.unique(x)
    room = min([MAX_SHIFT, *(0.4 * np.diff(places))])
    steps = np.arange(1, int(room * per_x / points) + 1) * points / per_x
    candidates = [0.0, *(sign * float(step) for step in steps for sign in (1, -1))]
    shifts = np.zeros(len(x))
    for place in places:
        here = np.flatnonzero(x == place)
        placed: list[int] = []
        for i in here[np.argsort(y[here], kind="stable")]:
            near = [shifts[j] for j in placed if abs(y[j] - y[i]) * per_y < points]
            free = [s for s in candidates if all(abs(taken - s) * per_x > 0.9 * points for taken in near)]
            shifts[i] = free[0] if free else candidates[len(placed) % len(candidates)]
            placed.append(int(i))
    return shifts


def _frame(axes: Axes, energies: NDArray[np.float64], working_ion: str) -> None:
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xlabel(f"{working_ion} fraction $x$")
    axes.set_ylabel("energy relative to\nthe end members (meV/f.u.)")
    axes.set_xlim(-0.08, 1.08)
    low, high = min(0.0, float(energies.min())), max(0.0, float(energies.max()))
    margin = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _marks(
    axes: Axes,
    shown: Sequence[Mapping[str, Any]],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    points: float,
) -> None:
    for relation, (marker, colour, label) in STYLES.items():
        number = sum(c["relation"] == relation for c in shown)
        for passed in (True, False):
            ours = [i for i, c in enumerate(shown) if c["relation"] == relation and c["audit"]["passed"] == passed]
            if ours:
                face = colour if passed else "white"
                axes.scatter(
                    x[ours],
                    y[ours],
                    marker=marker,
                    s=points**2,
                    facecolor=face,
                    edgecolor="black",
                    linewidth=0.6,
                    zorder=3,
                )
        if number:
            axes.scatter([], [], marker=marker, s=36, facecolor=colour, edgecolor="black", label=f"{label} ({number})")
    unfit = sum(not c["audit"]["passed"] and c["relation"] in STYLES for c in shown)
    if unfit:
        axes.scatter([], [], marker="o", s=36, facecolor="white", edgecolor="black", label=f"{HOLLOW} ({unfit})")


def _counts(axes: Axes, shown: Sequence[Mapping[str, Any]]) -> None:
    """How many marks there are at each composition, above the axes: near ones cannot be counted by eye."""
    for fraction, number in Counter(c["fraction"] for c in shown if c["relation"] in STYLES).items():
        axes.annotate(
            f"n = {number}",
            (fraction, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color="0.35",
        )
