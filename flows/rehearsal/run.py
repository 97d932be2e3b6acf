"""One run of the stand-in: inputs in, ionic steps out, until forces, NSW or STOPCAR end it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .command import rehearsal_version
from .crystal import Crystal
from .descent import descend
from .engines import Engine, Evaluation, engine_class
from .errors import InputError, Stopped
from .faults import Fault
from .frames import Frame, scf_energies
from .inputs import Inputs, read_inputs
from .outputs import Outputs
from .settings import Settings, settings_from
from .wavecar import effective_istart

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
    for name in ("vasprun.xml", "OUTCAR", "OSZICAR", "XDATCAR"):
        (folder / name).unlink(missing_ok=True)
    version = rehearsal_version(engine_name)
    print(f" running    1 mpi-ranks, on    1 nodes\n vasp.{version} (rehearsal stand-in of valenceflow: not VASP)")
    try:
        inputs = read_inputs(folder)
        fault = _fault_here(fault, folder, inputs)
        inputs = fault.at_inputs(inputs)
        engine = engine_class(engine_name)(inputs.crystal.symbols, inputs.magmoms)
        istart = effective_istart(folder, inputs.tags)
    except InputError as err:
        _refuse(err)
        return 1
    print(f" POSCAR found : {len(inputs.blocks):2d} types and {len(inputs.crystal.symbols):7d} ions")
    for tag in inputs.unknown_tags:
        print(f" WARNING: the INCAR tag {tag} is unknown to the rehearsal and was ignored")
    settings = settings_from(inputs.tags, max(p.energy_cutoff for p in inputs.potentials), istart)
    outputs = Outputs(folder, inputs, settings, version)
    try:
        fault.at_setup(outputs)
        _relax(inputs, engine, fault, outputs, exact_steps)
        fault.at_end(folder)
    except Stopped as stopped:
        outputs.break_off()
        return stopped.status
    return 0


def _fault_here(fault: Fault, folder: Path, inputs: Inputs) -> Fault:
    if fault.request is None or fault.request.name == "none":
        return fault
    if not fault.request.applies(folder, inputs.crystal.symbols):
        return Fault()
    print(f" the rehearsal injects the fault {fault.request.text}")
    fault.request.leave_mark(folder)
    return fault


def _refuse(err: InputError) -> None:
    for stream in (sys.stdout, sys.stderr):
        print(err, file=stream, flush=True)
    print(
        " -----------------------------------------------------------------------------\n"
        "|     I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!!                      |\n"
        " -----------------------------------------------------------------------------",
        flush=True,
    )


def _relax(inputs: Inputs, engine: Engine, fault: Fault, outputs: Outputs, exact_steps: int | None) -> None:
    settings = outputs.settings
    before: Frame | None = None
    clock = time.monotonic()
    for crystal, evaluation in descend(engine.evaluate, inputs.crystal, relax_cell=settings.relaxes_cell):
        stop = _stop_request(outputs.folder)
        frame = _frame(crystal, evaluation, settings, before, time.monotonic() - clock, hard=stop == "hard")
        clock = time.monotonic()
        end = _end(frame, before, settings, stop, exact_steps)
        near_end = end.here or _largest_force(frame, settings) < NEAR_END * abs(settings.ediffg)
        frame = fault.on_frame(frame, inputs.crystal.symbols, near_end=near_end)
        fault.before_frame(frame)
        outputs.add(frame, final=end.here, converged=end.converged, stop=end.stop)
        fault.after_frame(frame.index)
        before = frame
        if end.here:
            break
    outputs.close()
    _remove_stopcar(outputs.folder)


@dataclass(frozen=True)
class _End:
    """Why a run ends with a step, if it does."""

    converged: bool
    last: bool
    stop: str | None

    @property
    def here(self) -> bool:
        return self.converged or self.last or self.stop is not None


def _end(frame: Frame, before: Frame | None, settings: Settings, stop: str | None, exact_steps: int | None) -> _End:
    moves = exact_steps is None and settings.ibrion > 0
    last = frame.index >= (settings.max_steps if exact_steps is None else exact_steps)
    return _End(moves and _converged(frame, before, settings), last, stop)


def _frame(
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
    index = 1 if before is None else before.index + 1
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


def _remove_stopcar(folder: Path) -> None:
    # VASP removes it when it ends; custodian can write it read-only to keep it.
    stopcar = folder / "STOPCAR"
    if stopcar.exists() and stopcar.stat().st_mode & 0o200:
        stopcar.unlink()
