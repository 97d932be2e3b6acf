"""Ionic steps of a vasprun.xml that may be cut off anywhere: complete ones are read, and why the rest is not is said.

emmet and pymatgen read finished files; killed runs and custodian's error archives leave unfinished ones, with good
frames in them. Steps come one at a time, so that a long molecular dynamics run needs no more memory than a short one.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from .ingest_reasons import FrameReason
from .outcar import IonicStepRecord
from .vasprun_parser import Around, Calculation, VasprunParser

FloatArray = NDArray[np.float64]

KBAR_TO_EV_PER_A3 = -0.1 / 160.21766208
"""VASP prints kbar with the sign of a pressure; documents hold eV/A^3 with ASE's sign (1 eV/A^3 = 160.2 GPa)."""

_CHUNK = 1 << 16
_MISNAMED = {"X": "Xe", "r": "Zr"}  # VASP 5 cuts these two


class ByteStream(Protocol):
    """What bytes are read from: a file, a gzipped one, a member of an archive."""

    def read(self, size: int = -1, /) -> bytes:
        """Next bytes, at most so many; none at the end."""
        ...


@dataclass(frozen=True)
class IonicStep:
    """One complete ionic step.

    Attributes
    ----------
    lattice : (3, 3) rows are cell vectors, A.
    frac_coords : (n_sites, 3).
    forces : (n_sites, 3), eV/A.
    stress : (3, 3), kbar with VASP's sign; None where none was computed (ISIF 0, the default of molecular dynamics).
    energy : extrapolated to zero smearing, eV.
    n_electronic_steps : SCF iterations.
    free_energy : e_fr_energy without PSTRESS times volume, the TOTEN of OUTCAR, eV.
    number : place among the ionic steps that have electronic steps, which are those that OUTCAR has, from 0.
    """

    lattice: FloatArray
    frac_coords: FloatArray
    forces: FloatArray
    stress: FloatArray | None
    energy: float
    n_electronic_steps: int
    free_energy: float = float("nan")
    number: int = 0


@dataclass
class VasprunSteps:
    """What a vasprun.xml holds.

    Attributes
    ----------
    steps : complete ionic steps (`read_vasprun_steps`; `iter_vasprun_steps` yields them instead).
    symbols : (n_sites,) elements; empty if the file ends before them.
    version : VASP's version string, or None.
    nelm : NELM, or None.
    complete : the file ends as VASP ends it.
    problem : why reading stopped, empty if the file is complete.
    incar, parameters : INCAR tags as given, and all of them as VASP understood them, values as printed.
    k_mesh : divisions of an automatic mesh, or None.
    potcars : (element, title) of each block of POTCAR, e.g. (Fe, PAW_PBE Fe_pv 02Aug2007).
    valences : (n_sites,) electrons of the pseudopotential of each site.
    started : date and time as VASP wrote them.
    left_out : reason -> complete ionic steps without what a step must have.
    """

    steps: list[IonicStep] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    version: str | None = None
    nelm: int | None = None
    complete: bool = False
    problem: str = ""
    incar: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    k_mesh: tuple[int, int, int] | None = None
    potcars: list[tuple[str, str]] = field(default_factory=list)
    valences: list[float] = field(default_factory=list)
    started: str = ""
    left_out: Counter[FrameReason] = field(default_factory=Counter)


def read_vasprun_steps(path: Path) -> VasprunSteps:
    """Read a vasprun.xml (plain or .gz) as far as it is good; never raises for what is in the file."""
    found = VasprunSteps()
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as handle:
            found.steps.extend(iter_vasprun_steps(cast("ByteStream", handle), found, path.name))
    except OSError as err:
        found.problem = f"{path.name} is cut off or damaged: {err}"
    return found


def iter_vasprun_steps(handle: ByteStream, found: VasprunSteps, name: str = "vasprun.xml") -> Iterator[IonicStep]:
    """Complete ionic steps as they are read; what is around them goes into `found`.

    Parameters
    ----------
    handle : bytes of the file, unpacked.
    found : filled as the file is read; `complete` and `problem` hold once the iterator is exhausted.
    name : of the file, for `problem`.
    """
    parser, n_computed = VasprunParser(), 0
    try:
        while chunk := handle.read(_CHUNK):
            parser.feed(chunk)
            while parser.ready:
                _take(parser.around, found)
                calculation = parser.ready.popleft()
                step = _ionic_step(calculation, n_computed, _pressure(found))
                n_computed += calculation.n_scf > 0
                if isinstance(step, IonicStep):
                    yield step
                else:
                    found.left_out[step] += 1
        parser.close()
    except (expat.ExpatError, EOFError, OSError, ValueError, IndexError, zlib.error) as err:
        found.problem = f"{name} is cut off or damaged: {err}"
    else:
        found.complete = True
    try:
        _take(parser.around, found)
    except (ValueError, IndexError) as err:
        found.problem, found.complete = f"{name} is cut off or damaged: {err}", False


def _take(around: Around, found: VasprunSteps) -> None:
    """What was read so far around the calculations."""
    if found.symbols:
        return  # nothing more comes after <atominfo>
    found.version = around.generator.get("version")
    found.started = " ".join(around.generator.get(name, "") for name in ("date", "time"))
    found.incar, found.parameters = around.incar, around.parameters
    nelm = found.parameters.get("NELM")
    found.nelm = None if nelm is None else int(nelm)
    divisions = [int(number) for number in around.divisions.split()]
    found.k_mesh = (divisions[0], divisions[1], divisions[2]) if len(divisions) == 3 else None
    types = [row for row in around.atom_types if len(row) > 4]
    found.potcars = [(_element_name(row[1]), row[4]) for row in types]
    electrons = [_number(row[3]) for row in types]
    found.valences = [electrons[int(row[1]) - 1] for row in around.atoms] if types else []
    found.symbols = [_element_name(row[0]) for row in around.atoms]


def _element_name(name: str) -> str:
    return _MISNAMED.get(name, name)


def _pressure(found: VasprunSteps) -> float:
    """PSTRESS, eV/A^3."""
    return -KBAR_TO_EV_PER_A3 * float(found.parameters.get("PSTRESS") or found.incar.get("PSTRESS") or 0.0)


def _ionic_step(calculation: Calculation, number: int, pressure: float) -> IonicStep | FrameReason:
    """An ionic step, or what it lacks."""
    arrays = [_array(calculation.rows.get(name)) for name in ("basis", "positions", "forces", "stress")]
    lattice, positions, forces, stress = arrays
    if lattice is None or positions is None:
        return "not readable"
    if calculation.n_scf == 0:
        return "machine-learned step"
    if forces is None:  # GW, RPA, BSE
        return "no forces"
    energies = [
        calculation.energies.get("e_fr_energy"),
        calculation.last_scf.get("e_fr_energy"),
        calculation.last_scf.get("e_0_energy"),
    ]
    if None in energies:
        return "no energy"
    enthalpy, last_free, last_extrapolated = (_number(energy) for energy in energies if energy is not None)
    free = without_pressure(enthalpy, pressure, lattice)
    energy = extrapolated_energy(free, last_free, last_extrapolated)
    return IonicStep(lattice, positions, forces, stress, energy, calculation.n_scf, free, number)


def without_pressure(enthalpy: float, pressure: float, lattice: FloatArray) -> float:
    """Free energy of an ionic step, eV: the e_fr_energy that VASP writes beside the forces holds PSTRESS times volume.

    That of the electronic steps and OUTCAR's TOTEN do not (ASE's reader of vasprun.xml, merge request 2685).

    Parameters
    ----------
    enthalpy : e_fr_energy of the ionic step, eV.
    pressure : PSTRESS, eV/A^3.
    lattice : (3, 3) A.
    """
    return enthalpy - pressure * float(abs(np.linalg.det(lattice))) if pressure else enthalpy


def extrapolated_energy(free: float, last_scf_free: float, last_scf_extrapolated: float) -> float:
    """Energy extrapolated to zero smearing of one ionic step, eV.

    The e_0_energy that VASP writes beside the forces is wrong (0 in 5.3.5; a known defect of vasprun.xml), so it is
    made from the step's free energy and the difference in its last electronic step, as pymatgen's `final_energy` does.


    Parameters
    ----------
    free : e_fr_energy of the ionic step.
    last_scf_free, last_scf_extrapolated : e_fr_energy and e_0_energy of its last electronic step.
    """
    return free + (last_scf_extrapolated - last_scf_free)


def scf_converged(step: IonicStep, record: IonicStepRecord | None, nelm: int | None) -> bool:
    """Whether the electronic steps of an ionic step reached EDIFF.

    OUTCAR decides where it says how the loop ended; else the loop must have ended before its limit.

    Parameters
    ----------
    step : of vasprun.xml.
    record : the same step in OUTCAR, or None.
    nelm : largest number of electronic steps, or None.
    """
    if record is not None and record.loop_ended:
        return record.scf_converged
    return nelm is None or step.n_electronic_steps < nelm


def _array(rows: list[str] | None) -> FloatArray | None:
    if rows is None:
        return None
    table = [row.split() for row in rows]
    try:
        return np.array(table, dtype=float)
    except ValueError:  # a number too large for its field is printed as stars
        return np.array([[_number(text) for text in row] for row in table], dtype=float)


def _number(text: str) -> float:
    return float("nan") if set(text) == {"*"} else float(text)
