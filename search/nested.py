"""Working ions and charges together: the charges nested inside the search for the working ions.

Every working-ion ordering is evaluated with the charge ordering that is best by electrostatics, exactly. That is only a
seed: at the lowest working-ion orderings of each composition swaps of a high and a low site then descend under the
potential itself. Searching both at once takes twenty times as many evaluations.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..inputs.orderings.group import JointKey
from .hybrid import HybridSettings, hybrid_search
from .loop import Observation, Proposal, Searcher
from .pool import CandidatePool, Progress
from .space import Candidate, SearchSpace


@dataclass(frozen=True)
class NestedSettings:
    """How charges are refined under the potential.

    Attributes
    ----------
    refined : working-ion orderings of each composition, the lowest.
    swaps : swaps tried of each charge ordering, those of lowest electrostatic energy; together in one batch.
    """

    refined: int = 3
    swaps: int = 16

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.refined < 1 or self.swaps < 1:
            raise ValueError(f"refined = {self.refined} and swaps = {self.swaps} must be at least 1")


def nested_search(
    space: SearchSpace,
    settings: HybridSettings,
    nested: NestedSettings | None = None,
    progress: Progress | None = None,
    pool: CandidatePool | None = None,
) -> Searcher:
    """The learner over working ions, then descents of the charges.

    Parameters
    ----------
    space : of kind `ions`, with charges by electrostatics.
    settings, progress, pool : as in `hybrid_search`.
    nested : how charges are refined.

    Raises
    ------
    ValueError
        If the space is of another kind, or as in `hybrid_search`.
    """
    if space.kind != "ions" or space.charges != "electrostatics":
        raise ValueError("charges are nested in a search over ions with charges by electrostatics")
    return _nested(space, hybrid_search(space, settings, progress, pool), nested or NestedSettings())


def _nested(space: SearchSpace, outer: Searcher, settings: NestedSettings) -> Searcher:
    energies: dict[Candidate, float] = {}
    observations: Sequence[Observation] | None = None
    while True:
        try:
            proposals = next(outer) if observations is None else outer.send(observations)
        except StopIteration:
            break
        observations = yield proposals
        energies |= {one.candidate: one.energy for one in observations}
    for n_working in space.compositions:
        mine = [one for one in energies if one.n_working == n_working and np.isfinite(energies[one])]
        for candidate in sorted(mine, key=lambda one: (energies[one], one.name))[: settings.refined]:
            yield from _descend(space, candidate, energies[candidate], settings.swaps)


def _descend(
    space: SearchSpace, candidate: Candidate, energy: float, n_swaps: int
) -> Generator[Sequence[Proposal], Sequence[Observation], None]:
    """Swap charges at one working-ion ordering while that lowers the energy."""
    charges = replace(space, kind="charges", at=candidate.bits, compositions=(candidate.n_working,))
    here = charges.candidate_of(space.key(candidate))
    assert here is not None  # the key's working ions are the candidate's
    while True:
        swaps = charges.swaps(here)
        if not swaps:
            return
        rows = np.array([np.concatenate([candidate.bits, one.bits]) for one in swaps])
        order = np.argsort(space.electrostatics.polynomial.energies(rows), kind="stable")[:n_swaps]
        tried = [swaps[i] for i in order]
        keys: list[JointKey] = [charges.key(one) for one in tried]
        found = yield [Proposal(candidate, "charge swap", key) for key in keys]
        best = min(range(len(found)), key=lambda i: found[i].energy)
        if found[best].energy >= energy - 1e-9:
            return
        here, energy = tried[best], found[best].energy
