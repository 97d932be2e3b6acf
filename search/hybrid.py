"""The default searcher: an active learner that evaluates what a cheap model expects to be low, what lies beside the
best so far, and a little at random.

Ridge regression on correlation functions and the electrostatic energy; the order of the clusters and the strength of
the ridge are chosen anew in every round, since a model too simple for the landscape locks in. At one composition it
goes for the lowest energy, at several for the vertices of the convex hull between the end members (paper Eq. 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inputs.orderings.energies import Floats
from ..stores.relative_energy import hull_energies
from .loop import Observation, Proposal, Searcher
from .pool import CandidatePool, Progress, neighbours
from .ridge import fit_ridge
from .space import Candidate, SearchSpace

Rows = NDArray[np.int_]


@dataclass(frozen=True)
class HybridSettings:
    """How the learner spends its evaluations.

    Attributes
    ----------
    start : evaluations before the first fit; a quarter of them the lowest by electrostatics, the others random. At
        several compositions the end members and the lowest by electrostatics of each composition come first.
    predicted, neighbours, random : of each round: best predicted, swap neighbours of the best found, random.
    parents : best found whose neighbours are taken.
    patience : rounds without an improvement after which the search ends.
    n_sampled : candidates drawn where a composition has too many orderings to list them.
    seed : of all that is random.
    """

    start: int = 40
    predicted: int = 10
    neighbours: int = 7
    random: int = 3
    parents: int = 3
    patience: int = 6
    n_sampled: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that every round does something."""
        for name in ("start", "predicted", "parents", "patience", "n_sampled"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if min(self.neighbours, self.random) < 0 or self.start < 2:
            raise ValueError(
                f"neighbours = {self.neighbours} and random = {self.random} must not be negative, and start = "
                f"{self.start} must be at least 2"
            )


def hybrid_search(
    space: SearchSpace,
    settings: HybridSettings,
    progress: Progress | None = None,
    pool: CandidatePool | None = None,
) -> Searcher:
    """The learner as a searcher.

    Parameters
    ----------
    space : of kind `ions` or `charges`; with several compositions both end members must be among them.
    settings : how evaluations are spent.
    progress : called with (what, done, to do) while the candidates are prepared.
    pool : the candidates, where they are prepared already (several searches of one listed space share them).

    Raises
    ------
    ValueError
        If the space is of another kind, or an end member is missing (it is named).
    """
    space.check_end_members()
    pool = pool or CandidatePool(space, settings.n_sampled, settings.seed, progress)
    return _rounds(_Learner(space, pool, settings), settings)


def _rounds(learner: _Learner, settings: HybridSettings) -> Searcher:
    stale = 0
    learner.learn((yield learner.started()))
    while stale < settings.patience:
        proposals = learner.proposed()
        if not proposals:
            return
        stale = 0 if learner.learn((yield proposals)) else stale + 1


class _Learner:
    """What is known, and what to ask next."""

    def __init__(self, space: SearchSpace, pool: CandidatePool, settings: HybridSettings) -> None:
        self.space, self.pool, self.settings = space, pool, settings
        self._random = np.random.default_rng(settings.seed)
        self._asked: set[int] = set()
        self._energies: dict[int, float] = {}  # row -> lowest energy that came out there, eV
        self._best: dict[int, float] = {}  # composition -> lowest energy, or height of its hull vertex

    @property
    def _aims_at_hull(self) -> bool:
        return len(self.space.compositions) > 1

    def started(self) -> list[Proposal]:
        """The first batch."""
        lowest = np.argsort(self.pool.electrostatic, kind="stable")
        if self._aims_at_hull:
            of = self.pool.n_working
            seeds = [int(lowest[of[lowest] == n][0]) for n in self.space.compositions]
        else:
            seeds = lowest[: -(-self.settings.start // 4)].tolist()
        proposals = self._taken(seeds, "electrostatics")
        return proposals + self._taken(self._drawn(), "random", self.settings.start - len(proposals))

    def proposed(self) -> list[Proposal]:
        """The batch of a round; empty where everything was evaluated."""
        rows, energies = self._known()
        if len(rows) < 2:  # everything else failed, or came out as one ordering: nothing to learn from yet
            return self._taken(self._drawn(), "random", self.settings.start)
        relative = self._relative(rows, energies)
        beside = self.pool.rows_of(neighbours(self.space, self._parents(rows, relative)))
        ridge = fit_ridge(self.pool.features(rows), relative, self.pool.orders)
        predicted = self._height(self.pool.predict(ridge), np.arange(len(self.pool)), rows, relative)
        settings = self.settings
        best = self._taken(self._spread(np.argsort(predicted, kind="stable")), "predicted", settings.predicted)
        near = self._taken(beside[np.argsort(predicted[beside], kind="stable")], "neighbour", settings.neighbours)
        return best + near + self._taken(self._drawn(), "random", settings.random)

    def learn(self, observations: Sequence[Observation]) -> bool:
        """Take in what came out; whether any best improved."""
        for one in observations:
            if one.learned is not None:
                row = int(self.pool.rows_of([one.learned])[0])
                self._asked.add(row)
                self._energies[row] = min(one.energy, self._energies.get(row, np.inf))
        rows, energies = self._known()
        relative = self._relative(rows, energies)
        on_hull = self._height(relative, rows, rows, relative) <= 1e-9
        best: dict[int, float] = {}
        for row, value, is_vertex in zip(rows.tolist(), relative.tolist(), on_hull.tolist(), strict=True):
            n = int(self.pool.n_working[row])
            if is_vertex or not self._aims_at_hull:
                best[n] = min(value, best.get(n, np.inf))
        improved = any(value < self._best.get(n, np.inf) - 1e-9 for n, value in best.items())
        self._best = {**self._best, **best}
        return improved

    def _known(self) -> tuple[Rows, Floats]:
        rows = np.array(sorted(self._energies), dtype=int)
        return rows, np.array([self._energies[row] for row in rows.tolist()])

    def _relative(self, rows: Rows, energies: Floats) -> Floats:
        """Energies relative to the end members, eV per supercell; as they are at one composition."""
        if not self._aims_at_hull:
            return energies
        of, n = self.pool.n_working[rows], self.space.group.n_working
        for number, name in ((0, "x = 0"), (n, "x = 1")):
            if number not in of:
                raise ValueError(f"the end member {name} could not be evaluated: without it there is no hull to aim at")
        x = of / n
        line: Floats = (1 - x) * energies[of == 0].min() + x * energies[of == n].min()
        return energies - line

    def _height(self, values: Floats, of_rows: Rows, rows: Rows, relative: Floats) -> Floats:
        """Energies above the hull of what is known; at one composition above its lowest."""
        if not self._aims_at_hull:
            return np.asarray(values - relative.min())
        of, n = self.pool.n_working, self.space.group.n_working
        grid = np.unique(of[rows])
        lowest = np.array([relative[of[rows] == number].min() for number in grid])
        line: Floats = np.interp(of[of_rows] / n, grid / n, hull_energies(grid / n, lowest))
        return values - line

    def _parents(self, rows: Rows, relative: Floats) -> list[Candidate]:
        """The lowest above the hull; at several compositions one of each first, the vertices."""
        order = np.argsort(self._height(relative, rows, rows, relative), kind="stable")
        if not self._aims_at_hull:
            return [self.pool.candidate(int(row)) for row in rows[order[: self.settings.parents]]]
        of = self.pool.n_working[rows]
        mixed = [i for i in order if 0 < of[i] < self.space.group.n_working]
        first = [i for place, i in enumerate(mixed) if of[i] not in of[mixed[:place]]]
        low = [i for i in first if self._height(relative[[i]], rows[[i]], rows, relative)[0] <= 1e-9] or first[:1]
        return [self.pool.candidate(int(rows[i])) for i in low]

    def _spread(self, order: Rows) -> Iterable[int]:
        """At several compositions no more of one than a share of a round, so that one cannot take it all."""
        if not self._aims_at_hull:
            yield from order
            return
        at_most, taken = -(-self.settings.predicted // 3), dict.fromkeys(self.space.compositions, 0)
        for row in order:
            n = int(self.pool.n_working[row])
            if taken[n] < at_most and int(row) not in self._asked:
                taken[n] += 1
                yield row

    def _drawn(self) -> Iterable[int]:
        """Rows in random order; at several compositions each composition equally likely."""
        while len(self._asked) < len(self.pool):
            if not self._aims_at_hull:
                yield int(self._random.integers(len(self.pool)))
                continue
            n = int(self._random.choice(self.space.compositions))
            yield int(self._random.choice(np.flatnonzero(self.pool.n_working == n)))

    def _taken(self, rows: Iterable[int], origin: str, at_most: int | None = None) -> list[Proposal]:
        """Proposals of rows that were not asked before."""
        taken: list[Proposal] = []
        for row in rows:
            if at_most is not None and len(taken) >= at_most:
                break
            if int(row) not in self._asked:
                self._asked.add(int(row))
                taken.append(Proposal(self.pool.candidate(int(row)), origin))
        return taken
