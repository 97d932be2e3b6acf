"""Pictures of a campaign. Each says which engine and protocol its numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from .relative_energy import relative_energies_mev

# Okabe and Ito's colours, told apart by shape as well.
STYLES = {
    "kept": ("o", "#0072B2", "kept"),
    "equivalent": ("s", "#009E73", "equivalent image"),
    "measured": ("D", "#56B4E9", "left free, measured"),
    "moved": ("X", "#D55E00", "lost: moved"),
    "delocalised": ("P", "#CC79A7", "lost: delocalised"),
    "ambiguous": ("v", "#E69F00", "ambiguous"),
}
HOLLOW = "audit failed"


def ordering_energies(calculations: Sequence[Mapping[str, Any]], working_ion: str, title: str = "") -> Figure:
    """Relative energy of every ordering over composition; lost orderings and failed audits are marked.

    Parameters
    ----------
    calculations : ChargeOrderedCalculationDocs as dicts, one engine and one protocol.
    working_ion : element symbol for the axis.
    title : first line above the axes.

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
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for relation, (marker, colour, label) in STYLES.items():
        for counted in (True, False):
            points = [
                (c["fraction"], e)
                for c, e in zip(shown, energies, strict=True)
                if c["relation"] == relation and c["audit"]["passed"] == counted
            ]
            if points:
                x, y = zip(*points, strict=True)
                face = colour if counted else "none"
                text = label if counted else f"{label} ({HOLLOW})"
                axes.scatter(x, y, marker=marker, s=44, facecolor=face, edgecolor=colour, label=text, zorder=3)
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xlabel(f"{working_ion} fraction x")
    axes.set_ylabel("energy relative to the end members (meV/f.u.)")
    axes.set_xlim(-0.05, 1.05)
    engine = shown[0]["engine"]
    warning = "REHEARSAL, not DFT: " if engine.startswith("rehearsal") else ""
    axes.set_title(f"{title}\n{warning}{engine}, protocol {shown[0]['protocol']}", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure
