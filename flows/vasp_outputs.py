"""From a finished VASP folder to frames and a TaskDoc, each file read once.

vasprun.xml is parsed by emmet's TaskDoc; OUTCAR is scanned for what it alone has, the moments of every ionic step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emmet.core.tasks import TaskDoc
from emmet.core.vasp.calculation import Calculation, IonicStep
from pymatgen.core import Structure

from ..stores.documents import Engine, FrameSeries
from ..stores.outcar import OutcarRecord, read_outcar
from ..stores.provenance import engine_of
from ..stores.vasprun_steps import extrapolated_energy

KBAR_TO_EV_PER_A3 = -0.1 / 160.21766208
"""VASP prints kbar with the sign of a pressure; documents hold eV/A^3 with ASE's sign (1 eV/A^3 = 160.2 GPa)."""


@dataclass
class VaspOutputs:
    """What a run left.

    Attributes
    ----------
    frames : every ionic step.
    task : emmet's document without ionic steps.
    structure : final structure, without site properties.
    final_magmoms : (n_sites,) muB, the table VASP printed last; None where there is none.
    engine : from the version string.
    elapsed_s : wall time that VASP reports.
    """

    frames: FrameSeries
    task: TaskDoc
    structure: Structure
    final_magmoms: list[float] | None
    engine: Engine
    elapsed_s: float | None


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
    nelm = (calculation.input.parameters or {}).get("NELM")
    frames = _frames(steps, record, nelm)
    structure = Structure(frames.lattices[-1], frames.symbols, frames.frac_coords[-1])
    calculation.output.ionic_steps = None
    final = frames.magmoms[-1]
    if final is not None and len(final) != len(structure):
        raise ValueError(
            f"{folder.name}: OUTCAR lists {len(final)} moments where vasprun.xml has {len(structure)} sites"
        )
    version = calculation.vasp_version or record.version or ""
    return VaspOutputs(frames, task, structure, final, engine_of(version), record.elapsed_s)


def _extrapolated(step: IonicStep) -> float:
    """Energy of emmet's ionic step, extrapolated to zero smearing, eV."""
    if step.e_fr_energy is None or not step.electronic_steps:
        raise ValueError("an ionic step in vasprun.xml has no electronic step or no energy")
    last = step.electronic_steps[-1]
    return extrapolated_energy(step.e_fr_energy, last.e_fr_energy, last.e_0_energy)


def last_calculation(task: TaskDoc) -> Calculation | None:
    """Emmet's record of the run itself."""
    return task.calcs_reversed[0] if task.calcs_reversed else None


def _frames(steps: list[Any], record: OutcarRecord, nelm: int | None) -> FrameSeries:
    scans = record.steps[: len(steps)]
    moments = [scan.magmoms for scan in scans] + [None] * (len(steps) - len(scans))
    reached = [scan.scf_converged for scan in scans] + [False] * (len(steps) - len(scans))
    below = [nelm is None or (step.num_electronic_steps or 0) < nelm for step in steps]
    return FrameSeries(
        symbols=[site.specie.symbol for site in steps[0].structure],
        lattices=[step.structure.lattice.matrix.tolist() for step in steps],
        frac_coords=[step.structure.frac_coords.tolist() for step in steps],
        energies=[_extrapolated(step) for step in steps],
        forces=[[list(row) for row in step.forces] for step in steps],
        stresses=[[[value * KBAR_TO_EV_PER_A3 for value in row] for row in step.stress] for step in steps],
        magmoms=moments,
        scf_converged=[a or b for a, b in zip(reached, below, strict=True)],
    )
