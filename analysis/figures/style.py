"""What the figures share: colours that the colour-blind tell apart, marks that tell them apart in grey, and sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#8C8C8C"


@dataclass(frozen=True)
class Mark:
    """How one kind of thing is drawn: matplotlib marker, face and edge colour, area in points squared."""

    marker: str
    face: str
    edge: str = BLACK
    area: float = 36.0

    def options(self, scale: float = 1.0) -> dict[str, Any]:
        """Arguments of `scatter`."""
        return {
            "marker": self.marker, "facecolor": self.face, "edgecolor": self.edge, "s": self.area * scale,
            "linewidth": 0.7,
        }  # fmt: skip


STATES = (Mark("o", YELLOW), Mark("s", BLUE))
"""Low and high charge state: light circles and dark squares."""

MODELS = (Mark("o", SKY), Mark("s", RED), Mark("^", GREEN), Mark("D", PURPLE), Mark("v", YELLOW), Mark("P", BLUE))
"""One model each, in the order given; of more, marks are used again."""


def model_mark(number: int) -> Mark:
    """Mark of the n-th model."""
    return MODELS[number % len(MODELS)]


def said_source(engine_and_protocol: str) -> str:
    """Engine and protocol for a title; rehearsals are said not to be DFT."""
    warning = "REHEARSAL, not DFT: " if "rehearsal:" in engine_and_protocol else ""
    return f"{warning}{engine_and_protocol}"


def titled(figure: Figure, title: str, source: str) -> None:
    """Put a title and, below it, engine and protocol over a figure."""
    figure.suptitle(f"{title}\n{said_source(source)}", fontsize=9)


def legend_below(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """One legend below the axes, where it covers nothing, of what one of them shows."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
