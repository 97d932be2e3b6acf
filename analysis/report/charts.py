"""Plotly figures as plain data, as plotly.js takes them: what all share. A test reads them with plotly's own classes.

Colours are Okabe and Ito's; every kind of mark has a shape, a dash or a hatching of its own as well, for prints in
grey. Text that plotly shows may hold tags, so whatever comes from documents is escaped (`plain`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

BLACK, GREY = "#000000", "#8a8a8a"
SERIES = (
    ("circle", "#0072B2", "solid"),
    ("square", "#D55E00", "dash"),
    ("diamond", "#009E73", "dot"),
    ("triangle-up", "#CC79A7", "dashdot"),
    ("cross", "#E69F00", "longdash"),
    ("star", "#56B4E9", "longdashdot"),
    ("triangle-down", "#5b4a00", "solid"),
    ("x", "#444444", "dash"),
)
"""Symbol, colour and dash of the n-th series; they begin anew after the last."""

HATCHES = ("", "/", ".", "x", "-", "+", "|", "\\")


@dataclass(frozen=True)
class Chart:
    """One chart of the report.

    Attributes
    ----------
    name : id in the page.
    title : above it; escaped by the template.
    text : what it shows, for readers and for those who do not see it.
    data, layout : plotly's.
    """

    name: str
    title: str
    text: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def plain(text: object) -> str:
    """Text as plotly may show it: no tag, no entity of its own."""
    return escape(str(text), quote=False)


def number(value: float | None) -> float | None:
    """A number that JSON has a word for; None for what is no number."""
    return None if value is None or not math.isfinite(value) else float(value)


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """Numbers that JSON has words for."""
    return [number(value) for value in values]


def series(place: int) -> tuple[str, str, str]:
    """Symbol, colour and dash of a series by its place."""
    return SERIES[place % len(SERIES)]


def marker(symbol: str, colour: str, size: float = 9, hollow: bool = False) -> dict[str, Any]:
    """A mark with a dark rim; hollow ones show the paper within."""
    if hollow:
        return {"symbol": f"{symbol}-open", "color": colour, "size": size, "line": {"width": 2}}
    return {"symbol": symbol, "color": colour, "size": size, "line": {"width": 0.8, "color": BLACK}}


def scatter(
    name: str,
    x: Sequence[Any],
    y: Sequence[float | None],
    style: dict[str, Any],
    texts: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """Marks with one text each, or a line.

    Parameters
    ----------
    name : in the legend.
    x, y : (n,) places.
    style : `marker` of marks.
    texts : (n,) shown on hover, lines separated by <br>, already `plain`.
    more : further fields of plotly's scatter.
    """
    found = {"type": "scatter", "mode": "markers", "name": plain(name), "x": list(x), "y": numbers(y), "marker": style}
    found |= {"text": list(texts), "hoverinfo": "text"} if texts else {"hoverinfo": "skip"}
    return found | more


def line(name: str, x: Sequence[float], y: Sequence[float], dash: str = "solid", colour: str = BLACK) -> dict[str, Any]:
    """A line without marks."""
    style = {"color": colour, "width": 1.5, "dash": dash}
    return {"type": "scatter", "mode": "lines", "name": plain(name), "x": list(x), "y": list(y), "line": style,
            "hoverinfo": "skip"}  # fmt: skip


def layout(x_title: str, y_title: str, note: str, **more: Any) -> dict[str, Any]:
    """Layout of all charts: axes with their units, the legend below, and whose numbers they are within the picture.

    Parameters
    ----------
    x_title, y_title : with units; already `plain`.
    note : engine and protocol, a rehearsal's warning first.
    more : further fields of plotly's layout.
    """
    axis = {"showgrid": True, "gridcolor": "#e4e4e4", "zeroline": False, "linecolor": "#555", "ticks": "outside",
            "automargin": True}  # fmt: skip
    stamp = {"text": plain(note), "xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left",
             "yanchor": "bottom", "showarrow": False, "font": {"size": 11, "color": "#444"}}  # fmt: skip
    return {
        "xaxis": {**axis, "title": {"text": x_title}, **more.pop("xaxis", {})},
        "yaxis": {**axis, "title": {"text": y_title}, **more.pop("yaxis", {})},
        "annotations": [stamp, *more.pop("annotations", [])],
        "margin": {"l": 60, "r": 16, "t": 28, "b": 50},
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#1a1a1a"},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hoverlabel": {"align": "left"},
        "height": 440,
        **more,
    }
