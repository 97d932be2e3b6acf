"""What a run from elsewhere was computed with: kind of step, settings that change energies, drift from a protocol.

Two runs of the same hash may be compared as far as tags go; the potentials and U of each element stand beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from pymatgen.io.vasp import Incar

from ..inputs.protocol import Protocol
from ..inputs.yaml_files import parse_yaml
from .frames import FrameStep

_PER_CELL = frozenset(
    {"MAGMOM", "NUPDOWN", "NELECT", "LDAUU", "LDAUJ", "LDAUL", "LDAU", "LDAUTYPE", "LMAXMIX", "ROPT", "EDIFFG", "ISIF"}
    | {"KSPACING", "KGAMMA", "IMAGES", "SPRING", "LCLIMB", "TEBEG", "TEEND", "MDALGO", "LANGEVIN_GAMMA"}
    | {"LANGEVIN_GAMMA_L", "PMASS", "ANDERSEN_PROB", "NBLOCK", "KBLOCK", "NUPDOWN", "LAMBDA", "M_CONSTR", "PSTRESS"}
    | {
        "ICORELEVEL",
        "LDIPOL",
        "IDIPOL",
        "NEDOS",
        "EMIN",
        "EMAX",
        "LORBMOM",
        "RWIGS",
        "NGX",
        "NGY",
        "NGZ",
        "LNONCOLLINEAR",
    }
)
"""Tags that belong to a cell or to a kind of run; U is looked at per element."""

_WITH_U = "U - J "
Potcars = Sequence[tuple[str, str]]
_RELAXING, _MOVING = ("1", "2", "3"), "0"


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run.

    Attributes
    ----------
    step : what kind of run it was; a surrogate step is told by its elements.
    tags : that change energies and belong to no single cell.
    hash : of these.
    elements : element -> U and pseudopotential, in words.
    spin_polarised : ISPIN 2.
    path_image : image of a nudged elastic band.
    max_force : force criterion of a relaxation, eV/A, or None.
    """

    step: FrameStep
    hash: str
    tags: dict[str, Any] = field(default_factory=dict)
    elements: dict[str, str] = field(default_factory=dict)
    spin_polarised: bool = True
    path_image: bool = False
    max_force: float | None = None


def run_settings(
    incar: Mapping[str, str], parameters: Mapping[str, str], potcars: Potcars, has_surrogate: bool
) -> RunSettings:
    """Read settings from the tags of a vasprun.xml.

    Parameters
    ----------
    incar : tags as given, values as text.
    parameters : all tags as VASP understood them.
    potcars : (element, pseudopotential title) of each block of POTCAR.
    has_surrogate : the cell holds real surrogate ions.
    """
    known = {**incar, **parameters}
    relaxing = known.get("IBRION") in _RELAXING and int(known.get("NSW", "0")) > 0
    step: FrameStep = "static"
    if "IMAGES" in incar:
        step = "other"
    elif relaxing:
        step = "surrogate relax" if has_surrogate else "relax"
    elif known.get("IBRION") == _MOVING and int(known.get("NSW", "0")) > 0:
        step = "MD"
    elif known.get("IBRION", "-1") not in ("-1", "0") and int(known.get("NSW", "0")) > 0:
        step = "other"
    criterion = float(known.get("EDIFFG", "0").split()[0])
    tags = _physics_tags(incar, parameters, potcars)
    return RunSettings(
        step=step,
        hash=_settings_hash(tags),
        tags=tags,
        elements=_element_settings(incar, potcars),
        spin_polarised=known.get("ISPIN", "1") == "2",
        path_image="IMAGES" in incar,
        max_force=-criterion if relaxing and criterion < 0 else None,
    )


def _physics_tags(incar: Mapping[str, str], parameters: Mapping[str, str], potcars: Potcars) -> dict[str, Any]:
    """ENMAX stands for ENCUT, so that a cut-off taken from POTCAR and the same one given are one."""
    left_out = harmless_tags() | _PER_CELL | {"ENCUT"}
    # Tags of a force field that learns beside VASP say which steps are computed, not how.
    kept = (tag for tag in incar if tag not in left_out and not tag.startswith("ML_"))
    tags = {tag: _plain(tag, incar[tag]) for tag in kept}
    cutoff = parameters.get("ENMAX") or incar.get("ENCUT")
    tags["ENCUT"] = None if cutoff is None else round(float(cutoff), 3)
    tags["GGA"] = _functional(incar, parameters, potcars)
    return dict(sorted(tags.items()))


def _settings_hash(tags: Mapping[str, Any]) -> str:
    return "tags-" + hashlib.sha256(json.dumps(tags, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _functional(incar: Mapping[str, str], parameters: Mapping[str, str], potcars: Potcars) -> str:
    """GGA tag; where it is not set (`--`), the one that the pseudopotentials were made with."""
    tag = str(incar.get("GGA") or parameters.get("GGA", "")).strip("- ").upper()
    made_for_pbe = bool(potcars) and all("PBE" in title for _, title in potcars)
    return tag or ("PE" if made_for_pbe else "CA")


def _plain(tag: str, text: str) -> Any:
    if text in ("T", "F"):
        return text == "T"
    value = Incar.proc_val(tag, text)
    return value.upper() if isinstance(value, str) else value


def _element_settings(incar: Mapping[str, str], potcars: Potcars) -> dict[str, str]:
    on = incar.get("LDAU", "F").startswith("T")
    values = [float(value) for value in incar.get("LDAUU", "").split()] if on else []
    exchange = [float(value) for value in incar.get("LDAUJ", "").split()] if on else []
    found: dict[str, str] = {}
    for rank, (element, title) in enumerate(potcars):
        u = values[rank] if rank < len(values) else 0.0
        j = exchange[rank] if rank < len(exchange) else 0.0
        words = f"{_WITH_U}{u - j:g} eV, {title}" if u - j else title
        if found.setdefault(element, words) != words:  # two blocks of one element that differ
            found[element] += f" and {words}"
    return found


def protocol_drift(
    protocol: Protocol, incar: Mapping[str, str], parameters: Mapping[str, str], potcars: Potcars
) -> list[str]:
    """Where a run differs from a protocol, in words; harmless tags are left out.

    Parameters
    ----------
    protocol : what the run is held against.
    incar, parameters, potcars : as in `run_settings`.
    """
    elements = _element_settings(incar, potcars)
    static = int(parameters.get("NSW", incar.get("NSW", "0"))) == 0
    with_u = any(words.startswith(_WITH_U) for words in elements.values())
    left_out = harmless_tags() | {"GGA", "ENCUT"} | (set() if with_u else {"LMAXMIX"})
    known = {**parameters, **incar}
    found = []
    pairs: list[tuple[str, Any, Any]] = [("GGA", _functional(incar, parameters, potcars), protocol.functional)]
    pairs.append(("ENCUT", _number(known.get("ENMAX") or known.get("ENCUT")), protocol.incar.get("ENCUT")))
    for tag, wanted in protocol.incar_tags("static" if static else "relax").items():
        if tag not in left_out:
            pairs.append((tag, None if tag not in known else _plain(tag, known[tag]), wanted))
    found += [f"{tag}: {_words(has)} where the protocol has {_words(wants)}" for tag, has, wants in pairs
              if wants is not None and not _same(has, wants)]  # fmt: skip
    for element, words in elements.items():
        found += _element_drift(protocol, element, words)
    return found


def _element_drift(protocol: Protocol, element: str, words: str) -> list[str]:
    u, label, title = (
        protocol.hubbard_u.get(element, 0.0),
        protocol.potcar.labels.get(element),
        words.rpartition(", ")[2],
    )
    actual = float(words.removeprefix(_WITH_U).split()[0]) if words.startswith(_WITH_U) else 0.0
    found = []
    if abs(actual - u) > 1e-6:
        found.append(f"U of {element}: {actual:g} eV where the protocol has {u:g} eV")
    if label not in title.split():
        found.append(f"POTCAR of {element}: {title} where the protocol has {_words(label)}")
    return found


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _same(actual: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(actual, bool):
        return bool(actual) == bool(wanted) and actual is not None
    if isinstance(wanted, int | float) and isinstance(actual, int | float):
        return abs(actual - wanted) <= 1e-3 * abs(wanted)
    aliases = {"PE": "PBE", "AUTO": "A", "ACCURATE": "ACCURA"}
    first, second = (str(value).strip().upper() for value in (actual, wanted))
    return first == second or aliases.get(first, first)[:6] == aliases.get(second, second)[:6]


def _words(value: Any) -> str:
    return "nothing" if value is None else str(value)


def conflicting(settings: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    """Elements of a run whose U or pseudopotential differ from what earlier runs of the same tags have."""
    return [
        f"{element}: {words} where earlier runs of these settings have {known[element]}"
        for element, words in settings.items()
        if known.get(element, words) != words
    ]


def changed(before: Sequence[tuple[str, Any]], after: Mapping[str, Any]) -> list[str]:
    """Tags that custodian changed between an archived run and the last one, in words; harmless ones left out."""
    old = dict(before)
    tags = sorted((set(old) | set(after)) - harmless_tags())
    return [
        f"{tag}: {_words(old.get(tag))}, later {_words(after.get(tag))}"
        for tag in tags
        if old.get(tag) != after.get(tag)
    ]


@cache
def harmless_tags() -> frozenset[str]:
    """INCAR tags that say how the minimum is looked for, not where it is (inputs/data/drift.yaml)."""
    text = (files("valenceflow.inputs.data") / "drift.yaml").read_text(encoding="utf-8")
    return frozenset(parse_yaml(text, "drift.yaml")["harmless"])
