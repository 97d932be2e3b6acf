"""A row of the one table of benchmarks/reliability.py."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = ("part", "case", "result", "detail")
_WIDTHS = (9, 38, 14)


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes
    ----------
    part : of the table.
    case : what was done.
    result : what came of it, in a word or two.
    detail : how.
    good : it is as promised.
    """

    part: str
    case: str
    result: str
    detail: str
    good: bool = True

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What is shown."""
        return self.part, self.case, self.result, self.detail


def as_text(cells: tuple[str, ...]) -> str:
    """One line in columns."""
    *left, detail = cells
    return "  ".join([*(cell.ljust(width) for cell, width in zip(left, _WIDTHS, strict=True)), detail])


def as_markdown(cells: tuple[str, ...]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
