"""`valenceflow orderings fit`: energies of calculations, or of a table, learned as a cluster expansion in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_engine
from .ordering_subject import (
    CAMPAIGNS,
    ChargesOption,
    CoupleOption,
    CouplesOption,
    HostArgument,
    Subject,
    SupercellOption,
    SymprecOption,
    WorkingIonOption,
    read_subject,
)
from .places import JsonOption, find_place

if TYPE_CHECKING:
    from ..inputs.orderings.energies import Floats
    from ..inputs.orderings.expansion import ClusterExpansion
    from ..inputs.orderings.group import Bits


def fit(
    host: HostArgument,
    energies: Annotated[
        Path | None,
        typer.Argument(help="CSV or JSON lines with key and energy (eV per supercell); default: the campaign's store."),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.json to write.", show_default=False)],
    pair_cutoff: Annotated[
        float | None, typer.Option(help="Longest pair, A; default: every pair.", show_default=False)
    ] = None,
    triplet_cutoff: Annotated[
        float | None, typer.Option(help="Longest side of triplets, A; default: none.", show_default=False)
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts of the cross-validation.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the division into parts.")] = 0,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Whose energies, where several are there.", autocompletion=complete_engine, show_default=False
        ),
    ] = None,
    supercell: SupercellOption = None,
    couple: CoupleOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a cluster expansion to energies of orderings.

    `rank`, `optimum`, `sample` and `thermodynamics` take the file as --model.
    """
    from ..inputs.orderings.expansion import fit_expansion  # noqa: PLC0415 - pymatgen
    from ..inputs.orderings.expansion_file import save_expansion  # noqa: PLC0415
    from .ordering_model import quality  # noqa: PLC0415

    if output.suffix != ".json":
        raise ValueError(f"--output {output}: name a file .json")
    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    working, charge, values, source, left_out = _learned_from(subject, host, energies, engine)
    expansion = fit_expansion(
        subject.cell, subject.couple, working, charge, values, pair_cutoff, triplet_cutoff, folds, seed, source
    )
    save_expansion(expansion, output)
    if as_json:
        typer.echo(json.dumps({"file": str(output), "left_out": left_out, **quality(expansion)}, indent=1))
        return
    for reason, number in left_out.items():
        typer.echo(f"left out: {number} {reason}")
    typer.echo(_said(expansion, output))


def _learned_from(
    subject: Subject, host: str, table: Path | None, engine: str | None
) -> tuple[Bits, Bits, Floats, str, dict[str, int]]:
    """Orderings, energies, whose they are, and what was left out."""
    from ..inputs.orderings.energy_table import read_energies  # noqa: PLC0415 - pymatgen
    from ..stores.ordering_energies import ordering_energies_of  # noqa: PLC0415

    if table is not None:
        if engine is not None:
            raise ValueError(f"--engine is for a campaign's store: leave it out beside {table}")
        return (*read_energies(table, subject.cell), str(table), {})
    if not host.lower().endswith(CAMPAIGNS):
        raise ValueError("say whose energies: a CSV with key and energy, or a campaign's YAML in the host's place")
    place = find_place(Path(host), None)
    found = ordering_energies_of(place.stores, subject.cell, subject.couple, engine, place.name)
    return found.working, found.charge, found.energies, found.source, found.left_out


def _said(expansion: ClusterExpansion, output: Path) -> str:
    per_fu = 1000 / expansion.cell.formula_units
    learned = "; it has learned next to nothing" if expansion.cv_error > 0.9 * expansion.spread else ""
    return (
        f"{expansion.n_orderings} energies of {expansion.n_distinct} distinct orderings ({expansion.source}), "
        f"{expansion.clusters.n_orbits} clusters\n"
        f"error of orderings not seen {per_fu * expansion.cv_error:.2f} meV/f.u. where energies spread "
        f"{per_fu * expansion.spread:.2f}; rank correlation {expansion.cv_spearman:.3f}{learned}\n"
        f"written to {output}; use it as --model {output}"
    )
