"""Scores of potentials as figures need them: with and without charge states side by side, rankings, embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..potentials.evaluation.scores import ModelScores, Ranking, RankScore
from .hull_agreement import Hull, HullAgreement, hull_agreement, hulls_of_scores
from .moment_comparison import reference_of
from .published import Embedding, paper_tables, published_ranking

PUBLISHED = "arXiv:2603.26471, Tables 1 and 2: vasp, protocol of its section 4.1"
"""Source of the published tables, as figures say it."""


def same_data_set(scores: Sequence[ModelScores]) -> str:
    """Engine and protocol that scores have in common.

    Raises
    ------
    ValueError
        If there are no scores, or they are of different data sets.
    """
    if not scores:
        raise ValueError("needs scores: `valenceflow evaluate MODEL... --dataset DIR --out DIR` makes scores.json")
    if len({s.data_set_checksum for s in scores}) > 1:
        sets = ", ".join(sorted({f"{s.data_set} ({s.data_set_checksum[:8]}, {s.engine})" for s in scores}))
        raise ValueError(f"scores of the data sets {sets} do not compare; evaluate the models on one set")
    return reference_of(scores[0])


@dataclass(frozen=True, eq=False)
class ModelHulls:
    """One kind of model on the reference's structures, before and after charge states were embedded (Fig. 6).

    Attributes
    ----------
    kind : chgnet, mace, cpainn, or the model's own title.
    reference : the reference's hull.
    before, after : the model's; None where no such model was scored.
    """

    kind: str
    reference: Hull
    before: Hull | None
    after: Hull | None

    @property
    def agreements(self) -> dict[str, HullAgreement]:
        """Each hull held against the reference's."""
        hulls = {"before": self.before, "after": self.after}
        return {name: hull_agreement(self.reference, hull) for name, hull in hulls.items() if hull is not None}

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per structure."""
        columns = {"reference": self.reference, "before": self.before, "after": self.after}
        found = []
        for place, name in enumerate(self.reference.names):
            row: dict[str, Any] = {"kind": self.kind, "structure": name, "x": float(self.reference.x[place])}
            for column, hull in columns.items():
                at = None if hull is None or name not in hull.names else hull.names.index(name)
                row[f"{column}_mev_per_fu"] = None if hull is None or at is None else float(hull.energies[at])
            found.append(row)
        return found


def model_hulls(scores: Sequence[ModelScores]) -> list[ModelHulls]:
    """Hulls of every kind of model; the first start that each was relaxed from.

    Raises
    ------
    ValueError
        If the data sets differ, or no score has a hull.
    """
    same_data_set(scores)
    found: dict[str, dict[bool, tuple[Hull, Hull]]] = {}
    for s in scores:
        if s.hull:
            name = s.kind or s.model
            kinds = found.setdefault(name if s.charge_states not in found.get(name, {}) else s.model, {})
            kinds[s.charge_states] = hulls_of_scores(s, s.hull[0])
    if not found:
        raise ValueError(
            "no scores have a hull: both end members and structures between them must be relaxed "
            "(`valenceflow evaluate --side all`)"
        )
    made = []
    for kind, hulls in found.items():
        reference = next(iter(hulls.values()))[0]
        before, after = (hulls[states][1] if states in hulls else None for states in (False, True))
        made.append(ModelHulls(kind, reference, before, after))
    return made


@dataclass(frozen=True, eq=False)
class EnergyTable:
    """Relative energies of one group of structures, models side by side with the reference (Tables 1 and 2).

    Attributes
    ----------
    title, source : what it is, and engine and protocol of the reference.
    structures : (n,) names, the reference structure last.
    reference_structure : whose energy is zero in every column.
    reference : (n,) of the reference method, eV per cell.
    columns : model -> (n,) eV per cell.
    rankings : model -> scores with and without the reference structure.
    """

    title: str
    source: str
    structures: tuple[str, ...]
    reference_structure: str
    reference: tuple[float, ...]
    columns: dict[str, tuple[float, ...]]
    rankings: dict[str, Ranking]

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per structure."""
        return [
            {"structure": name, **{model: column[i] for model, column in self.columns.items()},
             "reference": self.reference[i]}
            for i, name in enumerate(self.structures)
        ]  # fmt: skip

    def statistics(self) -> list[dict[str, Any]]:
        """Errors and rank correlations of every model, with the reference structure and without it."""
        return [
            {"model": model, "over": over, "reference_lowest": ranking.reference_lowest, **score.model_dump()}
            for model, ranking in self.rankings.items()
            for over, score in _both(ranking)
        ]


def _both(ranking: Ranking) -> tuple[tuple[str, RankScore], tuple[str, RankScore]]:
    return ("with the reference", ranking.with_reference), ("without the reference", ranking.without_reference)


def published_table(embedding: Embedding) -> EnergyTable:
    """Table 1 (`before`) or 2 (`after`) of the paper through our scores."""
    rankings = {model: published_ranking(model, embedding) for model in paper_tables()[embedding]}
    return _table(f"published, {embedding} embedding charge states", PUBLISHED, rankings)


def energy_table(scores: Sequence[ModelScores], charge_states: bool) -> EnergyTable:
    """Relative energies of the group that most models with (or without) charge states have ranked, largest first.

    Raises
    ------
    ValueError
        If the data sets differ, or no such model has a ranking.
    """
    source, which = same_data_set(scores), "with" if charge_states else "without"
    chosen = {s.model: s for s in scores if s.charge_states == charge_states}
    if not chosen:
        raise ValueError(f"no scores of a model {which} charge states")
    rankings = shared_rankings(list(chosen.values()), by_composition=True)
    return _table(f"models {which} charge states, {next(iter(rankings.values())).group}", source, rankings)


def _table(title: str, source: str, rankings: dict[str, Ranking]) -> EnergyTable:
    first = next(iter(rankings.values()))
    order = sorted(range(len(first.names)), key=lambda i: first.names[i] == first.reference)
    names = tuple(first.names[i] for i in order)
    columns = {
        model: tuple(ranking.energies[ranking.names.index(name)] for name in names)
        for model, ranking in rankings.items()
    }
    reference = tuple(first.reference_energies[i] for i in order)
    return EnergyTable(title, source, names, first.reference, reference, columns, rankings)


def shared_rankings(scores: Sequence[ModelScores], by_composition: bool) -> dict[str, Ranking]:
    """Model -> its ranking of one group that all of those models have ranked over the same structures.

    Parameters
    ----------
    scores : of one data set.
    by_composition : of groups of one size prefer a whole composition to one working-ion ordering.

    Raises
    ------
    ValueError
        If no model has ranked anything.
    """
    offered = Counter(group for s in scores for group in {_group_of(r) for r in s.rankings})
    if not offered:
        raise ValueError("no scores have a ranking: relax two structures of one composition or more with `evaluate`")
    wanted = max(offered, key=lambda group: (offered[group], _is_whole(group) == by_composition, len(group[2]), group))
    return {s.model: r for s in scores for r in s.rankings if _group_of(r) == wanted}


_Group = tuple[str, str, tuple[str, ...]]


def _group_of(ranking: Ranking) -> _Group:
    """Group, start and structures: what two models must have in common."""
    return ranking.group, ranking.start, tuple(sorted(ranking.names))


def _is_whole(group: _Group) -> bool:
    """Whether it is a whole composition; one working-ion ordering has its key behind the formula."""
    return " " not in group[0]


@dataclass(frozen=True, eq=False)
class EmbeddedSites:
    """Redox sites of one structure in the last layer of one model, in two principal components (Fig. 8)."""

    model: str
    charge_states: bool
    structure: str
    species: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    explained: tuple[float, ...]
    silhouette: float | None

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per site."""
        sites = zip(self.species, self.points, strict=True)
        return [
            {"model": self.model, "charge_states": self.charge_states, "species": s, "pc1": x, "pc2": y}
            for s, (x, y) in sites
        ]


def embedded_sites(scores: Sequence[ModelScores]) -> list[EmbeddedSites]:
    """Embeddings of every model, kinds together and those without charge states first.

    Raises
    ------
    ValueError
        If the data sets differ or no score has embeddings.
    """
    same_data_set(scores)
    found = [
        EmbeddedSites(
            s.model, s.charge_states, e.structure, tuple(e.species), tuple((p[0], p[1]) for p in e.points),
            tuple(e.explained), e.silhouette,
        )
        for s in sorted(scores, key=lambda s: (s.kind, s.charge_states))
        for e in s.embeddings[:1]
    ]  # fmt: skip
    if not found:
        raise ValueError("no scores have embeddings: the set holds no structure of two charge states")
    return found
