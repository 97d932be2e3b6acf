"""Pictures of the thermodynamics and of the distribution of orderings; readable in grey, and saying whose energies."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from ..distributions import EnergyDistribution
from ..relative_energy import EV_TO_MEV
from ..thermodynamics import BOLTZMANN, Thermodynamics, free_energy_hull

# Okabe and Ito's colours; dashes tell the lines apart in grey.
LINES: tuple[tuple[str, Any], ...] = (
    ("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"), ("#000000", (0, (5, 1, 1, 1, 1, 1))),
    ("#56B4E9", (0, (8, 2))), ("#E69F00", (0, (3, 1, 1, 1))),
)  # fmt: skip
MARKS = ("o", "s", "^", "D", "v")
MAX_LINES = len(LINES)
"""Compositions whose entropy is drawn; of more, those evenly spread."""

HULLS = 3
"""Temperatures whose hull is drawn: the lowest, a middle one, the highest."""


def thermodynamics_figure(
    compositions: Mapping[float, Thermodynamics], formula_units: int, working_ion: str, title: str
) -> Figure:
    """Entropy and heat capacity over temperature, and the hull at temperature where both end members are there.

    Parameters
    ----------
    compositions : working-ion fraction -> thermodynamics.
    formula_units : in the supercell.
    working_ion : element symbol.
    title : supercell, energy model, and the engine and protocol of the energies.

    Raises
    ------
    ValueError
        If there is no composition with more than one arrangement.
    """
    several = [x for x in sorted(compositions) if compositions[x].ln_arrangements > 0]
    if not several:
        raise ValueError("each composition has one arrangement only: there is nothing to draw")
    has_hull = {0.0, 1.0} <= set(compositions)
    figure = Figure(figsize=(10.2 if has_hull else 7.2, 4.1), layout="constrained")
    panels = figure.subplots(1, 3 if has_hull else 2)
    drawn = [several[i] for i in evenly(len(several), MAX_LINES)]
    for x, (colour, dashes) in zip(drawn, LINES, strict=False):
        _curves(panels[0], panels[1], compositions[x], formula_units, f"$x$ = {x:.3g}", colour, dashes)
    panels[0].set_ylabel("entropy, $k$/f.u. (thin dots: ln $W$)")
    panels[1].set_ylabel("heat capacity, $k$/f.u.")
    for axes in panels[:2]:
        axes.set_xlabel("temperature, K")
        axes.set_ylim(bottom=0)
        axes.margins(x=0)
    if has_hull:
        _hulls(panels[2], compositions, formula_units, working_ion)
    # Below the axes, where it covers no curve.
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=MAX_LINES, frameon=False, fontsize=8
    )
    figure.suptitle(title, fontsize=9)
    return figure


def _curves(
    left: Axes, right: Axes, found: Thermodynamics, formula_units: int, label: str, colour: str, dashes: Any
) -> None:
    per_k = 1.0 / (BOLTZMANN * formula_units)
    style: dict[str, Any] = {"color": colour, "linestyle": dashes}
    left.plot(found.temperatures, per_k * found.entropy, label=label, **style)
    left.axhline(found.ln_arrangements / formula_units, color=colour, linestyle=":", linewidth=0.8)
    right.plot(found.temperatures, per_k * found.heat_capacity, **style)
    if found.errors is not None:
        for axes, values, errors in (
            (left, found.entropy, found.errors.entropy),
            (right, found.heat_capacity, found.errors.heat_capacity),
        ):
            axes.fill_between(
                found.temperatures, per_k * (values - errors), per_k * (values + errors), color=colour, alpha=0.25, lw=0
            )
    if found.peak is not None:
        right.plot(found.peak.temperature, per_k * found.peak.heat_capacity, "o", color=colour, markersize=4)


def _hulls(axes: Axes, compositions: Mapping[float, Thermodynamics], formula_units: int, working_ion: str) -> None:
    x = np.array(sorted(compositions))
    mixing, hull = free_energy_hull(compositions, formula_units)
    kelvin = compositions[float(x[0])].temperatures
    places = evenly(len(kelvin), HULLS)
    for place, (colour, dashes), mark in zip(places, LINES, cycle(MARKS), strict=False):
        axes.plot(x, EV_TO_MEV * hull[:, place], color=colour, linestyle=dashes)
        axes.plot(x, EV_TO_MEV * mixing[:, place], mark, color=colour, markersize=4, label=f"{kelvin[place]:.0f} K")
    axes.set_xlabel(f"$x$ ({working_ion})")
    axes.set_ylabel("free energy of mixing, meV/f.u.")
    axes.legend(frameon=False, fontsize=8, title="lines: hull", title_fontsize=8)


def distribution_figure(found: EnergyDistribution, title: str) -> Figure:
    """Energies of charge orderings as a histogram with the normal fit, and the place of the reference (Fig. 4).

    Parameters
    ----------
    found : the distribution.
    title : host, supercell, and the engine and protocol of the energies.
    """
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(found.energies, bins="fd" if len(found.energies) > 30 else "sturges")
    axes.hist(
        found.energies,
        edges.tolist(),
        weights=found.weights,
        density=True,
        color="#56B4E9",
        edgecolor="#000000",
        linewidth=0.6,
    )
    axes.set_xlabel(f"energy above {'the reference' if found.has_reference else 'the lowest'}, eV per supercell")
    axes.set_ylabel(f"density of {found.per}, 1/eV")
    if found.standard_deviation:
        tail = found.mean + 3.5 * found.standard_deviation
        reach = np.linspace(min(0.0, float(found.energies[0])), max(tail, float(found.energies[-1])), 300)
        fit = norm.pdf(reach, found.mean, found.standard_deviation)
        label = f"normal: {found.mean:.3f} ± {found.standard_deviation:.3f} eV"
        axes.plot(reach, fit, color="#D55E00", linestyle="--", linewidth=1.8, label=label)
    if found.has_reference:
        place = found.reference_in_deviations
        label = "reference" if place is None else f"reference: {place:+.2f} standard deviations"
        axes.axvline(0.0, color="#000000", linewidth=1.8, label=label)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    axes.set_title(f"{title}\n{len(found.energies)} orderings, means over {found.per}", fontsize=9)
    return figure


def evenly(length: int, number: int) -> list[int]:
    """Places of at most so many of a row, evenly spread, the first and the last among them."""
    return [int(place) for place in np.unique(np.linspace(0, length - 1, number).round())]
