"""Scores of models that differ by nothing but their seed, taken together: what is true of a kind of model.

One summary per kind, with or without charge states, and start; per working-ion ordering the rankings with their n.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..potentials.evaluation.rankings import finds_lowest
from ..potentials.evaluation.scores import Achieved, ModelScores, Ranking
from ..stores.relative_energy import EV_TO_MEV
from .model_results import same_data_set

JUDGES = ("judge", "moments", "bond valences")
"""Whose word counts on the orderings achieved: the first that there is; a model's own moments follow its labels."""


@dataclass(frozen=True)
class GroupSummary:
    """One group of orderings ranked by models of several seeds.

    Attributes
    ----------
    group : one working-ion ordering, or a whole composition.
    n : structures ranked, per seed.
    mae_centred_mev_per_fu : of energies relative to their mean, mean over seeds; None where formula units are unknown.
    spearman, kendall : mean over the seeds for which they are defined, else None.
    undefined : seeds for which no correlation is defined: all energies equal, or too few.
    lowest_found : seeds whose lowest structure is the reference's; ties do not count.
    """

    group: str
    n: tuple[int, ...]
    mae_centred_mev_per_fu: float | None
    spearman: float | None
    kendall: float | None
    undefined: int
    lowest_found: int


@dataclass(frozen=True)
class SeedSummary:
    """Models of one kind from one start.

    Attributes
    ----------
    kind, charge_states, start : which.
    models : titles, one per seed.
    judge : who told the orderings achieved; empty where nobody could.
    achieved, told : orderings that came out as told, and structures that converged, summed over seeds.
    undecided, unconverged : structures whose ordering could not be read, and whose relaxation did not converge.
    hull_mae_mev_per_fu : mean over seeds; None without a hull.
    groups : rankings, working-ion orderings before compositions.
    """

    kind: str
    charge_states: bool
    start: str
    models: tuple[str, ...]
    judge: str
    achieved: int
    told: int
    undecided: int
    unconverged: int
    hull_mae_mev_per_fu: float | None
    groups: tuple[GroupSummary, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per group; one without a group where nothing was ranked."""
        own = {name: value for name, value in asdict(self).items() if name not in ("groups", "models")}
        own["seeds"] = len(self.models)
        return [{**own, **asdict(group)} for group in self.groups] or [own]


def over_seeds(scores: Sequence[ModelScores]) -> list[SeedSummary]:
    """Summaries by kind, without charge states first, and start.

    Parameters
    ----------
    scores : of models on one data set.

    Raises
    ------
    ValueError
        If there are none, or they are of different data sets.
    """
    same_data_set(scores)
    members: dict[tuple[str, bool, str], list[ModelScores]] = defaultdict(list)
    for one in scores:
        for start in dict.fromkeys(a.start for a in one.achieved):
            members[one.kind, one.charge_states, start].append(one)
    return [_summary(kind, states, start, found) for (kind, states, start), found in sorted(members.items())]


def _summary(kind: str, states: bool, start: str, found: Sequence[ModelScores]) -> SeedSummary:
    judged = [a for s in found if (a := _judged(s, start)) is not None]
    rankings: dict[str, list[Ranking]] = defaultdict(list)
    for one in found:
        for ranking in one.rankings:
            if ranking.start == start:
                rankings[ranking.group].append(ranking)
    return SeedSummary(
        kind=kind,
        charge_states=states,
        start=start,
        models=tuple(s.model for s in found),
        judge=", ".join(sorted({a.judge for a in judged if a.n})),
        achieved=sum(a.achieved for a in judged),
        told=sum(a.n for a in judged),
        undecided=sum(a.undecided for a in judged),
        unconverged=sum(a.unconverged for a in judged),
        hull_mae_mev_per_fu=_mean([h.mae for s in found for h in s.hull if h.start == start]),
        groups=tuple(_group(name, of) for name, of in sorted(rankings.items(), key=_working_first)),
    )


def _judged(scores: ModelScores, start: str) -> Achieved | None:
    here = {a.judge: a for a in scores.achieved if a.start == start}
    return next((here[judge] for judge in JUDGES if judge in here), None)


def _working_first(item: tuple[str, object]) -> tuple[bool, str]:
    return " " not in item[0], item[0]


def _group(name: str, of: Sequence[Ranking]) -> GroupSummary:
    scores = [ranking.with_reference for ranking in of]
    errors = [
        EV_TO_MEV * score.mae_centred / ranking.formula_units
        for ranking, score in zip(of, scores, strict=True)
        if score.mae_centred is not None and ranking.formula_units
    ]
    return GroupSummary(
        group=name,
        n=tuple(score.n for score in scores),
        mae_centred_mev_per_fu=_mean(errors),
        spearman=_mean([score.spearman for score in scores]),
        kendall=_mean([score.kendall for score in scores]),
        undefined=sum(score.kendall is None for score in scores),
        lowest_found=sum(finds_lowest(ranking) for ranking in of),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
