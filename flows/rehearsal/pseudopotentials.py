"""What the stand-in needs of a POTCAR: titles and valences. Also reads POTCAR.spec (labels only)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .errors import InputError
from .potcar_facts import element_of, known_potentials


@dataclass(frozen=True)
class Pseudopotential:
    """One potential.

    Parameters
    ----------
    header : first line, which VASP copies into vasprun.xml.
    label : for example Fe_pv.
    element : for example Fe.
    valence : ZVAL, electrons.
    mass : POMASS, atomic mass units (0 where only the label is known).
    energy_cutoff : ENMAX, eV (0 where only the label is known).
    functional : LEXCH, for example PE.
    """

    header: str
    label: str
    element: str
    valence: float
    mass: float
    energy_cutoff: float
    functional: str


def read_potcar(text: str) -> list[Pseudopotential]:
    """Read the headers of a POTCAR.

    Raises
    ------
    InputError
        If a header lacks TITEL or ZVAL, or the last data set is cut off.
    """
    *sets, rest = text.split("End of Dataset")
    if rest.strip() or not sets:
        raise InputError("ERROR: POTCAR ends before 'End of Dataset': it is cut off or no POTCAR")
    return [_read_one(one.strip()) for one in sets]


def _read_one(text: str) -> Pseudopotential:
    title, valence = _field(text, "TITEL"), _field(text, "ZVAL")
    words = (title or "").split()
    if valence is None or len(words) < 2:
        raise InputError(f"ERROR: POTCAR data set {text.splitlines()[0]!r} has no TITEL or ZVAL")
    return Pseudopotential(
        header=text.splitlines()[0].strip(),
        label=words[1],
        element=element_of(words[1]),
        valence=_number(valence),
        mass=_number(_field(text, "POMASS") or "0"),
        energy_cutoff=_number(_field(text, "ENMAX") or "0"),
        functional=(_field(text, "LEXCH") or "").strip(),
    )


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"\b{name}\s*=\s*([^;\n]*)", text)
    return found[1].strip() if found else None


def _number(value: str) -> float:
    # A unit or a remark may follow: "ZVAL   =   14.000    mass and valenz"
    return float(value.split()[0])


def read_potcar_spec(text: str) -> list[Pseudopotential]:
    """Read a POTCAR.spec: one label per line, as pymatgen writes it, or emmet's JSON with titles.

    The valences come from pymatgen's packaged summary statistics (PBE_54).

    Raises
    ------
    InputError
        If a label is unknown.
    """
    if text.lstrip().startswith("["):
        labels = [entry["titel"].split()[1] for entry in json.loads(text)]
    else:
        labels = text.split()
    known = {entry.label: entry for entry in known_potentials("PBE_54")}
    missing = [label for label in labels if label not in known]
    if missing:
        raise InputError(f"ERROR: POTCAR.spec names {' '.join(missing)}: not in the PBE_54 release")
    return [
        Pseudopotential(
            known[label].title,
            label,
            element_of(label),
            known[label].valence,
            0.0,
            0.0,
            known[label].functional,
        )
        for label in labels
    ]
