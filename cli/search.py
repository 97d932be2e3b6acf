"""`valenceflow search`: look for low-energy orderings under a potential, show what was found, select some for DFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .model_options import BatchOption, DeviceOption, ForceOption, PrecisionOption, WorkersOption
from .ordering_subject import (
    ChargesOption,
    CoupleOption,
    CouplesOption,
    HostArgument,
    SupercellOption,
    SymprecOption,
    WorkingIonOption,
)
from .places import JsonOption

if TYPE_CHECKING:
    from ..search.loop import Outcome

SHOWN_PER_COMPOSITION = 3

app = typer.Typer(
    help="Search low-energy orderings under a potential; select some.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FolderArgument = Annotated[list[Path], typer.Argument(metavar="SEARCH...", help="Folders of searches.")]


@app.command()
def run(
    host: HostArgument,
    to: Annotated[
        Path | None, typer.Option(help="Folder of the search; a killed one goes on.", show_default=False)
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Folder of a model, or pretrained-chgnet; repeat it for an ensemble. `electrostatics` rehearses.",
            show_default=False,
        ),
    ] = None,
    fraction: Annotated[
        list[str] | None,
        typer.Option("--fraction", "-x", help="Of working ions; repeat it, or say all.", show_default=False),
    ] = None,
    supercell: SupercellOption = None,
    orderings: Annotated[str, typer.Option(help="ions, charges (then --at), or both.")] = "ions",
    at: Annotated[
        str | None,
        typer.Option(help="Working-ion ordering of --orderings charges: key, CIF, lowest.", show_default=False),
    ] = None,
    charges: Annotated[
        str | None,
        typer.Option(
            "--charges",
            help="Of ions: electrostatics (the best by it) or free.",
            show_default="electrostatics where the model knows charge states",
        ),
    ] = None,
    searcher: Annotated[str, typer.Option(help="hybrid, paper-2026 (genetic algorithm), or descent.")] = "hybrid",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the searcher, e.g. population=50; repeat it.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of all that is random.")] = 0,
    at_most: Annotated[int | None, typer.Option(min=1, help="Evaluations at most.", show_default=False)] = None,
    workers: WorkersOption = 1,
    fmax: ForceOption = 0.01,
    steps: Annotated[int, typer.Option(min=0, help="Steps of a relaxation before giving up.")] = 1000,
    moments_of: Annotated[
        str | None,
        typer.Option(help="Read charges back from moments, by this engine's windows, e.g. vasp.", show_default=False),
    ] = None,
    couple: CoupleOption = None,
    couples: CouplesOption = None,
    working_ion: WorkingIonOption = None,
    oxidation_states: ChargesOption = None,
    symprec: SymprecOption = None,
    device: DeviceOption = "cpu",
    dtype: PrecisionOption = None,
    batch_atoms: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the orderings of lowest energy; at several fractions the hull between the end members.

    Nothing is evaluated twice, and the same command goes on after a kill. What comes out is the best found.
    """
    from ..search.setup import SearcherChoice  # noqa: PLC0415 - numpy
    from .search_run import asked_space, check_charges, electrostatic, potential, search  # noqa: PLC0415 - pymatgen
    from .search_subject import SubjectOptions  # noqa: PLC0415

    if to is None:
        raise ValueError("say where the search is kept: --to FOLDER")
    if not model:
        raise ValueError("say --model: the folder of a trained model, pretrained-chgnet, or electrostatics to rehearse")
    subject_options = SubjectOptions(
        host, supercell, couple, None if couples is None else str(couples), working_ion, oxidation_states, symprec
    )
    subject = subject_options.read()
    nested = orderings == "both" and searcher == "hybrid"
    check_charges(charges, orderings, nested)
    choice = SearcherChoice(searcher, {"seed": seed, **parse_settings(settings or [])}, nested)  # type: ignore[arg-type]  # checked there
    relaxing = {"fmax": fmax, "steps": steps, "workers": workers, "device": device, "dtype": dtype, "folder": to}
    relaxing["batch_atoms"] = batch_atoms
    several = len(fraction or []) != 1
    evaluator, known = potential(subject, model, charges, several, {**relaxing, "moments_of": moments_of})
    space = asked_space(subject, "ions" if nested else orderings, fraction, at, "electrostatics" if nested else known)
    done = search(subject_options, space, choice, evaluator or electrostatic(space), to, at_most, shown=not as_json)
    _report([to], done, as_json)


def parse_settings(given: list[str]) -> dict[str, Any]:
    """Settings from NAME=NUMBER.

    Raises
    ------
    ValueError
        If one is something else.
    """
    settings: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            settings[name.strip().replace("-", "_")] = float(value) if "." in value else int(value)
        except ValueError as err:
            raise ValueError(f"--set {text!r}: write NAME=NUMBER, e.g. population=50") from err
    return settings


@app.command()
def show(
    folders: FolderArgument,
    best: Annotated[int, typer.Option("--best", "-n", min=1, help="Per composition.")] = SHOWN_PER_COMPOSITION,
    as_json: JsonOption = False,
) -> None:
    """Show the best found of each composition; several searches under one potential are taken together."""
    _report(folders, None, as_json, best)


def _report(folders: list[Path], outcome: Outcome | None, as_json: bool, best: int = SHOWN_PER_COMPOSITION) -> None:
    from .search_found import found_in  # noqa: PLC0415 - numpy

    found = found_in(folders)
    if as_json:
        about = {} if outcome is None else {"converged": outcome.converged, "improvements": outcome.improvements}
        rows = [row.plain() for row in found.rows]
        typer.echo(json.dumps({"settings": found.settings, **found.counts, **about, "orderings": rows}, indent=1))
        return
    for line in found.lines(best):
        typer.echo(line)
    if outcome is not None and not outcome.converged:
        typer.echo("stopped at the limit of evaluations; the same command with a larger --at-most goes on")


@app.command()
def select(
    folders: FolderArgument,
    to: Annotated[Path | None, typer.Option(help="Campaign file to write, e.g. next.yaml.", show_default=False)] = None,
    lowest: Annotated[int, typer.Option(min=0, help="Lowest of each composition.")] = 3,
    highest: Annotated[int, typer.Option(min=0, help="Highest of each composition.")] = 3,
    extra: Annotated[
        list[str] | None,
        typer.Option(help="Further lowest ones at a fraction, e.g. 2/3=7; repeat it.", show_default=False),
    ] = None,
    diverse: Annotated[int, typer.Option(min=0, help="As different as can be, per composition.")] = 0,
    disputed: Annotated[int, typer.Option(min=0, help="Where an ensemble disagrees most, per composition.")] = 0,
    reference: Annotated[
        list[Path] | None, typer.Option(help="CIF that is taken too, flagged; repeat it.", show_default=False)
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="A name or a YAML.", show_default="that of the campaign searched, else paper-2026"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Select orderings for DFT and write the campaign file that `valenceflow run` takes."""
    from .search_select import selected_campaign  # noqa: PLC0415 - pymatgen

    if to is None or to.suffix not in (".yaml", ".yml"):
        raise ValueError("say which campaign file to write: --to NAME.yaml")
    numbers = {"lowest": lowest, "highest": highest, "diverse": diverse, "disputed": disputed}
    selected = selected_campaign(folders, to, numbers, extra or [], reference or [], protocol)
    if as_json:
        rows = [{"key": str(one.key), "reasons": list(one.reasons)} for one in selected]
        typer.echo(json.dumps({"campaign": str(to), "orderings": rows}, indent=1))
        return
    reasons = [reason for one in selected for reason in one.reasons]
    counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))
    typer.echo(
        f"{len(selected)} orderings ({counts}) written to {to}; look with: valenceflow run {to} --dry-run inputs/"
    )
