"""Thinning of relaxations: neighbouring frames say the same twice, so a set may take fewer of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from .frame_entries import FrameEntry


@dataclass(frozen=True)
class Thinning:
    """Which frames of a run are taken; its first and last that pass the filters always are.

    Attributes
    ----------
    every : every n-th frame, by its number in the run; 1 takes all.
    energy : a frame is taken where its energy differs so much from the last one taken, eV/atom; 0 takes all.
    force : the same for the largest force, eV/A. Where both are given, either is enough.
    """

    every: int = 1
    energy: float = 0.0
    force: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what takes nothing."""
        if self.every < 1:
            raise ValueError(f"thinning: every {self.every} frames; give 1 or more")
        for name, step, unit in (("energy", self.energy, "eV/atom"), ("force", self.force, "eV/A")):
            if not 0 <= step < float("inf"):
                raise ValueError(f"thinning: {name} step {step:g} {unit}; give a finite number, 0 or more")

    def __bool__(self) -> bool:
        """Whether anything is thinned."""
        return self.every > 1 or self.energy > 0 or self.force > 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return asdict(self)

    def kept(self, entries: Iterable[FrameEntry]) -> Iterator[FrameEntry]:
        """Entries that are taken.

        Parameters
        ----------
        entries : frames of a run one after the other, in order.
        """
        if not self:
            yield from entries
            return
        for _, run in groupby(entries, key=lambda entry: entry.run_id):
            yield from self._of_run(list(run))

    def _of_run(self, run: list[FrameEntry]) -> Iterator[FrameEntry]:
        last = None
        for index, entry in enumerate(run):
            at_end = index in (0, len(run) - 1)
            if at_end or (entry.number % self.every == 0 and self._differs(entry, last)):
                last = entry
                yield entry

    def _differs(self, entry: FrameEntry, last: FrameEntry | None) -> bool:
        if last is None or not (self.energy or self.force):
            return True
        by_energy = self.energy > 0 and abs(entry.energy_per_atom - last.energy_per_atom) >= self.energy
        return by_energy or (self.force > 0 and abs(entry.max_force - last.max_force) >= self.force)
