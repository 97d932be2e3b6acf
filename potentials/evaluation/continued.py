"""Whether the reference's energies are those of minima: its own potential goes on from where the model ended.

A potential that finds a structure lower than its reference did may be right: the reference's relaxation can have
stopped on a flat place. Where the potential that made the reference can be opened, it goes on from the model's minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..open_models import ModelChoice
from ..relax_many import RelaxJob, relax_many
from ..relaxation import Relaxation, RelaxSettings
from .orderings import read_by_moments
from .relaxed import RelaxedCase, converged
from .scores import ContinuedReference, Start

LOWER_MEV_PER_FU = 5.0
"""meV per formula unit by which the same ordering must lie lower for the reference to count as no minimum."""


def continued_references(
    start: Start,
    done: Sequence[RelaxedCase],
    judge: ModelChoice,
    engine: str,
    settings: RelaxSettings,
    folder: Path,
    workers: int,
) -> list[ContinuedReference]:
    """Relax on, under the potential that made the reference, from a model's minima of mixed-valence structures.

    Parameters
    ----------
    start, done : where relaxations began, and the relaxed structures.
    judge : the potential that made the reference; it reads geometry alone, so that the ordering is its own.
    engine : whose windows its moments are read by.
    settings, folder, workers : as for relaxations.

    Returns
    -------
    One per structure whose formula units are known, in their order.
    """
    good = [found for found in converged(done) if found.case.mixed and found.case.formula_units is not None]
    jobs = [RelaxJob(found.case.name, found.result.atoms()) for found in good]
    results = relax_many(jobs, judge, settings, folder, workers)
    return [_compared(start, found, result, engine) for found, result in zip(good, results, strict=True)]


def _compared(start: Start, found: RelaxedCase, result: Relaxation, engine: str) -> ContinuedReference:
    case = found.case
    assert case.formula_units is not None
    same, higher = None, None
    if result.state == "converged" and result.energy is not None:
        higher = 1000.0 * (result.energy - case.reference.energy) / case.formula_units
        if result.magmoms is not None:
            moments = np.abs(np.array(result.magmoms)[found.sites])
            high = read_by_moments(moments, case.couple, engine, int(case.high.sum()))
            same = None if high is None else case.same_ordering(high)
    return ContinuedReference(
        start=start,
        structure=case.name,
        state=result.state,
        higher_mev_per_fu=higher,
        same_ordering=same,
        reference_is_minimum=None if higher is None or not same else higher > -LOWER_MEV_PER_FU,
    )
