"""Structures relaxed under a model, and what follows: rankings, orderings achieved, hulls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...inputs.species import FloatArray
from ..open_models import ModelChoice
from ..relax_many import RelaxJob, relax_many
from ..relaxation import Relaxation
from .cases import OrderingCase
from .hull import HullPoint, hull_score
from .orderings import bond_valences, read_by_moments, read_by_valences
from .rankings import rank_structures
from .scores import Achieved, HullScore, Ranking, Start
from .settings import EvaluationSettings, Report


@dataclass(frozen=True)
class RelaxedCase:
    """A case relaxed from one start; `sites`: its redox atoms, in the case's order."""

    case: OrderingCase
    sites: NDArray[np.int_]
    result: Relaxation


def relax_cases(
    cases: Sequence[OrderingCase],
    start: Start,
    choice: ModelChoice,
    folder: Path,
    told: EvaluationSettings,
    left_out: Counter[str],
    report: Report,
) -> list[RelaxedCase]:
    jobs, sites, taken = [], [], []
    for case in cases:
        if start != "first" and case.found is None:
            left_out[f"structures without a known host, {start} start"] += 1
            continue
        atoms, redox = case.start(start, told.rattle, told.seed)
        jobs.append(RelaxJob(case.name, atoms))
        sites.append(redox)
        taken.append(case)
    results = relax_many(
        jobs, choice, told.relax, folder, told.workers,
        progress=lambda _, done, total: report(f"relaxing, {start} start", done, total),
    )  # fmt: skip
    return [RelaxedCase(*found) for found in zip(taken, sites, results, strict=True)]


def converged(done: Sequence[RelaxedCase]) -> list[RelaxedCase]:
    return [found for found in done if found.result.state == "converged"]


def rankings(start: Start, done: Sequence[RelaxedCase], reference: str | None) -> list[Ranking]:
    """One per working-ion ordering, and one per composition where that holds several of them."""
    groups: dict[str, list[RelaxedCase]] = defaultdict(list)
    for found in converged(done):
        if found.case.mixed:
            groups[found.case.group].append(found)
            groups[found.case.composition].append(found)
    rankings = []
    for group, members in groups.items():
        of_one_order = len({found.case.group for found in members}) == 1
        if len(members) < 2 or (of_one_order and group != members[0].case.group):
            continue
        names = [found.case.name for found in members]
        here = [f.case.name for f in members if reference in (f.case.name, f.case.key)] if reference else []
        true = [found.case.reference.energy for found in members]
        energies = [found.result.energy for found in members]
        rankings.append(rank_structures(group, start, names, true, energies, here[0] if here else None))  # type: ignore[arg-type]
    return rankings


def achieved(start: Start, done: Sequence[RelaxedCase], engine: str) -> list[Achieved]:
    mixed = [found for found in done if found.case.mixed]
    good = converged(mixed)
    scores = []
    for judge in ("moments", "bond valences"):
        told = [_read(found, judge, engine) for found in good]
        judged = [(found.case, high) for found, high in zip(good, told, strict=True) if high is not _NOT_SAID]
        if judged:
            scores.append(
                Achieved(
                    start=start,
                    judge=judge,
                    n=len(judged),
                    achieved=sum(high is not None and case.same_ordering(high) for case, high in judged),
                    undecided=sum(high is None for _, high in judged),
                    unconverged=len(mixed) - len(good),
                )
            )
    return scores


_NOT_SAID: Any = object()
"""A judge that this model has nothing for."""


def _read(found: RelaxedCase, judge: str, engine: str) -> Any:
    n_high = int(found.case.high.sum())
    if judge == "moments":
        moments = site_moments(found)
        return _NOT_SAID if moments is None else read_by_moments(moments, found.case.couple, engine, n_high)
    return read_by_valences(bond_valences(found.result.atoms(), found.sites), n_high)


def site_moments(found: RelaxedCase) -> FloatArray | None:
    moments = found.result.magmoms
    return None if moments is None else np.abs(np.array(moments)[found.sites])


def hulls(start: Start, done: Sequence[RelaxedCase]) -> list[HullScore]:
    """One per host and size of supercell, where both end members are there."""
    points = []
    for found in converged(done):
        case, energy = found.case, found.result.energy
        if case.fraction is None or case.formula_units is None or energy is None:
            continue
        units = case.formula_units
        points.append(HullPoint(case.name, float(case.fraction), case.reference.energy / units, energy / units))
    score = hull_score(start, points) if points else None
    return [] if score is None else [score]
