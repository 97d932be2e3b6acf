"""From a finished VASP folder to frames and a TaskDoc, each file read once.

vasprun.xml is parsed by emmet's TaskDoc; OUTCAR is scanned for what it alone has, the moments of every ionic step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from ..stores.documents import Engine, Finding, FrameSeries
from ..stores.outcar import IonicStepRecord, read_outcar
from ..stores.provenance import engine_of
from ..stores.vasprun_steps import KBAR_TO_EV_PER_A3, IonicStep, extrapolated_energy, scf_converged

if TYPE_CHECKING:  # emmet takes seconds to import, and the launcher, which reads no outputs, needs none of it
    from emmet.core.tasks import TaskDoc
    from emmet.core.vasp.calculation import Calculation
    from emmet.core.vasp.calculation import IonicStep as EmmetIonicStep


class UnreadableOutputsError(Exception):
    """What VASP left cannot be read; the cause is the parser's own error."""


@dataclass
class VaspOutputs:
    """What a run left.

    Attributes
    ----------
    frames : every ionic step.
    task : emmet's document without ionic steps; None for an engine that it does not know.
    structure : final structure, without site properties.
    final_magmoms : (n_sites,) muB, the table VASP printed last; None where there is none.
    engine : from the version string.
    elapsed_s : wall time that VASP reports.
    stopped : STOPCAR ended the run.
    potcar_titles : TITEL of each POTCAR block, as the outputs name them.
    n_outcar_steps : ionic steps in OUTCAR; None for an engine that has none.
    nsw : largest number of ionic steps, or None.
    n_cores : MPI ranks times threads, or None.
    """

    frames: FrameSeries
    task: TaskDoc | None
    structure: Structure
    final_magmoms: list[float] | None
    engine: Engine
    elapsed_s: float | None
    stopped: bool
    potcar_titles: list[str]
    n_outcar_steps: int | None = None
    nsw: int | None = None
    n_cores: int | None = None


def find_output(folder: Path, name: str) -> Path:
    """A VASP file, plain or gzipped.

    Raises
    ------
    FileNotFoundError
        If neither is there.
    """
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"{folder} has no {name}: VASP wrote none")


def read_vasp_outputs(folder: Path, task: TaskDoc) -> VaspOutputs:
    """Frames and final values of a parsed run.

    Parameters
    ----------
    folder : the run folder.
    task : emmet's document of it, with ionic steps; they are taken out of it here.

    Raises
    ------
    ValueError
        If the run holds no ionic step or OUTCAR and vasprun.xml disagree about the sites.
    """
    calculation = last_calculation(task)
    if calculation is None or calculation.output is None or calculation.input is None:
        raise ValueError(f"{folder.name}: emmet found no calculation in this folder; VASP left no readable vasprun.xml")
    record = read_outcar(find_output(folder, "OUTCAR"))
    steps = calculation.output.ionic_steps or []
    if not steps:
        raise ValueError(
            f"{folder.name}: vasprun.xml holds no ionic step; the run stopped before the first one was done"
        )
    parameters = calculation.input.parameters or {}
    nelm = parameters.get("NELM")
    plain = [_plain_step(step) for step in steps]
    symbols = _symbols(steps[0])
    frames = frame_series(symbols, plain, record.steps, nelm, "final")
    structure = Structure(frames.lattices[-1], frames.symbols, frames.frac_coords[-1])
    calculation.output.ionic_steps = None
    final = frames.magmoms[-1]
    if final is not None and len(final) != len(structure):
        raise ValueError(
            f"{folder.name}: OUTCAR lists {len(final)} moments where vasprun.xml has {len(structure)} sites"
        )
    engine = engine_of(calculation.vasp_version or record.version or "")
    titles = [str(spec.titel) for spec in list(calculation.input.potcar_spec or ()) if spec.titel]
    return VaspOutputs(
        frames,
        task,
        structure,
        final,
        engine,
        record.elapsed_s,
        record.stopped,
        titles,
        n_outcar_steps=len(record.steps),
        nsw=parameters.get("NSW"),
        n_cores=record.n_cores,
    )


def step_findings(outputs: VaspOutputs) -> list[Finding]:
    """Whether the files agree on the number of ionic steps, and whether NSW ended a run that was not done."""
    n_steps = len(outputs.frames.energies)
    findings = []
    if outputs.n_outcar_steps not in (None, n_steps):
        message = (
            f"OUTCAR has {outputs.n_outcar_steps} ionic steps where vasprun.xml has {n_steps}: moments may be those of "
            "other steps"
        )
        findings.append(Finding(code="steps", severity="warning", message=message))
    if outputs.nsw is not None and 1 < outputs.nsw <= n_steps and not outputs.stopped:
        message = f"the run ended because NSW = {outputs.nsw} ionic steps were done"
        findings.append(Finding(code="steps", severity="info", message=message))
    return findings


def last_calculation(task: TaskDoc | None) -> Calculation | None:
    """Emmet's record of the run itself."""
    return task.calcs_reversed[0] if task is not None and task.calcs_reversed else None


def _symbols(step: EmmetIonicStep) -> list[str]:
    structure: Any = step.structure
    return [site.specie.symbol for site in structure]


def _plain_step(step: EmmetIonicStep) -> IonicStep:
    if step.structure is None or step.e_fr_energy is None or not step.electronic_steps:
        raise ValueError("an ionic step in vasprun.xml has no electronic step, no structure or no energy")
    last = step.electronic_steps[-1]
    if last.e_fr_energy is None or last.e_0_energy is None:
        raise ValueError("the last electronic step of an ionic step in vasprun.xml has no energy")
    return IonicStep(
        lattice=np.array(step.structure.lattice.matrix),
        frac_coords=np.array(step.structure.frac_coords),
        forces=np.array(step.forces, dtype=float),
        stress=np.array(step.stress, dtype=float),
        energy=extrapolated_energy(step.e_fr_energy, last.e_fr_energy, last.e_0_energy),
        n_electronic_steps=len(step.electronic_steps),
    )


def _stress(step: IonicStep) -> NDArray[np.float64]:
    if step.stress is None:
        raise ValueError("an ionic step in vasprun.xml has no stress: run VASP with ISIF 1, 2 or 3")
    return step.stress


def frame_series(
    symbols: list[str],
    steps: Sequence[IonicStep],
    records: Sequence[IonicStepRecord],
    nelm: int | None,
    origin: str,
) -> FrameSeries:
    """Frames from what vasprun.xml and OUTCAR say of the same ionic steps.

    Parameters
    ----------
    symbols : (n_sites,) elements.
    steps : ionic steps of vasprun.xml.
    records : those of OUTCAR; a run that was cut off may have fewer or one more.
    nelm : largest number of electronic steps, or None.
    origin : where these frames come from.
    """
    missing = [None] * max(0, len(steps) - len(records))
    scans = [*records[: len(steps)], *missing]
    return FrameSeries(
        symbols=symbols,
        lattices=[step.lattice.tolist() for step in steps],
        frac_coords=[step.frac_coords.tolist() for step in steps],
        energies=[step.energy for step in steps],
        forces=[step.forces.tolist() for step in steps],
        stresses=[(_stress(step) * KBAR_TO_EV_PER_A3).tolist() for step in steps],
        magmoms=[None if scan is None else scan.magmoms for scan in scans],
        scf_converged=[scf_converged(step, scan, nelm) for step, scan in zip(steps, scans, strict=True)],
        origins=[origin] * len(steps),
    )
