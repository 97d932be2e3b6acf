"""One run of the stand-in: inputs in, ionic steps out, until forces, NSW or STOPCAR end it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from .command import rehearsal_version
from .crystal import Crystal
from .descent import descend
from .engines import Engine, Evaluation, engine_class
from .errors import InputError
from .faults import Fault
from .frames import Frame, scf_energies
from .inputs import Inputs, read_inputs
from .oszicar import Oszicar, Positions
from .outcar import Outcar
from .placeholders import placeholder_bands
from .settings import Settings, settings_from
from .vasprun import Vasprun

NEAR_END = 3.0
"""A step counts as one of the last when its forces are below so many times the criterion."""


def run(folder: Path, engine_name: str, fault: Fault, exact_steps: int | None = None) -> int:
    """Run in a folder as VASP would.

    Parameters
    ----------
    folder : holds INCAR, POSCAR, POTCAR (or POTCAR.spec), KPOINTS; the outputs go there.
    engine_name : the physics.
    fault : hooks, possibly empty.
    exact_steps : make so many ionic steps whatever the forces and NSW say.

    Returns
    -------
    Exit status: 0, or 1 where the inputs are refused (then there is no vasprun.xml).
    """
    _remove_old_outputs(folder)
    version = rehearsal_version(engine_name)
    print(f" running    1 mpi-ranks, on    1 nodes\n vasp.{version} (rehearsal of valenceflow: not VASP)")
    try:
        inputs = read_inputs(folder)
        engine = engine_class(engine_name)(inputs.crystal.symbols, inputs.magmoms)
    except InputError as err:
        _refuse(err)
        return 1
    for tag in inputs.unknown_tags:
        print(f" WARNING: the INCAR tag {tag} is unknown to the rehearsal and was ignored")
    settings = settings_from(inputs.tags, max(p.energy_cutoff for p in inputs.potentials))
    _relax(folder, inputs, settings, engine, fault, version, exact_steps)
    return 0


def _remove_old_outputs(folder: Path) -> None:
    for name in ("vasprun.xml", "OUTCAR", "OSZICAR", "XDATCAR"):
        (folder / name).unlink(missing_ok=True)


def _refuse(err: InputError) -> None:
    for stream in (sys.stdout, sys.stderr):
        print(err, file=stream, flush=True)
    print(
        " -----------------------------------------------------------------------------\n"
        "|     I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!!                      |\n"
        " -----------------------------------------------------------------------------",
        flush=True,
    )


def _relax(
    folder: Path,
    inputs: Inputs,
    settings: Settings,
    engine: Engine,
    fault: Fault,
    version: str,
    exact_steps: int | None,
) -> None:
    n_spins = 2 if settings.spin_polarised else 1
    bands = placeholder_bands(inputs.n_electrons, len(inputs.crystal.symbols), len(inputs.mesh.points), n_spins)
    vasprun = Vasprun(folder, inputs, settings, bands, version)
    outcar = Outcar(folder, inputs, settings, bands, version)
    oszicar = Oszicar(folder, sys.stdout, settings)
    positions = Positions(folder, inputs.blocks)
    fault.at_start()
    before: Frame | None = None
    clock = time.monotonic()
    path = descend(engine.evaluate, inputs.crystal, relax_cell=settings.relaxes_cell)
    for index, (crystal, evaluation) in enumerate(path, start=1):
        stop = _stop_request(folder)
        frame = _frame(index, crystal, evaluation, settings, before, time.monotonic() - clock, hard=stop == "hard")
        clock = time.monotonic()
        last = index >= (exact_steps or settings.max_steps)
        converged = exact_steps is None and settings.ibrion > 0 and _converged(frame, before, settings)
        near_end = last or converged or _largest_force(frame, settings) < NEAR_END * abs(settings.ediffg)
        frame = fault.on_frame(frame, inputs.crystal.symbols, near_end=near_end)
        vasprun.add(frame)
        outcar.add(frame, stop)
        oszicar.add(frame)
        positions.add(frame)
        outcar.end_step(frame, converged=converged)
        fault.after_frame(index)
        before = frame
        if last or converged or stop is not None:
            break
    if converged:
        print(" reached required accuracy - stopping structural energy minimisation")
    print(" writing wavefunctions", flush=True)
    for writer in (vasprun, outcar, oszicar, positions):
        writer.close()
    (folder / "STOPCAR").unlink(missing_ok=True) if stop is not None and _writable(folder / "STOPCAR") else None
    fault.at_end()


def _frame(
    index: int,
    crystal: Crystal,
    evaluation: Evaluation,
    settings: Settings,
    before: Frame | None,
    seconds: float,
    *,
    hard: bool,
) -> Frame:
    energies, converged = scf_energies(evaluation.energy, settings, first=before is None)
    if hard:  # LABORT: the electronic loop ends after the step it is in
        energies, converged = energies[:1], False
    first_energy = energies[-1] if before is None else before.first_energy
    return Frame(index, crystal, evaluation, energies, converged, first_energy, seconds)


def _largest_force(frame: Frame, settings: Settings) -> float:
    """Largest force on a site or, where the cell relaxes, row of the virial per site, eV/angstrom."""
    forces = frame.evaluation.forces
    if settings.relaxes_cell:
        virial = frame.crystal.volume * frame.evaluation.stress / len(forces)
        forces = np.vstack([forces, virial])
    return float(np.linalg.norm(forces, axis=1).max())


def _converged(frame: Frame, before: Frame | None, settings: Settings) -> bool:
    if settings.ediffg < 0:
        return _largest_force(frame, settings) < -settings.ediffg
    return before is not None and abs(frame.energy - before.energy) < settings.ediffg


def _stop_request(folder: Path) -> str | None:
    """Read STOPCAR: LSTOP ends the run after this ionic step, LABORT after this electronic step."""
    try:
        text = (folder / "STOPCAR").read_text().upper()
    except FileNotFoundError:
        return None
    for tag, kind in (("LABORT", "hard"), ("LSTOP", "soft")):
        value = text.partition(tag)[2].partition("=")[2].strip().lstrip(".")
        if value.startswith("T"):
            return kind
    return None


def _writable(path: Path) -> bool:
    # custodian writes a read-only STOPCAR to keep VASP from removing it.
    return path.exists() and bool(path.stat().st_mode & 0o200)
