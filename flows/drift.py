"""Do the inputs that VASP ended with still say what the protocol says? Custodian's corrections may change them mid-run.

Inputs are compared as they were written with as they were found at the end. What a change means is data
(inputs/data/drift.yaml). Upstream trap: custodian may change KPOINTS, ISMEAR, SIGMA, PREC, EDIFF without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice
from pymatgen.io.vasp import Incar, Kpoints

from ..inputs.yaml_files import parse_yaml
from ..stores.documents import Finding

AXIS_TOLERANCE = 1e-3
"""Relative: the first frame's cell is the one that was written, up to the digits of POSCAR."""


RESTARTED_AXIS_TOLERANCE = 0.15
"""The same after a restart from CONTCAR: wide enough for a relaxation; swapped axes pass only where they are alike."""


@dataclass(frozen=True)
class WrittenInputs:
    """Inputs as they were when VASP was first started.

    Attributes
    ----------
    incar : INCAR tags.
    kpoints : text of KPOINTS, blank lines and comments of the first line left out.
    lattice : the cell in POSCAR.
    potcar_labels : POTCAR label of each block that the protocol asks for, e.g. Fe_pv.
    """

    incar: Incar
    kpoints: str
    lattice: Lattice
    potcar_labels: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, lattice: Lattice, potcar_labels: Sequence[str]) -> WrittenInputs:
        """Read the inputs that were just written into a run folder."""
        return cls(Incar.from_file(folder / "INCAR"), _kpoints(folder), lattice, tuple(potcar_labels))


@dataclass
class Drift:
    """What changed: `changes` in words (harmless ones left out), and the findings for the audit."""

    changes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def input_drift(
    written: WrittenInputs,
    folder: Path,
    first_lattice: Sequence[Sequence[float]],
    potcar_titles: Sequence[str],
    restarted: bool = False,
) -> Drift:
    """Compare the inputs at the end of a run with those at its start.

    Parameters
    ----------
    written : inputs when VASP was first started.
    folder : run folder, before its files are compressed.
    first_lattice : (3, 3) cell of the last run's first frame, A.
    potcar_titles : TITEL of each POTCAR block that VASP used; empty where the outputs name none.
    restarted : custodian started VASP again from a CONTCAR, so the first frame's cell is a relaxed one.
    """
    drift = Drift()
    _compare_incar(written.incar, Incar.from_file(folder / "INCAR"), drift)
    _compare_kpoints(written.kpoints, _kpoints(folder), drift)
    tolerance = RESTARTED_AXIS_TOLERANCE if restarted else AXIS_TOLERANCE
    _compare_axes(written.lattice, np.asarray(first_lattice, dtype=float), tolerance, drift)
    _compare_potcars(written.potcar_labels, potcar_titles, drift)
    return drift


def _compare_incar(before: Incar, after: Incar, drift: Drift) -> None:
    harmless, forbidden = _tag_classes()
    for tag in sorted(set(before) | set(after)):
        old, new = before.get(tag), after.get(tag)
        if old == new or tag in harmless:
            continue
        change = f"{tag}: {_shown(old)} -> {_shown(new)}"
        drift.changes.append(change)
        if tag in forbidden:
            message = f"INCAR no longer says what the protocol says: {change}"
            drift.findings.append(Finding(code="drift", severity="failure", message=message))
        else:
            message = f"INCAR was changed during the run: {change}"
            drift.findings.append(Finding(code="drift", severity="warning", message=message))


def _compare_kpoints(before: str, after: str, drift: Drift) -> None:
    if before != after:
        drift.changes.append(f"KPOINTS: {before} -> {after}")
        message = f"KPOINTS was changed during the run: {before} -> {after}"
        drift.findings.append(Finding(code="drift", severity="warning", message=message))


def _compare_axes(written: Lattice, first: Any, tolerance: float, drift: Drift) -> None:
    lengths = np.linalg.norm(first, axis=1)
    same_hand = np.linalg.det(first) * np.linalg.det(written.matrix) > 0
    if same_hand and np.allclose(lengths, written.abc, rtol=tolerance):
        return
    shown = " ".join(f"{length:.3f}" for length in lengths)
    expected = " ".join(f"{length:.3f}" for length in written.abc)
    drift.changes.append(f"axes: {expected} -> {shown}")
    message = f"VASP ran with the axes {shown} A where {expected} A were written: the k-mesh belongs to other axes"
    drift.findings.append(Finding(code="axes changed", severity="failure", message=message))


def _compare_potcars(labels: Sequence[str], titles: Sequence[str], drift: Drift) -> None:
    if not titles:
        return
    used = [title.split()[1] if len(title.split()) > 1 else title for title in titles]
    if list(labels) != used:
        drift.changes.append(f"POTCAR: {' '.join(labels)} -> {' '.join(used)}")
        message = f"VASP used the POTCARs {' '.join(used)} where the protocol has {' '.join(labels)}"
        drift.findings.append(Finding(code="potcar", severity="failure", message=message))


def _kpoints(folder: Path) -> str:
    kpoints = Kpoints.from_file(folder / "KPOINTS")
    mesh = " ".join(str(n) for n in kpoints.kpts[0])
    return f"{kpoints.style.name} {mesh} shift {' '.join(f'{s:g}' for s in kpoints.kpts_shift)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)


@cache
def _tag_classes() -> tuple[frozenset[str], frozenset[str]]:
    text = (files("valenceflow.inputs.data") / "drift.yaml").read_text(encoding="utf-8")
    classes = parse_yaml(text, "drift.yaml")
    return frozenset(classes["harmless"]), frozenset(classes["forbidden"])
