"""Tables and lines that fit the terminal with every number and path whole. Imported where something is shown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from .wording import Exact

_WIDE = 10_000


def plain_table(title: str = "", caption: str = "", gap: int = 1) -> Table:
    """An empty table in the style of all of ours.

    Parameters
    ----------
    title, caption : lines above and below.
    gap : blanks between columns, beside the one that is always there.
    """
    return Table(title=title or None, caption=caption or None, box=SIMPLE_HEAD, pad_edge=False, padding=(0, gap, 0, 0))


def fits(table: Table, console: Console) -> bool:
    """Whether a table needs no more than the terminal's width."""
    return Measurement.get(console, console.options.update(width=_WIDE), table).maximum <= console.width


def first_that_fits(layouts: Iterable[Table], console: Console) -> Table | None:
    """The first of several layouts, fullest first, that fits the terminal; None if none does."""
    return next((table for table in layouts if fits(table, console)), None)


def broken(header: str, at: str = " ") -> str:
    """A header over two lines where it can be broken near its middle.

    Parameters
    ----------
    header : in one line; one that has two is left as it is.
    at : where it may be broken; a blank there is left out.
    """
    if "\n" in header:
        return header
    places = [i for i, letter in enumerate(header) if letter == at]
    if not places:
        return header
    middle = min(places, key=lambda i: abs(i - len(header) / 2))
    return f"{header[: middle + (at != ' ')]}\n{header[middle + 1 :]}"


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Lines of text: on a terminal broken between words, unless they are `Exact`; in a file as they are."""
    for line in lines:
        shown = [line] if isinstance(line, Exact) or not console.is_terminal else _wrapped(line, console.width)
        for part in shown:
            console.print(part, highlight=False, markup=False, soft_wrap=True)


def _wrapped(line: str, width: int) -> list[str]:
    """A line over several, none of its words broken: a path stays whole, and its end is left to the terminal."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
