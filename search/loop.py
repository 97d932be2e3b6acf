"""The loop that every searcher runs in: it asks for a batch of candidates, is told their energies, and asks again.

A searcher is a generator: `observations = yield candidates`. It ends where it sees no improvement; the loop ends it at
the limit of evaluations. What counts as evaluation is a distinct ordering, which is a full relaxation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..inputs.orderings.group import JointKey
from .evaluation import Evaluation
from .record import SearchRecord
from .space import Candidate, SearchSpace


@dataclass(frozen=True)
class Proposal:
    """A candidate with what proposed it.

    Attributes
    ----------
    candidate : of the search space.
    origin : `random`, `predicted`, `neighbour`, an operator's name, ...
    key : the ordering to be evaluated; None: the one that the space evaluates for the candidate.
    """

    candidate: Candidate
    origin: str
    key: JointKey | None = None


@dataclass(frozen=True)
class Observation:
    """What became of a proposal.

    Attributes
    ----------
    candidate : the one that was proposed.
    learned : the one that came out, to be learned from; None where it failed, cannot be told or left the space.
    energy : eV per supercell; infinite where it failed, so that it is never the lowest.
    """

    candidate: Candidate
    learned: Candidate | None
    energy: float


Searcher = Generator[Sequence[Proposal], Sequence[Observation], None]


@dataclass
class Outcome:
    """What a search found.

    Attributes
    ----------
    best : composition -> the lowest evaluation there.
    origins : key -> what proposed it first.
    n_evaluations : distinct orderings evaluated for this search.
    n_proposed : proposals, symmetry copies and repetitions included.
    n_failed : evaluations without an energy.
    converged : the searcher ended by itself; False: at the limit of evaluations.
    improvements : (n_evaluations, composition, energy) whenever the best of a composition improved.
    """

    best: dict[int, Evaluation] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    n_evaluations: int = 0
    n_proposed: int = 0
    n_failed: int = 0
    converged: bool = False
    improvements: list[tuple[int, int, float]] = field(default_factory=list)


Progress = Callable[[Outcome, Evaluation], None]


def run_search(
    searcher: Searcher,
    space: SearchSpace,
    record: SearchRecord,
    at_most: int | None = None,
    progress: Progress | None = None,
    until: Callable[[Outcome], bool] | None = None,
) -> Outcome:
    """Run a searcher to its end.

    Parameters
    ----------
    searcher : what proposes.
    space : what is searched.
    record : what evaluates, and knows what was evaluated before.
    at_most : distinct orderings to be evaluated; None: no limit.
    progress : called after each evaluation that was really done.
    until : ends the search when it says so, after any batch.

    Raises
    ------
    ValueError
        If not one evaluation of the first batch has an energy.
    """
    outcome, seen = Outcome(), set[str]()
    try:
        proposals = next(searcher)
        while True:
            observations = _observed(proposals, space, record, outcome, seen, at_most, progress)
            if until is not None and until(outcome):
                return outcome
            if observations is None:
                return outcome
            proposals = searcher.send(observations)
    except StopIteration:
        outcome.converged = True
        return outcome
    finally:
        searcher.close()


def _observed(
    proposals: Sequence[Proposal],
    space: SearchSpace,
    record: SearchRecord,
    outcome: Outcome,
    seen: set[str],
    at_most: int | None,
    progress: Progress | None,
) -> list[Observation] | None:
    """Evaluate a batch; None where the limit cut it."""
    keys = [proposal.key or space.key(proposal.candidate) for proposal in proposals]
    new = [key for key in dict.fromkeys(keys) if str(key) not in seen]
    allowed = len(new) if at_most is None else min(len(new), at_most - len(seen))
    for proposal, key in zip(proposals, keys, strict=True):
        outcome.origins.setdefault(str(key), proposal.origin)
    evaluations = record.evaluate(new[:allowed], None if progress is None else lambda one: progress(outcome, one))
    for evaluation in evaluations:
        seen.add(str(evaluation.key))
        _count(outcome, space, evaluation, len(seen))
    if evaluations and len(seen) == len(evaluations) and not any(one.counts for one in evaluations):
        raise ValueError(
            f"none of the first {len(evaluations)} evaluations gave an energy; the first says: {evaluations[0].failure}"
        )
    outcome.n_proposed += len(proposals)
    if allowed < len(new):
        return None
    found = record.evaluate(keys)
    return [_observation(space, p.candidate, one) for p, one in zip(proposals, found, strict=True)]


def _count(outcome: Outcome, space: SearchSpace, evaluation: Evaluation, n_evaluations: int) -> None:
    outcome.n_evaluations = n_evaluations
    if not evaluation.counts:
        outcome.n_failed += 1
        return
    n_working = int(evaluation.key.working.sum())
    best = outcome.best.get(n_working)
    if best is None or evaluation.energy < best.energy:
        outcome.best[n_working] = evaluation
        outcome.improvements.append((n_evaluations, n_working, evaluation.energy))


def _observation(space: SearchSpace, candidate: Candidate, evaluation: Evaluation) -> Observation:
    if not evaluation.counts:
        return Observation(candidate, None, float(np.inf))
    learned = None if evaluation.achieved is None else space.candidate_of(evaluation.achieved)
    return Observation(candidate, learned, evaluation.energy)
