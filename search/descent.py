"""Restart swap descent: from a random ordering downhill by swaps until none lowers the energy, then anew.

The control that every cleverer searcher has to beat. It remembers what it evaluated: a swap that leads to a known
ordering costs nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .loop import Observation, Proposal, Searcher
from .space import Candidate, SearchSpace


@dataclass(frozen=True)
class DescentSettings:
    """How the descent goes.

    Attributes
    ----------
    batch : swaps evaluated together; the first that lowers the energy is taken. 1 wastes none; more run in parallel.
    patience : descents that end no lower than the best before the search ends, per composition.
    seed : of starts and of the order of swaps.
    """

    batch: int = 1
    patience: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.batch < 1 or self.patience < 1:
            raise ValueError(f"batch = {self.batch} and patience = {self.patience} must be at least 1")


def descent_search(space: SearchSpace, settings: DescentSettings) -> Searcher:
    """Restart swap descent as a searcher; compositions one after the other."""
    random = np.random.default_rng(settings.seed)
    for n_working in space.compositions:
        best, stale = float("inf"), 0
        for start in _starts(space, n_working, random):
            reached = yield from _descend(space, start, settings, random)
            improved = reached < best - 1e-9
            best, stale = min(best, reached), 0 if improved else stale + 1
            if stale >= settings.patience:
                break


def _starts(space: SearchSpace, n_working: int, random: np.random.Generator) -> Iterator[Candidate]:
    """Random starts, without end unless there is only one ordering."""
    part = space.parts[n_working]
    while True:
        rows = []
        for n_sites, n_ones in part.ones:
            row = np.zeros(n_sites, dtype=bool)
            row[random.permutation(n_sites)[:n_ones]] = True
            rows.append(row)
        yield space.candidate(n_working, np.concatenate(rows))
        if part.distinct == 1:
            return


def _descend(
    space: SearchSpace, start: Candidate, settings: DescentSettings, random: np.random.Generator
) -> Generator[Sequence[Proposal], Sequence[Observation], float]:
    """One descent; returns the energy where it ends, infinite where the start failed."""
    (first,) = yield [Proposal(start, "random")]
    here, energy = start, first.energy
    while True:
        swaps = space.swaps(here)
        order = random.permutation(len(swaps)).tolist()
        for begin in range(0, len(order), settings.batch):
            batch = [Proposal(swaps[i], "swap") for i in order[begin : begin + settings.batch]]
            found = yield batch
            best = min(found, key=lambda one: one.energy)
            if best.energy < energy - 1e-9:
                here, energy = best.candidate, best.energy
                break
        else:
            return energy
