"""The page: template, style, scripts, plotly.js and data in one HTML file that asks the network for nothing.

Text is escaped by Jinja2. The page's own policy allows no load from anywhere and no script but the three that it was
written with, told by their hashes: text of a document that turned into markup after all could not run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt
from markupsafe import Markup

from ...stores.relations import rehearsal_note
from .calculations import Part
from .cards import DataSetCard
from .charts import Chart
from .models import Comparison
from .pictures import Picture
from .remedies import Note

_TEMPLATES = files("valenceflow.analysis.report.templates")
_PLOTLY, _PLOTLY_LICENCE = "plotly-basic.min.js", "MIT licence"
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Advice:
    """A line of what to do; a command is shown so that it can be copied."""

    text: str
    is_command: bool = False


@dataclass
class Report:
    """All that the page shows.

    Attributes
    ----------
    title : of the page.
    engines : whose numbers are in it, models' data sets included.
    notes : what is missing.
    summary : name and value of what is told first.
    counts : header and rows of configurations by engine and fraction.
    parts, charts : calculations that compare, and the charts of each by its place.
    structures, without_structure : by calculation id, and how many were left out for size.
    failures, lost : groups of lines.
    comparisons, model_charts : as parts and charts.
    cards, pictures : data sets, and figures drawn elsewhere.
    """

    title: str
    engines: Sequence[str]
    notes: Sequence[Note] = ()
    summary: Sequence[tuple[str, str]] = ()
    counts: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ())
    parts: Sequence[Part] = ()
    charts: Sequence[Sequence[Chart]] = ()
    structures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    without_structure: int = 0
    failures: Sequence[Sequence[Advice]] = ()
    lost: Sequence[Sequence[Advice]] = ()
    comparisons: Sequence[Comparison] = ()
    model_charts: Sequence[Sequence[Chart]] = ()
    cards: Sequence[DataSetCard] = ()
    pictures: Sequence[Picture] = ()

    @property
    def warning(self) -> str:
        """A rehearsal's warning with its engines; empty for real numbers."""
        rehearsed = [engine for engine in dict.fromkeys(self.engines) if rehearsal_note(engine)]
        return f"{rehearsal_note(rehearsed[0])}: {', '.join(rehearsed)}" if rehearsed else ""


def page(report: Report) -> str:
    """The HTML of a report; the same report gives the same text."""
    scripts = {"viewer": _text("viewer.js"), "report": _text("report.js")}
    every = [chart for charts in (*report.charts, *report.model_charts) for chart in charts]
    packed = _packed_plotly() if every else ""
    hashes = [_hash(text) for text in (*scripts.values(), *([_text(_PLOTLY)] if every else []))]
    return _environment().get_template("report.html").render(
        report=report,
        style=Markup(_text("report.css")),  # noqa: S704 - our own file
        scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704 - our own files
        policy=f"{_POLICY}; script-src {' '.join(hashes)}",
        plotly=packed,
        plotly_version=_plotly_version() if every else "",
        chart_data={chart.name: {"data": chart.data, "layout": chart.layout} for chart in every},
        structures=packed_json(report.structures) if report.structures else "",
        version=version("valenceflow"),
    )  # fmt: skip


def packed_json(value: Any) -> str:
    """A value as JSON, compressed, in base64: what the page's scripts unpack."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return _packed(text.encode())


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


@lru_cache(maxsize=1)
def _packed_plotly() -> str:
    """plotly.js with the traces that charts are made of, compressed; browsers of 2023 and later unpack it."""
    return _packed(_text(_PLOTLY).encode())


def _plotly_version() -> str:
    found = re.search(r"plotly\.js .*v([\d.]+)", _text(_PLOTLY)[:200])
    return f"plotly.js {found.group(1) if found else ''} ({_PLOTLY_LICENCE}, Plotly, Inc.)"


def _hash(script: str) -> str:
    """A script's name in the page's policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["energy"] = lambda value: "-" if value is None else f"{value:z.1f}"
    environment.filters["card"] = _card_html
    return environment


def _card_html(text: str) -> Markup:
    """A card's Markdown as HTML: raw HTML in it is shown as text; pictures, which would be fetched, are left out."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image"])
    return Markup(reader.render(text))  # noqa: S704 - markdown-it escapes what it does not make itself
