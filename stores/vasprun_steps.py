"""Ionic steps of a vasprun.xml that may be cut off anywhere: complete ones are read, and why the rest is not is said.

emmet and pymatgen read finished files; killed runs and custodian's error archives leave unfinished ones, with good
frames in them.
"""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_CHUNK = 1 << 16


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
    """

    lattice: FloatArray
    frac_coords: FloatArray
    forces: FloatArray
    stress: FloatArray
    energy: float
    n_electronic_steps: int


@dataclass
class VasprunSteps:
    """What a vasprun.xml holds.

    Attributes
    ----------
    steps : complete ionic steps.
    symbols : (n_sites,) elements; empty if the file ends before them.
    version : VASP's version string, or None.
    nelm : NELM, or None.
    complete : the file ends as VASP ends it.
    problem : why reading stopped, empty if the file is complete.
    """

    steps: list[IonicStep] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    version: str | None = None
    nelm: int | None = None
    complete: bool = False
    problem: str = ""


def read_vasprun_steps(path: Path) -> VasprunSteps:
    """Read a vasprun.xml (plain or .gz) as far as it is good; never raises for what is in the file."""
    found = VasprunSteps()
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as handle:
            for element in _elements(handle):
                _take(element, found)
    except (ElementTree.ParseError, EOFError, OSError, ValueError) as err:
        found.problem = f"{path.name} is cut off or damaged: {err}"
    else:
        found.complete = True
    return found


def _elements(handle: BinaryIO | gzip.GzipFile) -> Iterator[ElementTree.Element]:
    """Finished elements of interest, in order; memory is given back as soon as one was used."""
    parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(events=("start", "end"))
    depth, head = 0, b""
    while chunk := handle.read(_CHUNK):
        if len(head) < _CHUNK:
            head += chunk
            if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
                raise ValueError("a document type is declared, which VASP never does")
        parser.feed(chunk)
        for event, element in cast("Iterator[tuple[str, ElementTree.Element]]", parser.read_events()):
            if event == "start":
                depth += 1
                continue
            depth -= 1
            if depth == 1:
                yield element
                element.clear()
    parser.close()


def _take(element: ElementTree.Element, found: VasprunSteps) -> None:
    if element.tag == "generator":
        found.version = _text(element, "i[@name='version']")
    elif element.tag == "parameters":
        nelm = _text(element, ".//i[@name='NELM']")
        found.nelm = None if nelm is None else int(nelm)
    elif element.tag == "atominfo":
        rows = element.findall("array[@name='atoms']/set/rc")
        found.symbols = [(row[0].text or "").strip() for row in rows]
    elif element.tag == "calculation":
        step = _ionic_step(element)
        if step is not None:
            found.steps.append(step)


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
    free, last_free, last_extrapolated = (float(energy) for energy in energies if energy is not None)
    energy = extrapolated_energy(free, last_free, last_extrapolated)
    return IonicStep(lattice, positions, forces, stress, energy, len(scf))


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


def _rows(calculation: ElementTree.Element, path: str) -> FloatArray | None:
    node = calculation.find(path)
    if node is None:
        return None
    return np.array([[float(value) for value in (row.text or "").split()] for row in node], dtype=float)
