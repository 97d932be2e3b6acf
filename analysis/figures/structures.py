"""Structures with charge states and vacancies told apart by shape, darkness and colour (paper Figs. 1, 3 and 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..ordering_structures import VACANCY, OrderedStructure
from .style import BLACK, GREY, ORANGE, PURPLE, RED, STATES, Mark, titled

TILT = (12.0, 8.0)
"""Degrees by which the view is turned off the third axis, about the first and the second: no layer is hidden."""

SURROUNDINGS = {"P": Mark("^", ORANGE, GREY, 14), "O": Mark("o", RED, "none", 5)}
OTHER = Mark("h", "#D9D9D9", GREY, 14)
ION = Mark("o", PURPLE, BLACK, 90)
EMPTY = Mark("o", "none", BLACK, 70)
COLUMNS = 4
BESIDE = 0.005
"""Fractional coordinate within which a site on a face of the cell is drawn on the opposite face too."""

Floats = NDArray[np.float64]


def structures_figure(
    structures: Sequence[OrderedStructure], working_ion: str, title: str, source: str, mirrored: bool = False
) -> Figure:
    """One panel per structure, seen nearly along its third axis.

    Parameters
    ----------
    structures : what to draw.
    working_ion : element symbol.
    title, source : heading, and engine and protocol below it.
    mirrored : beside every structure its image (x, -y, z), by which mirrored orderings are recognised (Fig. 7).
    """
    views = [(s, flip) for s in structures for flip in ((False, True) if mirrored else (False,))]
    columns = min(len(views), COLUMNS)
    rows = math.ceil(len(views) / columns)
    shape = _extent(structures[0])
    width = 2.6 * columns
    figure = Figure(figsize=(width, rows * (2.6 * min(2.4, max(0.6, shape)) + 0.35) + 0.9), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in panels:
        axes.set_axis_off()
    states = _states(structures)
    for axes, (structure, flip) in zip(panels, views, strict=False):
        _panel(axes, structure, working_ion, states, flip)
    marks = _marks(structures, working_ion, states)
    for name, mark in marks.items():
        panels[0].scatter([], [], **mark.options(), label=name)
    figure.legend(loc="outside lower center", ncols=len(marks), frameon=False, fontsize=8)
    titled(figure, title, source)
    return figure


def _states(structures: Sequence[OrderedStructure]) -> list[str]:
    """Names of the charge states, low first."""
    return sorted({name for s in structures for name in s.species if name.endswith("+")})


def _marks(structures: Sequence[OrderedStructure], working_ion: str, states: Sequence[str]) -> dict[str, Mark]:
    present = {name for s in structures for name in s.species}
    marks = {**dict(zip(states, STATES, strict=False)), working_ion: ION, VACANCY: EMPTY}
    rest = {name: SURROUNDINGS.get(name, OTHER) for name in sorted(present - set(marks))}
    return {name: mark for name, mark in {**marks, **rest}.items() if name in present}


def _panel(axes: Axes, structure: OrderedStructure, working_ion: str, states: Sequence[str], flip: bool) -> None:
    lattice, frac = structure.lattice.copy(), structure.frac_coords % 1.0
    if flip:
        frac = np.column_stack([frac[:, 0], -frac[:, 1] % 1.0, frac[:, 2]])
    axes_of_view = _upright(lattice)
    species, places = _with_images(structure.species, frac, (working_ion, VACANCY))
    points = places @ axes_of_view
    for start, end in _edges():
        line = np.array([start, end]) @ axes_of_view
        axes.plot(line[:, 0], line[:, 1], color=GREY, linewidth=0.6, zorder=0)
    marks = _marks([structure], working_ion, states)
    names = np.array(species)
    order = list(marks)[::-1]  # surroundings first, charge states last
    for layer, name in enumerate(order):
        here = points[names == name]
        axes.scatter(here[:, 0], here[:, 1], **marks[name].options(), zorder=layer + 1)
    axes.set_aspect("equal")
    axes.set_title("the same, (x, -y, z)" if flip else structure.note, fontsize=6.5, pad=2)


def _upright(lattice: Floats) -> Floats:
    """(3, 2) fractional coordinates to the picture: the longer of the first two axes lies across."""
    about_x, about_y = np.radians(TILT)
    turn_x = np.array([[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]])
    turn_y = np.array([[np.cos(about_y), 0, np.sin(about_y)], [0, 1, 0], [-np.sin(about_y), 0, np.cos(about_y)]])
    # The first axis lies across, the second as nearly upright as the cell's angle lets it.
    a, b, c = lattice
    e1 = a / np.linalg.norm(a)
    e3 = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    flat = np.stack([a, b, c]) @ np.stack([e1, np.cross(e3, e1), e3]).T
    seen: Floats = (flat @ turn_x.T @ turn_y.T)[:, :2]
    return seen


def _extent(structure: OrderedStructure) -> float:
    """Height over width of a panel."""
    corners = np.array([point for edge in _edges() for point in edge]) @ _upright(structure.lattice)
    width, height = np.ptp(corners, axis=0)
    return float(height / width)


def _edges() -> list[tuple[Floats, Floats]]:
    corners = [np.array([i, j, k], dtype=float) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return [(p, q) for n, p in enumerate(corners) for q in corners[n + 1 :] if np.abs(p - q).sum() == 1]


def _with_images(species: Sequence[str], frac: Floats, kinds: Sequence[str]) -> tuple[list[str], Floats]:
    """Sites and, for those of some kinds on a face of the cell, their images on the opposite faces."""
    names, places = list(species), [frac]
    for axis in range(3):
        known = np.vstack(places)
        of_kind = np.isin(names, list(kinds))
        near = np.flatnonzero(of_kind & (known[:, axis] < BESIDE))
        far = np.flatnonzero(of_kind & (known[:, axis] > 1 - BESIDE))
        for chosen, shift in ((near, 1.0), (far, -1.0)):
            if len(chosen):
                places.append(known[chosen] + shift * np.eye(3)[axis])
                names += [names[i] for i in chosen]
    return names, np.vstack(places)
