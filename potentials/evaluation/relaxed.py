"""Structures relaxed under a model, and what follows: rankings, orderings achieved, hulls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...inputs.orderings.group import Bits
from ...inputs.species import FloatArray
from ..open_models import ModelChoice
from ..relax_many import RelaxJob, relax_many
from ..relaxation import Relaxation, RelaxSettings
from .cases import OrderingCase
from .hull import HullPoint, hull_score
from .orderings import bond_valences, read_by_moments, read_by_valences
from .rankings import rank_structures
from .scores import Achieved, HullScore, Judge, Ranking, Start
from .settings import EvaluationSettings, Report

JUDGED_PER_PROCESS = 50
"""Structures that a process more is opened for: CHGNet opens in 5 s and takes 0.2 s for one of 56 atoms."""


@dataclass(frozen=True)
class RelaxedCase:
    """A case relaxed from one start; `sites`: its redox atoms, in the case's order."""

    case: OrderingCase
    sites: NDArray[np.int_]
    result: Relaxation


def relax_cases(
    cases: Sequence[OrderingCase],
    choice: ModelChoice,
    folder: Path,
    told: EvaluationSettings,
    left_out: Counter[str],
    report: Report,
) -> dict[Start, list[RelaxedCase]]:
    """Relax every case from every start; what has no such start is counted in `left_out`."""
    begun: list[tuple[Start, OrderingCase, NDArray[np.int_]]] = []
    jobs: list[RelaxJob] = []
    for start in told.starts:
        for case in cases:
            if start != "first" and case.found is None:
                left_out[f"structures without a known host, {start} start"] += 1
                continue
            atoms, sites = case.start(start, told.rattle, told.seed)
            jobs.append(RelaxJob(case.name, atoms))
            begun.append((start, case, sites))
    # All at once, as every call opens the model anew in its processes.
    results = relax_many(
        jobs, choice, told.relax, folder, told.workers,
        progress=lambda _, done, total: report("relaxing", done, total),
    )  # fmt: skip
    found: dict[Start, list[RelaxedCase]] = {start: [] for start in told.starts}
    for (start, case, sites), result in zip(begun, results, strict=True):
        found[start].append(RelaxedCase(case, sites, result))
    return found


def converged(done: Sequence[RelaxedCase]) -> list[RelaxedCase]:
    """Those whose relaxation converged: nothing else is scored."""
    return [found for found in done if found.result.state == "converged"]


def unconverged(start: Start, done: Sequence[RelaxedCase]) -> dict[str, int]:
    """How many relaxations from a start are not scored, and how many of them leave their host without a hull."""
    lost = [found for found in done if found.result.state != "converged"]
    ends = [found for found in lost if not found.case.mixed]
    counts = {
        f"mixed structures whose relaxation did not converge, {start} start": len(lost) - len(ends),
        f"end members whose relaxation did not converge, so that they are in no hull, {start} start": len(ends),
    }
    return {reason: count for reason, count in counts.items() if count}


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
        rankings.append(
            rank_structures(
                group, start, names, true, energies,  # type: ignore[arg-type]  # converged: each has an energy
                here[0] if here else None, members[0].case.formula_units,
            )
        )  # fmt: skip
    return rankings


def achieved(
    start: Start, done: Sequence[RelaxedCase], engine: str, judged: Mapping[str, FloatArray] | None
) -> list[Achieved]:
    """How many orderings came out as told, by each judge that there is; none of none where nothing converged.

    Parameters
    ----------
    start, done : relaxed structures.
    engine : whose label windows read moments.
    judged : name -> (n_redox,) moments by the judging potential (`judge_moments`); None without one.
    """
    mixed = [found for found in done if found.case.mixed]
    good = converged(mixed)
    own = {f.case.name: moments for f in good if (moments := site_moments(f)) is not None}
    by_moments: dict[Judge, Mapping[str, FloatArray]] = {"moments": own, "judge": judged or {}}
    told: dict[Judge, list[tuple[OrderingCase, Bits | None]]] = {
        judge: [
            (f.case, read_by_moments(moments[f.case.name], f.case.couple, engine, int(f.case.high.sum())))
            for f in good
            if f.case.name in moments
        ]
        for judge, moments in by_moments.items()
    }
    told["bond valences"] = [
        (f.case, read_by_valences(bond_valences(f.result.atoms(), f.sites), int(f.case.high.sum()))) for f in good
    ]
    return [
        Achieved(
            start=start,
            judge=judge,
            n=len(found),
            achieved=sum(high is not None and case.same_ordering(high) for case, high in found),
            undecided=sum(high is None for _, high in found),
            unconverged=len(mixed) - len(good),
        )
        for judge, found in told.items()
        if found or (judge == "bond valences" and mixed)  # who judges by geometry is always there: none of none, then
    ]


def judge_moments(
    relaxed: Mapping[Start, Sequence[RelaxedCase]], judge: ModelChoice, folder: Path, workers: int
) -> dict[Start, dict[str, FloatArray]]:
    """Absolute moments of redox sites at relaxed structures by another potential, which is not told the labels.

    Parameters
    ----------
    relaxed : start -> relaxed structures.
    judge : a potential with moments and without charge states.
    folder : as for relaxations.
    workers : processes at most; for few structures opening the judge in each would take longer than they do.

    Returns
    -------
    Start -> name of the structure -> (n_redox,) muB.

    Raises
    ------
    ValueError
        If the judge knows charge states, has no moments, or cannot evaluate a structure.
    """
    good = [(start, f) for start, done in relaxed.items() for f in converged(done) if f.case.mixed]
    calculator = judge.open()
    if calculator.species_map.knows_charge_states or "magmoms" not in calculator.implemented_properties:
        raise ValueError(f"{judge.title} cannot judge: a judge has moments, and reads geometry alone, not labels")
    jobs = [RelaxJob(found.case.name, found.result.atoms()) for _, found in good]
    results = relax_many(jobs, judge, RelaxSettings(steps=0), folder, min(workers, 1 + len(jobs) // JUDGED_PER_PROCESS))
    moments: dict[Start, dict[str, FloatArray]] = {start: {} for start in relaxed}
    for (start, found), result in zip(good, results, strict=True):
        if result.magmoms is None:
            raise ValueError(f"{judge.title} cannot judge {result.name}: {result.reason}")
        moments[start][found.case.name] = np.abs(np.array(result.magmoms)[found.sites])
    return moments


def site_moments(found: RelaxedCase) -> FloatArray | None:
    """(n_redox,) absolute moments by the model itself, muB; None where it has none."""
    moments = found.result.magmoms
    return None if moments is None else np.abs(np.array(moments)[found.sites])


def hulls(start: Start, done: Sequence[RelaxedCase]) -> list[HullScore]:
    """One per host, where both end members are there."""
    points: dict[str, list[HullPoint]] = defaultdict(list)
    for found in converged(done):
        case, energy = found.case, found.result.energy
        if case.found is None or case.fraction is None or case.formula_units is None or energy is None:
            continue
        units = case.formula_units
        points[case.found.cell.host.content_hash].append(
            HullPoint(case.name, float(case.fraction), case.reference.energy / units, energy / units)
        )
    return [score for members in points.values() if (score := hull_score(start, members)) is not None]
