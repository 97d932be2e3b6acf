"""`valenceflow orderings choose`: the best charge ordering of a working-ion ordering under a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..inputs.whole_files import write_whole
from .model_options import DeviceOption, ForceOption, ModelOption, PrecisionOption, WorkersOption, chosen_model
from .ordering_subject import (
    AtOption,
    ChargesOption,
    CoupleOption,
    CouplesOption,
    FractionOption,
    HostArgument,
    SupercellOption,
    SymprecOption,
    WorkingIonOption,
    read_subject,
)
from .places import JsonOption
from .wording import trained_on_rehearsals

if TYPE_CHECKING:
    from ..potentials.ordering_choice import OrderingChoice

JOURNAL, CHOICE, BEST = "relaxations", "choice.json", "best.extxyz"
_SHOWN = 10


def choose(
    host: HostArgument,
    model: ModelOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results; a killed search goes on there.")
    ] = None,
    supercell: SupercellOption = None,
    fraction: FractionOption = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    candidates: Annotated[int, typer.Option(min=1, help="Lowest ones by the cheap energy to begin with.")] = 20,
    by: Annotated[str, typer.Option(help="The cheap energy: electrostatics, or expansion (fitted on the way).")] = (
        "electrostatics"
    ),
    starts: Annotated[int, typer.Option(min=1, help="Candidates from which swaps descend.")] = 3,
    budget: Annotated[int, typer.Option(min=1, help="Orderings judged at most.")] = 300,
    finalists: Annotated[int, typer.Option(min=1, help="Orderings relaxed in the end.")] = 3,
    judging_steps: Annotated[int, typer.Option(min=0, help="Relaxation steps of a judgement, fixed cell.")] = 5,
    fmax: ForceOption = 0.01,
    steps: Annotated[int, typer.Option(min=0, help="Steps of a final relaxation.")] = 1000,
    workers: WorkersOption = 1,
    device: DeviceOption = "cpu",
    dtype: PrecisionOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the charge ordering of one working-ion ordering with a potential.

    Candidates by a cheap energy, swaps downhill under the potential, then relaxation. Best found: nothing is proven.
    """
    if at is None or out is None:
        raise ValueError("say which working-ion ordering and where results go: --at KEY|CIF|lowest --out FOLDER")
    if by not in ("electrostatics", "expansion"):
        raise ValueError(f"--by {by!r}: choose electrostatics or expansion")
    from ..potentials.ordering_choice import ChoiceSettings, Ranker, choose_ordering  # noqa: PLC0415 - torch
    from ..potentials.relaxation import RelaxSettings  # noqa: PLC0415
    from .export import ProgressLine  # noqa: PLC0415

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    catalogue = subject.catalogue(fraction, at)
    assert catalogue.at is not None  # as --at was given
    settings = ChoiceSettings(
        candidates, cast(Ranker, by), starts, budget, finalists,
        RelaxSettings(steps=judging_steps, fmax=0.05, relax_cell=False), RelaxSettings(fmax=fmax, steps=steps),
    )  # fmt: skip
    potential = chosen_model(model, device, dtype)
    with ProgressLine(shown=not as_json) as line:
        found = choose_ordering(
            subject.cell, subject.couple, catalogue.at, potential, out / JOURNAL, settings, workers, line.moved
        )
    _write(found, out)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        for words in trained_on_rehearsals(potential.engines()):
            typer.echo(words)
        _show(found, subject.cell.formula_units, out)


def _write(found: OrderingChoice, out: Path) -> None:
    from ..potentials.relaxation_journal import Journal  # noqa: PLC0415 - torch
    from ..potentials.structure_files import write_relaxed  # noqa: PLC0415

    write_whole(out / CHOICE, found.model_dump_json(indent=1) + "\n")
    best = next(row.relaxation_id for row in found.orderings if row.key == found.best)
    assert best is not None  # the best one is relaxed
    result = Journal(out / JOURNAL).find(best)
    assert result is not None  # and was kept
    write_relaxed(out / BEST, [result])


def _show(found: OrderingChoice, formula_units: int, out: Path) -> None:
    from rich.console import Console  # noqa: PLC0415 - start-up

    from .tables import plain_table  # noqa: PLC0415

    left = "; the budget ended the search" if found.out_of_budget else ""
    typer.echo(
        f"best found: {found.best}, {found.energy:.4f} eV per cell ({found.model})\n{found.n_judged} of "
        f"{found.distinct:,} distinct charge orderings judged, {found.n_descents} descents, "
        f"{len(found.minima)} minima, {found.n_relaxed} relaxed{left}"
    )
    table = plain_table()
    for name in ("key", "from", "judged, meV/f.u.", "relaxed, meV/f.u.", ""):
        table.add_column(name)
    lowest = min(row.judged for row in found.orderings)
    for row in found.orderings[:_SHOWN]:
        relaxed = "" if row.relaxed is None else f"{1000 * (row.relaxed - found.energy) / formula_units:.1f}"
        judged = f"{1000 * (row.judged - lowest) / formula_units:.1f}"
        table.add_row(row.key, row.source, judged, relaxed, row.state or "")
    Console().print(table)
    typer.echo(f"structure with labels: {out / BEST}; all of it: {out / CHOICE}")
