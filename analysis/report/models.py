"""Models side by side from their `scores.json`: only scores of one data set, side and settings stand in one table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...potentials.evaluation.comparison import comparison_rows
from ...potentials.evaluation.rankings import finds_lowest
from ...potentials.evaluation.scores import ErrorScore, ModelScores, Ranking, read_scores
from ...stores.relations import rehearsal_note
from .pictures import data_uri
from .remedies import Note

SCORES, PARITY = "scores.json", "parity.svg"
"""What `valenceflow evaluate` leaves in a model's folder."""

_LESS_IS_BETTER = ("MAE",)
_DIGITS = 4


@dataclass(frozen=True)
class Scored:
    """Scores of one model.

    Attributes
    ----------
    scores : its document.
    name : its title, with its fingerprint where another has the same.
    picture : parity plots as a data URI; empty where there are none.
    """

    scores: ModelScores
    name: str
    picture: str = ""


@dataclass
class Comparison:
    """Models scored on one data set, side and settings.

    Attributes
    ----------
    models : in the order given.
    rows : score -> cells, each (text, whether it is the best of the row).
    errors : group of errors -> cells.
    left_out : reason -> number per model.
    """

    models: list[Scored]
    rows: list[tuple[str, list[tuple[str, bool]]]] = field(default_factory=list)
    errors: list[tuple[str, list[tuple[str, bool]]]] = field(default_factory=list)
    left_out: list[tuple[str, list[int]]] = field(default_factory=list)

    @property
    def first(self) -> ModelScores:
        """What all have in common is read from this one."""
        return self.models[0].scores

    @property
    def starts(self) -> list[str]:
        """Starts of relaxations whose rankings there are."""
        return list(dict.fromkeys(r.start for model in self.models for r in model.scores.rankings))

    def rankings(self, start: str) -> list[tuple[str, list[str]]]:
        """Group -> one cell per model.

        Parameters
        ----------
        start : of the relaxations.
        """
        found = [{r.group: r for r in model.scores.rankings if r.start == start} for model in self.models]
        groups = dict.fromkeys(group for rankings in found for group in rankings)
        return [(g, [_ranking_text(r[g]) if g in r else "-" for r in found]) for g in groups]

    @property
    def left_out_rows(self) -> list[list[str]]:
        """Reason, then the number of each model."""
        return [[reason, *map(str, numbers)] for reason, numbers in self.left_out]

    @property
    def note(self) -> str:
        """Engine and data set, a rehearsal's warning first."""
        return f"{self.warning}: " * bool(self.warning) + f"{self.first.engine}, side {self.first.side}"

    @property
    def warning(self) -> str:
        """A rehearsal's warning; empty for real numbers."""
        return rehearsal_note(self.first.engine)


def read_models(paths: Sequence[Path]) -> list[Scored]:
    """Scores of models.

    Parameters
    ----------
    paths : `scores.json` of `valenceflow evaluate`, or folders that hold some.

    Raises
    ------
    ValueError
        If one cannot be read, or is given twice.
    """
    files = [file for path in paths for file in _files(path)]
    twice = [str(file) for place, file in enumerate(files) if file in files[:place]]
    if twice:
        raise ValueError(f"{twice[0]} is given twice; name each model's scores once")
    read = [read_scores(file) for file in files]
    titles = [scores.model for scores in read]
    return [
        Scored(scores, _name(scores, titles), data_uri(file.with_name(PARITY)))
        for scores, file in zip(read, files, strict=True)
    ]


def _files(path: Path) -> list[Path]:
    """Scores in a folder: of one model, or of all that were evaluated into it."""
    if not path.is_dir():
        return [path]
    inside = [path / SCORES] if (path / SCORES).is_file() else sorted(path.glob(f"*/{SCORES}"))
    if not inside:
        raise ValueError(f"{path}: no {SCORES} in it; take a folder that `valenceflow evaluate` made with --out")
    return inside


def _name(scores: ModelScores, titles: Sequence[str]) -> str:
    return scores.model if titles.count(scores.model) == 1 else f"{scores.model} ({scores.model_fingerprint[:6]})"


def comparisons(models: Sequence[Scored]) -> list[Comparison]:
    """Models in groups that compare, each with its tables.

    Parameters
    ----------
    models : from `read_models`.
    """
    groups: dict[tuple[str, str, str], list[Scored]] = {}
    for model in models:
        scores = model.scores
        groups.setdefault((scores.data_set_checksum, scores.side, str(scores.settings)), []).append(model)
    return [_compared(group) for group in groups.values()]


def _compared(models: list[Scored]) -> Comparison:
    every = [model.scores for model in models]
    rows = [(row["score"], _cells(row["score"], row["values"])) for row in comparison_rows(every)]
    reasons = sorted({reason for scores in every for reason in scores.left_out})
    left_out = [(reason, [scores.left_out.get(reason, 0) for scores in every]) for reason in reasons]
    return Comparison(models, rows, list(_error_rows(every)), left_out)


def _error_rows(every: Sequence[ModelScores]) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Mean absolute errors by composition, step and species."""
    found = [{_place(error): error for error in scores.errors if error.group != "all"} for scores in every]
    for place in dict.fromkeys(place for errors in found for place in errors):
        target, group, value = place
        unit = next(errors[place].unit for errors in found if place in errors)
        title = f"{target} MAE, {group} {value}, {unit}"
        yield title, _cells(title, [errors[place].mae if place in errors else None for errors in found])


def _place(error: ErrorScore) -> tuple[str, str, str]:
    return error.target, error.group, error.value


def _cells(title: str, values: Sequence[Any]) -> list[tuple[str, bool]]:
    """Texts of a row, and which of them is best; none where all are equal or one alone is there."""
    sizes = [_size(value) for value in values]
    known = [size for size in sizes if size is not None]
    best = None
    if len(known) > 1 and min(known) < max(known):
        best = min(known) if any(word in title for word in _LESS_IS_BETTER) else max(known)
    return [(_text(value), size is not None and size == best) for value, size in zip(values, sizes, strict=True)]


def _size(value: Any) -> float | None:
    """What a cell is compared by: a number, or the share in `3 of 5`."""
    if isinstance(value, str):
        part, _, whole = value.partition(" of ")
        return float(part) / float(whole) if float(whole) else None
    return float(value) if value is not None and math.isfinite(value) else None


def _ranking_text(ranking: Ranking) -> str:
    score = ranking.with_reference
    parts = [str(score.n), *(_text(value) for value in (score.spearman, score.kendall, score.mae_centred))]
    return ", ".join([*parts, "lowest found" if finds_lowest(ranking) else "lowest not found"])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.{_DIGITS}g}" if math.isfinite(value) else "no number"


def notes_of_models(found: Sequence[Comparison]) -> Iterator[Note]:
    """What keeps models apart, and what their scores lack.

    Parameters
    ----------
    found : all comparisons of the report.
    """
    if len(found) > 1:
        names = "; ".join(f"{', '.join(m.name for m in c.models)} on {c.first.data_set}, {c.first.side}" for c in found)
        yield Note(
            f"scores of {len(found)} data sets, sides or settings do not compare ({names}): each has a part of its own",
            "evaluate the models together",
            "valenceflow evaluate MODEL... --dataset DIR --out DIR",
        )
    for comparison in found:
        for title, cells in (*comparison.rows, *comparison.errors):
            without = [m.name for m, (text, _) in zip(comparison.models, cells, strict=True) if text == "no number"]
            if without:
                yield Note(f"{title}: no number for {', '.join(without)}", "evaluate again, or look at the training")
