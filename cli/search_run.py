"""What `valenceflow search run` does once its options are read. Imported where a search is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..flows.engines import engine_name
from ..inputs.charge_states import RedoxCouple
from ..inputs.fractions import read_fraction
from ..search.evaluation import Evaluation, Evaluator, ModelEvaluator
from ..search.loop import Outcome, run_search
from ..search.record import RELAXATIONS, SearchRecord
from ..search.setup import SearcherChoice, plain_space
from ..search.space import Charges, Kind, SearchSpace
from .model_options import checked_precision
from .ordering_subject import Subject
from .search_subject import SubjectOptions
from .tables import plain_table
from .wording import trained_on_rehearsals

ELECTROSTATICS = "electrostatics"


def asked_space(
    subject: Subject, orderings: str, fractions: Sequence[str] | None, at: str | None, charges: str
) -> SearchSpace:
    """The space that was asked for.

    Raises
    ------
    ValueError
        If options do not go together.
    """
    if orderings == "charges":
        if at is None:
            raise ValueError("--orderings charges: say at which working-ion ordering, e.g. --at lowest --fraction 2/3")
        if fractions is not None and len(fractions) > 1:
            raise ValueError(
                f"--orderings charges is at one working-ion ordering, so of one --fraction, not "
                f"{', '.join(fractions)}: search them one by one"
            )
        bits = subject.catalogue(fractions[0] if fractions else None, at).at
        return SearchSpace.of(subject.cell, subject.couple, "charges", at=bits)
    if at is not None:
        raise ValueError("--at goes with --orderings charges")
    given = list(fractions or []) or _of_campaign(subject)
    values = None if not given or given == ["all"] else [read_fraction(value) for value in given]
    return SearchSpace.of(subject.cell, subject.couple, cast(Kind, orderings), values, charges=cast(Charges, charges))


def _of_campaign(subject: Subject) -> list[str]:
    """The fractions of a campaign file; where it has several with the end members that their hull needs."""
    given = {str(value) for value in subject.fractions}
    return sorted(given | {"0", "1"} if len(given) > 1 else given)


def check_charges(charges: str | None, orderings: str, nested: bool) -> None:
    """Refuse charges that are none, or that the kind of search does not have.

    Raises
    ------
    ValueError
        If so.
    """
    if charges not in (None, ELECTROSTATICS, "free"):
        raise ValueError(f"--charges {charges!r}: choose {ELECTROSTATICS} or free")
    if charges is not None and orderings != "ions" and not (nested and charges == ELECTROSTATICS):
        raise ValueError(f"--charges {charges} goes with --orderings ions: with {orderings} charges are searched")


def check_moments_of(engine: str | None, couple: RedoxCouple) -> None:
    """Refuse an engine whose moments nobody could read.

    Raises
    ------
    ValueError
        If there is no such engine.
    """
    if engine is not None and couple.window(engine) is None:
        try:
            engine_name(engine)
        except ValueError as err:
            raise ValueError(f"--moments-of: {err}") from err


class Watch:
    """The progress of a search with the best per composition, on standard error where that is a terminal."""

    def __init__(self, space: SearchSpace, known: Sequence[Evaluation], at_most: int | None, shown: bool) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._n_sites, self._bar = space.group.n_working, Progress(*columns, console=console)
        self._task = self._bar.add_task("evaluating", total=at_most, completed=len(known))
        self._best: dict[int, Evaluation] = {}
        for one in known:
            self._note(one)
        self._live = Live(self._bar, console=console, transient=True) if shown and console.is_terminal else None

    def __enter__(self) -> Watch:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def preparing(self, what: str, done: int, total: int) -> None:
        """Candidates are listed."""
        self._bar.update(self._task, description=f"{what}: {done} of {total}")

    def evaluated(self, outcome: Outcome, evaluation: Evaluation) -> None:
        """An ordering was evaluated."""
        self._note(evaluation)
        self._bar.update(self._task, description="evaluating", advance=1)
        if self._live is not None:
            self._live.update(Group(self._table(), self._bar))

    def _note(self, one: Evaluation) -> None:
        n = int(one.key.working.sum())
        if one.counts and (n not in self._best or one.energy < self._best[n].energy):
            self._best[n] = one

    def _table(self) -> Table:
        table = plain_table()
        for name in ("x", "best found, eV", "ordering"):
            table.add_column(name, justify="left" if name == "ordering" else "right", no_wrap=True)
        for n, best in sorted(self._best.items()):
            table.add_row(f"{n}/{self._n_sites}", f"{best.energy:.4f}", str(best.key))
        return table


def search(
    options: SubjectOptions,
    space: SearchSpace,
    choice: SearcherChoice,
    evaluator: Evaluator,
    folder: Path,
    at_most: int | None,
    shown: bool,
) -> Outcome:
    """Run a search in its folder, or go on with it."""
    group = space.group
    settings = {**plain_space(space), **choice.plain()}
    with (
        SearchRecord(evaluator, group.n_working, group.n_redox, folder, settings, options.keep) as record,
        Watch(space, record.evaluations, at_most, shown) as watch,
    ):
        try:
            return run_search(choice.searcher(space, watch.preparing), space, record, at_most, watch.evaluated)
        except KeyboardInterrupt:
            typer.echo(f"stopped: {len(record)} evaluations are kept; the same command goes on", err=True)
            raise


def potential(
    subject: Subject, names: Sequence[str], charges: str | None, several: bool, options: Mapping[str, Any]
) -> tuple[Evaluator | None, str]:
    """The evaluator that relaxes under a model, and the charges that ions are evaluated with; None: electrostatics."""
    if list(names) == [ELECTROSTATICS]:
        return None, charges or ELECTROSTATICS
    from ..potentials.open_models import PRETRAINED, ModelChoice  # noqa: PLC0415 - torch
    from ..potentials.relaxation import RelaxSettings  # noqa: PLC0415
    from ..search.relaxed import RelaxingEvaluator  # noqa: PLC0415

    check_moments_of(options["moments_of"], subject.couple)
    plain = PRETRAINED in names and charges != ELECTROSTATICS
    if PRETRAINED in names and not plain and several:
        raise ValueError(
            f"{PRETRAINED} knows the high state as its surrogate: its energies compare at one composition only; search "
            "one, take --charges free, or a model of your own"
        )
    told = (
        options["device"],
        checked_precision(options["dtype"]),
        "elements" if plain else None,
        options["batch_atoms"],
    )
    model = ModelChoice(tuple(names), *told)
    for line in trained_on_rehearsals(model.engines()):
        typer.echo(line, err=True)
    species_map = model.open().species_map
    known = charges or (ELECTROSTATICS if species_map.knows_charge_states else "free")
    evaluator = RelaxingEvaluator(
        subject.cell,
        subject.couple,
        model,
        RelaxSettings(fmax=options["fmax"], steps=options["steps"]),
        options["folder"] / RELAXATIONS,
        options["workers"],
        options["moments_of"],
    )
    evaluator.check_species(species_map, known == "free")
    return evaluator, known


def electrostatic(space: SearchSpace) -> ModelEvaluator:
    """Formal charges as if they were a potential: to rehearse a search."""
    return ModelEvaluator(space.electrostatics)
