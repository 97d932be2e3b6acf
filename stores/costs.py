"""What a campaign's calculations cost: wall time and core-hours, from the run statistics that VASP reports. Light."""

from __future__ import annotations

from dataclasses import dataclass

from .connect import Stores
from .overview import count_by


@dataclass
class Cost:
    """What the finished calculations of an engine cost, all attempts together.

    Attributes
    ----------
    calculations : with a document.
    timed : that say how long they ran.
    elapsed_s : their wall time, one after the other, s.
    counted : that say their cores too.
    core_hours : of those, h.
    """

    calculations: int = 0
    timed: int = 0
    elapsed_s: float = 0.0
    counted: int = 0
    core_hours: float = 0.0

    @property
    def mean_s(self) -> float | None:
        """Mean wall time of a configuration, s."""
        return self.elapsed_s / self.timed if self.timed else None

    def add(self, elapsed_s: float | None, core_hours: float | None, number: int) -> None:
        """Count calculations of the same cost."""
        self.calculations += number
        if elapsed_s is not None:
            self.timed, self.elapsed_s = self.timed + number, self.elapsed_s + number * elapsed_s
        if core_hours is not None:
            self.counted, self.core_hours = self.counted + number, self.core_hours + number * core_hours


def costs(stores: Stores, campaign: str) -> dict[str, Cost]:
    """Cost of a campaign by engine."""
    found: dict[str, Cost] = {}
    fields = ("campaign", "engine", "elapsed_s", "core_hours")
    for (name, engine, elapsed_s, core_hours), number in count_by(stores.collection("calculations"), fields):
        if name == campaign:
            found.setdefault(engine, Cost()).add(elapsed_s, core_hours, number)
    return found
