"""`valenceflow orderings thermodynamics`: entropy, heat capacity, order-disorder temperature, hull at temperature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..inputs.whole_files import refuse_within_a_file
from .ordering_model import DielectricOption, ModelOption, RankedBy
from .ordering_subject import (
    AtOption,
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
from .places import JsonOption

if TYPE_CHECKING:
    from ..analysis.thermodynamics import Floats, Thermodynamics
    from ..inputs.orderings.catalogue import OrderingCatalogue

TEMPERATURES = "25:2500:60"
MOST_TEMPERATURES = 2000
LOWEST, HIGHEST = 1e-3, 1e6  # K
FIGURES = (".svg", ".png", ".pdf")


def thermodynamics(
    host: HostArgument,
    supercell: SupercellOption = None,
    fractions: Annotated[
        list[str] | None,
        typer.Option(
            "--fraction", "-x", help="Occupied working-ion sites / all of them, e.g. 2/3.", show_default=False
        ),
    ] = None,
    couple: CoupleOption = None,
    at: AtOption = None,
    temperatures: Annotated[
        str, typer.Option("--temperatures", "-T", help="K: LOW:HIGH:NUMBER, evenly in ln T, or 100,300,600.")
    ] = TEMPERATURES,
    model: ModelOption = None,
    dielectric: DielectricOption = 1.0,
    sampled: Annotated[
        bool, typer.Option("--sampled", help="Sample even where every arrangement can be summed.")
    ] = False,
    sweeps: Annotated[int, typer.Option(min=10, help="Of each walker, where sampled.")] = 1000,
    sets: Annotated[int, typer.Option(min=2, help="Independent samplings, which give the errors.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampling.")] = 0,
    figure: Annotated[
        Path | None, typer.Option(help="Picture to write: FILE.svg, .png or .pdf.", show_default=False)
    ] = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    charges: ChargesOption = None,
    symprec: SymprecOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show entropy, heat capacity and free energy of orderings over temperature.

    Without --fraction at every composition, with the hull at temperature; with --at of the charges alone. What is too
    large to sum is sampled, with errors.
    """
    from .thermodynamics_output import Found, show, write_figure  # noqa: PLC0415 - pymatgen

    if figure is not None and figure.suffix not in FIGURES:
        raise ValueError(f"--figure {figure}: name a file {', '.join(FIGURES)}")
    if figure is not None:
        refuse_within_a_file(figure)
    kelvin = parse_temperatures(temperatures)
    if fractions is not None and len(fractions) > 1:
        raise ValueError(f"-x is given {len(fractions)} times: give one composition, or none to see all of them")
    fraction = fractions[0] if fractions else None
    subject = read_subject(host, supercell, couple, couples, working_ion, charges, symprec)
    ranked_by = RankedBy(model, dielectric)
    catalogues = _catalogues(subject, fraction, at, ranked_by)
    sampling = {"sets": sets, "sweeps": sweeps, "seed": seed}
    compositions = {float(one.fraction): _of_one(one, kelvin, sampled, sampling) for one in catalogues}
    found = Found(catalogues[0], ranked_by, compositions, sampling)
    show(found, as_json)
    if figure is not None:
        write_figure(found, figure)
        if not as_json:
            typer.echo(f"drawn in {figure}")


def _catalogues(subject: Subject, fraction: str | None, at: str | None, ranked_by: RankedBy) -> list[OrderingCatalogue]:
    """One composition, or every neutral one of the supercell."""
    if fraction is not None or at is not None:
        return [subject.catalogue(fraction, at, ranked_by=ranked_by)]
    from ..inputs.orderings.catalogue import OrderingCatalogue  # noqa: PLC0415 - pymatgen

    model = ranked_by.model(subject.cell, subject.couple)
    n_sites = len(subject.cell.working_sites)
    every = [OrderingCatalogue(subject.cell, subject.couple, n, model=model) for n in range(n_sites + 1)]
    neutral = [one for one in every if one.count().n_high is not None]
    if not neutral:
        raise ValueError(f"no fraction of {subject.cell.host.working_ion} is neutral; check the oxidation states")
    return neutral


def _of_one(catalogue: OrderingCatalogue, kelvin: Floats, sampled: bool, sampling: dict[str, int]) -> Thermodynamics:
    """Summed where that is possible, else sampled."""
    from ..analysis.thermodynamic_sampling import (  # noqa: PLC0415 - pymatgen
        sampled_charge_thermodynamics,
        sampled_joint_thermodynamics,
    )
    from ..analysis.thermodynamics import charge_levels, is_summable, joint_levels  # noqa: PLC0415
    from ..analysis.thermodynamics import thermodynamics as summed  # noqa: PLC0415
    from .progress import progress_bar  # noqa: PLC0415 - rich

    model, at = catalogue.energy_model, catalogue.at
    if not sampled and is_summable(catalogue.space):
        with progress_bar(f"summing x = {catalogue.fraction}") as tell:
            levels = charge_levels(model, at) if at is not None else joint_levels(model, catalogue.n_working, tell)
            return summed(levels, kelvin)
    with progress_bar(f"sampling x = {catalogue.fraction}") as tell:
        if at is not None:
            return sampled_charge_thermodynamics(model, at, kelvin, **sampling, progress=tell)
        return sampled_joint_thermodynamics(model, catalogue.n_working, kelvin, **sampling, progress=tell)


def parse_temperatures(text: str) -> Floats:
    """(n,) K from LOW:HIGH:NUMBER, evenly in ln T, or numbers separated by commas.

    Raises
    ------
    ValueError
        If it is neither, or a temperature lies outside `LOWEST` to `HIGHEST`.
    """
    import numpy as np  # noqa: PLC0415 - start-up

    wrong = (
        f"--temperatures {text!r}: write LOW:HIGH:NUMBER in K (e.g. {TEMPERATURES}; at most {MOST_TEMPERATURES}), or "
        f"100,300,600; all of {LOWEST:g} to {HIGHEST:.0f} K"
    )
    parts = text.split(":") if ":" in text else text.split(",")
    try:
        numbers = np.array([float(part) for part in parts])
    except ValueError as err:
        raise ValueError(wrong) from err
    kelvin = numbers[:2] if ":" in text else numbers
    if not (np.isfinite(numbers).all() and ((kelvin >= LOWEST) & (kelvin <= HIGHEST)).all()):
        raise ValueError(wrong)
    if ":" not in text:
        return np.unique(numbers)
    if len(numbers) != 3 or numbers[0] >= numbers[1] or numbers[2] not in range(2, MOST_TEMPERATURES + 1):
        raise ValueError(wrong)
    return np.geomspace(numbers[0], numbers[1], int(numbers[2]))
