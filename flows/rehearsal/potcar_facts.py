"""Facts about VASP's potentials that pymatgen packages: titles, valences, functionals; no potential data."""

from __future__ import annotations

import bz2
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class PotentialFacts:
    """One potential of a release: label (Fe_pv), title (PAW_PBE Fe_pv 02Aug2007), VRHFIN, LEXCH, ZVAL."""

    label: str
    title: str
    configuration: str
    functional: str
    valence: float

    @property
    def element(self) -> str:
        """Element of the label."""
        return element_of(self.label)


def element_of(label: str) -> str:
    """Return the element of a potential's label: Fe of Fe_pv, H of H1.25."""
    found = re.match(r"[A-Z][a-z]?", label)
    if found is None:
        raise ValueError(f"no element in the label {label!r} of a potential, which looks like Fe_pv")
    return found[0]


@cache
def _all_statistics() -> dict[str, dict[str, list[dict[str, object]]]]:
    # The file is read by its path: importing pymatgen takes ten times as long.
    spec = find_spec("pymatgen.io.vasp")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pymatgen is not installed")
    path = Path(spec.submodule_search_locations[0]) / "potcar-summary-stats.json.bz2"
    found: dict[str, dict[str, list[dict[str, object]]]] = json.loads(bz2.decompress(path.read_bytes()))
    return found


def known_potentials(functional: str) -> list[PotentialFacts]:
    """Return what is known of the potentials of a release, one per label.

    Parameters
    ----------
    functional : pymatgen's name of the release, for example PBE_54.

    Raises
    ------
    ValueError
        If pymatgen knows no such release.
    """
    releases = _all_statistics()
    if functional not in releases:
        raise ValueError(f"unknown POTCAR release {functional!r}; choose one of {', '.join(releases)}")
    found: dict[str, PotentialFacts] = {}
    for packed, variants in releases[functional].items():
        for variant in variants:
            label = str(variant["symbol"])
            title = _unpack(packed, label)
            if title is None or label in found:
                continue
            found[label] = PotentialFacts(
                label, title, str(variant["VRHFIN"]), str(variant["LEXCH"]), float(str(variant["ZVAL"]))
            )
    return list(found.values())


def _unpack(packed: str, label: str) -> str | None:
    """Put back the spaces that the statistics leave out: PAW_PBEFe_pv02Aug2007 -> PAW_PBE Fe_pv 02Aug2007.

    None for the handful of potentials whose title does not hold their label.
    """
    # In "PAW_PBEP06Sep2000" the label P also occurs in PBE: it is the one before the date.
    found = re.fullmatch(rf"(.*?){re.escape(label)}((?:\d{{2}}[A-Za-z]{{3}}\d{{4}}.*)?)", packed)
    return " ".join(part for part in (found[1], label, found[2]) if part) if found else None
