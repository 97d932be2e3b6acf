"""`valenceflow orderings`: count, list, rank, optimum, choose, sample and key, for a shipped host, a CIF or a campaign.

The same names in Python: `inputs.orderings.catalogue.OrderingCatalogue`. `fit` and `thermodynamics` are in files of
their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .ordering_choice import choose
from .ordering_model import DielectricOption, ModelOption, RankedBy
from .ordering_subject import (
    AtOption,
    ChargesOption,
    CoupleOption,
    CouplesOption,
    FractionOption,
    HostArgument,
    LimitOption,
    OutputOption,
    SupercellOption,
    SymprecOption,
    WorkingIonOption,
    WorkingOnlyOption,
    read_subject,
)
from .orderings_fit import fit
from .orderings_thermodynamics import thermodynamics
from .places import JsonOption

app = typer.Typer(
    help="Count, list, rank and sample orderings; recognise one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def count(
    host: HostArgument,
    supercell: SupercellOption = None,
    fraction: FractionOption = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count orderings by Burnside's lemma, at any size.

    Without --fraction at every one.
    """
    from ..inputs.orderings.catalogue import OrderingCatalogue  # noqa: PLC0415 - pymatgen
    from .ordering_output import count_head, show_counts  # noqa: PLC0415

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    if fraction is None and at is None:
        n = len(subject.cell.working_sites)
        found = [OrderingCatalogue(subject.cell, subject.couple, n_working).count() for n_working in range(n, -1, -1)]
    else:
        found = [subject.catalogue(fraction, at).count()]
    if not as_json:
        typer.echo(count_head(subject))
    show_counts(subject, found, as_json)


@app.command(name="list")
def list_(
    host: HostArgument,
    supercell: SupercellOption = None,
    fraction: FractionOption = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    working_ions: WorkingOnlyOption = False,
    output: OutputOption = None,
    limit: LimitOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every distinct ordering, ascending by key."""
    from .ordering_output import Shown, show_rows  # noqa: PLC0415 - pymatgen

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    catalogue = subject.catalogue(fraction, at, working_ions)
    show_rows(catalogue, catalogue.list(), catalogue.space.distinct, Shown(output, limit, as_json))


@app.command()
def rank(
    host: HostArgument,
    supercell: SupercellOption = None,
    fraction: FractionOption = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    working_ions: WorkingOnlyOption = False,
    best: Annotated[int, typer.Option("--best", "-n", min=1, help="How many of the lowest.")] = 20,
    dielectric: DielectricOption = 1.0,
    model: ModelOption = None,
    output: OutputOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the lowest orderings by electrostatics, or by a fitted expansion.

    Working-ion orderings rank by their best charge ordering. Formal charges rank; they give no energies.
    """
    from .ordering_output import Shown, show_rows  # noqa: PLC0415 - pymatgen
    from .progress import progress_bar  # noqa: PLC0415 - rich

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    ranked_by = RankedBy(model, dielectric)
    catalogue = subject.catalogue(fraction, at, working_ions, ranked_by)
    with progress_bar("ranking") as tell:
        rows, proven = catalogue.rank(best, tell)
    status = "proven" if proven else "best found (too many to visit)"
    note = f"{len(rows)} lowest, {status}; {ranked_by.note(catalogue.energy_model)}"
    facts = {"proven": proven, **ranked_by.facts(catalogue.energy_model)}
    show_rows(catalogue, rows, len(rows), Shown(output, best, as_json), note, **facts)


@app.command()
def optimum(
    host: HostArgument,
    supercell: SupercellOption = None,
    fraction: FractionOption = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    dielectric: DielectricOption = 1.0,
    model: ModelOption = None,
    seed: Annotated[int, typer.Option(help="Of the annealing, where the space is too large to visit.")] = 0,
    output: OutputOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the ordering of lowest electrostatic energy, or lowest by a fitted expansion.

    It is proven where the space can be visited; else it is the best found, with its hit rate.
    """
    from .ordering_output import Shown, show_rows  # noqa: PLC0415 - pymatgen
    from .progress import progress_bar  # noqa: PLC0415 - rich

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    ranked_by = RankedBy(model, dielectric)
    catalogue = subject.catalogue(fraction, at, ranked_by=ranked_by)
    with progress_bar("searching") as tell:
        found = catalogue.optimum(tell, seed)
    if found.proven:
        status = f"proven over {found.covered:,} pairs of arrangements" if at is None else "proven"
    else:
        status = f"best found: {found.hits} of {found.starts} annealing starts ended here"
    searched = {"proven": found.proven, "hits": found.hits, "starts": found.starts}
    facts = searched | ranked_by.facts(catalogue.energy_model)
    note = f"{status}; {ranked_by.note(catalogue.energy_model)}"
    show_rows(catalogue, [found.row], 1, Shown(output, None, as_json), note, **facts)


app.command(name="choose")(choose)


@app.command()
def sample(
    host: HostArgument,
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many the sample takes.")],
    supercell: SupercellOption = None,
    fraction: FractionOption = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    working_ions: WorkingOnlyOption = False,
    seed: Annotated[int, typer.Option(help="Of the sample; a larger one of the same seed contains it.")] = 0,
    weight: Annotated[str, typer.Option(help="What is equally likely: arrangements or orbits.")] = "arrangements",
    lowest: Annotated[int, typer.Option(min=0, help="Take so many of the lowest besides.")] = 0,
    reference: Annotated[
        list[Path] | None, typer.Option(help="CIF with a reference ordering, flagged (repeatable).")
    ] = None,
    output: OutputOption = None,
    limit: LimitOption = None,
    model: ModelOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a seeded sample that can grow.

    References and the lowest orderings can be taken besides; each ordering is there once.
    """
    from ..inputs.orderings.identity import read_structure  # noqa: PLC0415 - pymatgen
    from ..inputs.orderings.sampling import checked_weight  # noqa: PLC0415
    from .ordering_output import Shown, show_rows  # noqa: PLC0415
    from .progress import progress_bar  # noqa: PLC0415 - rich

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    catalogue = subject.catalogue(fraction, at, working_ions, RankedBy(model))
    references = [catalogue.key(read_structure(path)).key for path in reference or ()]
    likely = checked_weight(weight)
    with progress_bar("searching the lowest") as tell:
        rows = catalogue.sample(number, seed, likely, lowest, references, tell)
    facts = {"seed": seed, "weight": weight}
    note = f"sample of seed {seed}, each of the {weight} equally likely"
    base = "lowest" if lowest else "lowest of these"
    show_rows(catalogue, rows, len(rows), Shown(output, limit, as_json), note, base, **facts)


@app.command()
def key(
    host: HostArgument,
    files: Annotated[list[Path], typer.Argument(help="CIF, POSCAR or CONTCAR, JSON, ... of ordered structures.")],
    supercell: SupercellOption = None,
    couple: CoupleOption = None,
    max_displacement: Annotated[
        float | None, typer.Option(help="How far an atom may lie from its site, A; default 1.2.", show_default=False)
    ] = None,
    engine: Annotated[str, typer.Option(help="Whose moments the files carry, where they carry moments.")] = "vasp",
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which ordering each structure is.

    Structures that are the same ordering are told. Without --supercell the one that a structure fills is found.
    """
    from ..inputs.orderings.identity import identify, read_structure  # noqa: PLC0415 - pymatgen
    from ..inputs.orderings.mapping import MAX_DISPLACEMENT  # noqa: PLC0415
    from .ordering_output import show_identities  # noqa: PLC0415

    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    known = supercell is not None or host.lower().endswith((".yaml", ".yml"))
    place = subject.cell if known else subject.cell.host
    bound = max_displacement or MAX_DISPLACEMENT
    found = []
    for path in files:
        try:
            found.append((path, identify(read_structure(path), place, subject.couple, bound, engine)))
        except ValueError as err:
            raise ValueError(f"{err}" if str(path) in str(err) else f"{path}: {err}") from err
    show_identities(found, as_json)


app.command()(fit)
app.command()(thermodynamics)
