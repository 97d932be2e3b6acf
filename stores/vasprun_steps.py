"""Ionic steps of a vasprun.xml that may be cut off anywhere: complete ones are read, and why the rest is not is said.

emmet and pymatgen read finished files; killed runs and custodian's error archives leave unfinished ones, with good
frames in them. Steps come one at a time, so that a long molecular dynamics run needs no more memory than a short one.
"""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .outcar import IonicStepRecord

FloatArray = NDArray[np.float64]

KBAR_TO_EV_PER_A3 = -0.1 / 160.21766208
"""VASP prints kbar with the sign of a pressure; documents hold eV/A^3 with ASE's sign (1 eV/A^3 = 160.2 GPa)."""

_CHUNK = 1 << 16
_DEEPEST = 32
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
    stress : (3, 3), kbar with VASP's sign.
    energy : extrapolated to zero smearing, eV.
    n_electronic_steps : SCF iterations.
    free_energy : e_fr_energy, the TOTEN of OUTCAR, eV.
    """

    lattice: FloatArray
    frac_coords: FloatArray
    forces: FloatArray
    stress: FloatArray
    energy: float
    n_electronic_steps: int
    free_energy: float = float("nan")


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
    try:
        for element in _elements(handle):
            if element.tag == "calculation":
                step = _ionic_step(element)
                if step is not None:
                    yield step
            else:
                _take(element, found)
    except (ElementTree.ParseError, EOFError, OSError, ValueError, IndexError, zlib.error) as err:
        found.problem = f"{name} is cut off or damaged: {err}"
    else:
        found.complete = True


def _elements(handle: ByteStream) -> Iterator[ElementTree.Element]:
    """Finished elements of interest, in order; memory is given back as soon as one was used."""
    parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(events=("start", "end"))
    root: ElementTree.Element | None = None
    depth, before = 0, b""
    while chunk := handle.read(_CHUNK):
        if root is None:
            _refuse_types(before + chunk)
            before = chunk[-16:]
        parser.feed(chunk)
        for event, element in cast("Iterator[tuple[str, ElementTree.Element]]", parser.read_events()):
            if event == "start":
                root = element if root is None else root
                depth += 1
                if depth > _DEEPEST:
                    raise ValueError(f"elements lie more than {_DEEPEST} deep, which VASP never writes")
                continue
            depth -= 1
            if depth == 1:
                yield element
                assert root is not None
                root.clear()
    parser.close()


def _refuse_types(text: bytes) -> None:
    """Entities could grow without bound; a type is declared before the root element or not at all."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ValueError("a document type is declared, which VASP never does")
    if b"\0" in text:
        raise ValueError("the text is binary or of two bytes a letter, which VASP never writes")


def _take(element: ElementTree.Element, found: VasprunSteps) -> None:
    if element.tag == "generator":
        found.version = _text(element, "i[@name='version']")
        found.started = " ".join(_text(element, f"i[@name='{name}']") or "" for name in ("date", "time"))
    elif element.tag == "incar":
        found.incar = _named_values(element)
    elif element.tag == "kpoints":
        found.k_mesh = _divisions(element)
    elif element.tag == "parameters":
        found.parameters = _named_values(element)
        nelm = found.parameters.get("NELM")
        found.nelm = None if nelm is None else int(nelm)
    elif element.tag == "atominfo":
        rows = element.findall("array[@name='atoms']/set/rc")
        found.symbols = [_element_name(row[0].text) for row in rows]
        types = [row for row in element.findall("array[@name='atomtypes']/set/rc") if len(row) > 4]
        found.potcars = [(_element_name(row[1].text), (row[4].text or "").strip()) for row in types]
        electrons = [_number((row[3].text or "nan").strip()) for row in types]
        found.valences = [electrons[int(row[1].text or 0) - 1] for row in rows] if types else []


def _element_name(text: str | None) -> str:
    name = (text or "").strip()
    return _MISNAMED.get(name, name)


def _named_values(element: ElementTree.Element) -> dict[str, str]:
    found = {}
    for node in element.iter():
        name = node.get("name")
        if name is not None and node.tag in ("i", "v"):
            found[name.strip()] = " ".join((node.text or "").split())
    return found


def _divisions(element: ElementTree.Element) -> tuple[int, int, int] | None:
    text = _text(element, "generation/v[@name='divisions']")
    numbers = [int(number) for number in (text or "").split()]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _text(element: ElementTree.Element, path: str) -> str | None:
    node = element.find(path)
    return None if node is None or node.text is None else node.text.strip()


def _ionic_step(calculation: ElementTree.Element) -> IonicStep | None:
    lattice = _rows(calculation, "structure/crystal/varray[@name='basis']")
    positions = _rows(calculation, "structure/varray[@name='positions']")
    forces = _rows(calculation, "varray[@name='forces']")
    stress = _rows(calculation, "varray[@name='stress']")
    scf = calculation.findall("scstep")
    energies = [
        _text(calculation, "energy/i[@name='e_fr_energy']"),
        _text(scf[-1], "energy/i[@name='e_fr_energy']") if scf else None,
        _text(scf[-1], "energy/i[@name='e_0_energy']") if scf else None,
    ]
    if lattice is None or positions is None or forces is None or stress is None or None in energies:
        return None
    free, last_free, last_extrapolated = (_number(energy) for energy in energies if energy is not None)
    energy = extrapolated_energy(free, last_free, last_extrapolated)
    return IonicStep(lattice, positions, forces, stress, energy, len(scf), free)


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


def _rows(calculation: ElementTree.Element, path: str) -> FloatArray | None:
    node = calculation.find(path)
    if node is None:
        return None
    rows = [(row.text or "").split() for row in node]
    try:
        return np.array(rows, dtype=float)
    except ValueError:  # a number too large for its field is printed as stars
        return np.array([[_number(text) for text in row] for row in rows], dtype=float)


def _number(text: str) -> float:
    return float("nan") if set(text) == {"*"} else float(text)
