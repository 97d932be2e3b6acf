"""`valenceflow relax`: structures relaxed under a potential that knows charge states."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..inputs.whole_files import write_whole
from .model_options import (
    BatchOption,
    DeviceOption,
    ForceOption,
    ModelOption,
    PrecisionOption,
    WorkersOption,
    chosen_model,
)
from .ordering_subject import CoupleOption, CouplesOption
from .places import JsonOption

if TYPE_CHECKING:
    from ..potentials.labelling import StateSource
    from ..potentials.relax_many import RelaxJob
    from ..potentials.relaxation import Relaxation

JOURNAL, STRUCTURES, SUMMARY = "relaxations", "relaxed.extxyz", "summary.json"
_COLUMNS = ("name", "state", "energy", "energy_std", "max_force", "n_steps", "n_evaluations", "volume", "reason")


def relax(
    structures: Annotated[
        list[Path], typer.Argument(help="CIF, POSCAR, extended XYZ (all frames), ...; labelled by charge states.")
    ],
    model: ModelOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results; a killed run goes on there.")
    ] = None,
    workers: WorkersOption = 1,
    fmax: ForceOption = 0.01,
    steps: Annotated[int, typer.Option(min=0, help="Steps before giving up.")] = 1000,
    fixed_cell: Annotated[bool, typer.Option("--fixed-cell", help="Leave the cell as it is.")] = False,
    volume_change: Annotated[float, typer.Option(min=0.01, help="Share by which the volume may change.")] = 0.25,
    states: Annotated[
        str, typer.Option(help="Where charge states are: the name of a per-atom array, or `magmoms`.")
    ] = "oxidation_state",
    couple: CoupleOption = None,
    couples: CouplesOption = None,
    device: DeviceOption = "cpu",
    dtype: PrecisionOption = None,
    batch_atoms: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Relax structures under a potential, as the paper does.

    LBFGSLineSearch, cell included, to 0.01 eV/A. Nothing is relaxed twice; the same command goes on after a kill.
    """
    if out is None:
        raise ValueError("say where results go: --out FOLDER")
    choice = chosen_model(model, device, dtype, batch_atoms)
    from ..potentials.relax_many import relax_many  # noqa: PLC0415 - torch
    from ..potentials.relaxation import RelaxSettings  # noqa: PLC0415
    from ..potentials.structure_files import read_jobs, write_relaxed  # noqa: PLC0415
    from .progress import progress_bar  # noqa: PLC0415 - rich

    jobs = read_jobs(structures)
    settings = RelaxSettings(fmax=fmax, steps=steps, relax_cell=not fixed_cell, volume_change=volume_change)
    source = _states(jobs, states, couple, couples)
    with progress_bar("relaxing") as tell:
        tell(0, len(jobs))
        results = relax_many(
            jobs, choice, settings, out / JOURNAL, workers, source, lambda _, done, total: tell(done, total), tell
        )
    left = write_relaxed(out / STRUCTURES, results)
    rows = [_row(result) for result in results]
    write_whole(out / SUMMARY, json.dumps(rows, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        _show(rows, out if left else None, choice.engines())
    if any(row["state"] != "converged" for row in rows):
        raise typer.Exit(1)


def _states(jobs: Sequence[RelaxJob], states: str, couple: str | None, couples: Path | None) -> str | StateSource:
    """Where labels are read; an array that was asked for must be there."""
    from ..potentials.species import OXIDATION_STATE  # noqa: PLC0415 - pymatgen

    if states == "magmoms":
        return _by_magmoms(couple, couples)
    for job in jobs if states != OXIDATION_STATE else ():
        if states not in job.atoms.arrays:
            raise ValueError(f"{job.name}: has no array {states!r}; it has {', '.join(sorted(job.atoms.arrays))}")
    return states


def _by_magmoms(couple: str | None, couples: Path | None) -> StateSource:
    from ..inputs.charge_states import get_couple  # noqa: PLC0415 - pymatgen
    from ..potentials.labelling import states_by_magmoms  # noqa: PLC0415

    if couple is None:
        raise ValueError("--states magmoms needs --couple, e.g. Fe2+/Fe3+")
    return states_by_magmoms([get_couple(couple, couples)])


def _row(result: Relaxation) -> dict[str, Any]:
    return {"relaxation_id": result.relaxation_id, **{name: getattr(result, name) for name in _COLUMNS}}


def _show(rows: Sequence[dict[str, Any]], out: Path | None, engines: Sequence[str]) -> None:
    """A table of results; `out` where there are structures."""
    from rich.console import Console  # noqa: PLC0415 - start-up

    from ..potentials.species import OXIDATION_STATE  # noqa: PLC0415
    from .tables import plain_table  # noqa: PLC0415
    from .wording import trained_on_rehearsals  # noqa: PLC0415

    for line in trained_on_rehearsals(engines):
        typer.echo(line)
    table = plain_table()
    for name in ("name", "state", "energy, eV", "max force, eV/A", "steps", "evaluations", "reason"):
        table.add_column(name)
    for row in rows:
        energy = "" if row["energy"] is None else f"{row['energy']:.4f}"
        energy += "" if row["energy_std"] is None else f" +- {row['energy_std']:.4f}"
        force = "" if row["max_force"] is None else f"{row['max_force']:.4f}"
        table.add_row(
            row["name"], row["state"], energy, force, str(row["n_steps"]), str(row["n_evaluations"]), row["reason"]
        )
    Console().print(table)
    counts = ", ".join(f"{number} {state}" for state, number in Counter(row["state"] for row in rows).items())
    typer.echo(counts + (f"; structures with labels: {out / STRUCTURES}" if out else "; no structure came of it"))
    if any(OXIDATION_STATE in row["reason"] for row in rows):
        typer.echo(
            "labels are read from extended XYZ, from decorated CIFs, or by --states from another array or moments"
        )
