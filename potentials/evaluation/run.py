"""All scores of one model on one data set. Every evaluation and relaxation is kept, so that a killed run goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...inputs.species import FloatArray
from ..open_models import ModelChoice
from .cases import OrderingCase, couple_of, ordering_cases
from .continued import continued_references
from .electronic import embedding_scores, moment_sets
from .errors import Predictions, error_scores
from .frames import predict_frames
from .reached import reached_orderings
from .reference import ReferenceSet
from .relaxed import achieved, hulls, judge_moments, rankings, relax_cases, unconverged
from .scores import ModelScores, Start
from .settings import EvaluationSettings, Report


def evaluate_model(
    choice: ModelChoice,
    data: ReferenceSet,
    folder: Path,
    settings: EvaluationSettings | None = None,
    report: Report = lambda what, done, total: None,
) -> tuple[ModelScores, Predictions]:
    """Score a model.

    Parameters
    ----------
    choice : the model or ensemble.
    data : the data set.
    folder : what was done is kept here, by model and set; the same call goes on there.
    settings : what is evaluated.
    report : progress.

    Returns
    -------
    The scores, and the frames' numbers side by side for parity plots.

    Raises
    ------
    ValueError
        If the side is empty, nothing can be evaluated, or the reference is not there.
    """
    told = settings or EvaluationSettings()
    sides = data.sides(told.side)
    calculator = choice.open()
    place = folder / f"{choice.fingerprint()}-{data.checksum[:12]}"
    left_out: Counter[str] = Counter()
    couple = couple_of(data)
    label = f"{told.side}-{told.frames or 'all'}"
    predictions, refused = predict_frames(
        data, sides, calculator, place / "frames" / label, {couple.element},
        lambda done, total: report("frames", done, total), told.frames,
    )  # fmt: skip
    left_out.update(refused)
    found: dict[str, int] = {}
    cases = _limited(ordering_cases(data, sides, told.host, found, told.reference_force), told.structures)
    left_out.update(found)
    _check_reference(cases, told.reference)
    relaxed = relax_cases(cases, choice, place / "relaxations", told, left_out, report)
    left_out.update({reason: n for start, done in relaxed.items() for reason, n in unconverged(start, done).items()})
    judged: Mapping[Start, Mapping[str, FloatArray] | None] = (
        dict.fromkeys(relaxed)
        if told.judge is None
        else judge_moments(relaxed, told.judge, folder / "judged", told.workers)
    )
    first = told.starts[0]
    continued = []
    if told.check_references:
        if told.judge is None:
            raise ValueError("references are checked by the potential that made them: name it as judge")
        continued = continued_references(
            first, relaxed[first], told.judge, data.engine, told.relax, folder / "judged", told.workers
        )
    return ModelScores(
        model=choice.title,
        kind=choice.kind,
        model_fingerprint=choice.fingerprint(),
        charge_states=calculator.species_map.knows_charge_states,
        data_set=data.title,
        data_set_checksum=data.checksum,
        engine=data.engine,
        protocol=data.protocol,
        side=told.side,
        settings=told.as_dict(),
        errors=error_scores(predictions),
        rankings=[r for start, done in relaxed.items() for r in rankings(start, done, told.reference)],
        achieved=[a for start, done in relaxed.items() for a in achieved(start, done, data.engine, judged[start])],
        moments=moment_sets(cases, relaxed, calculator),
        hull=[h for start, done in relaxed.items() for h in hulls(start, done)],
        embeddings=embedding_scores(cases, calculator),
        reached=[
            r for start, done in relaxed.items() for r in reached_orderings(start, done, data.engine, judged[start])
        ],
        continued=continued,
        left_out=dict(left_out),
    ), predictions


def _check_reference(cases: Sequence[OrderingCase], reference: str | None) -> None:
    if reference is not None and not any(reference in (case.name, case.key) for case in cases):
        raise ValueError(f"--reference {reference!r} is no configuration or key of the {len(cases)} that are relaxed")


def _limited(cases: Sequence[OrderingCase], limit: int | None) -> list[OrderingCase]:
    """So many mixed structures, in the order of their names, and the end members; nothing at all for 0."""
    if limit == 0:
        return []
    mixed = sorted((case for case in cases if case.mixed), key=lambda case: case.name)
    return mixed[:limit] + [case for case in cases if not case.mixed]
