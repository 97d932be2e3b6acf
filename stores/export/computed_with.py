"""What a set was computed with, in full: the protocol of its campaign, or the tags and pseudopotentials of its runs.

Never pseudopotentials themselves, whose licence forbids it: their titles and labels alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...inputs.protocol import load_protocol
from ...inputs.protocol_files import preset_names
from ..frames import Collections
from .selection import Selection

_TOLD = (
    "functional", "incar", "relax", "static", "hubbard_u", "ldau_type", "initial_moments", "nupdown", "spin_order",
    "rattle", "potcar", "k_mesh", "gpaw",
)  # fmt: skip
"""Fields of a protocol that move energies, in its own order."""
_NOT_OF_GPAW = ("incar", "ldau_type", "potcar")
"""What GPAW does not read: its `gpaw` block says those things in its own words."""
_FUNCTIONALS = {"PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "RE": "revPBE", "AM": "AM05", "91": "PW91"}
"""VASP's GGA tags in people's words."""


def computed_with(stores: Collections, selection: Selection) -> dict[str, Any]:
    """Settings of a set's one protocol.

    Parameters
    ----------
    stores : whose campaigns and runs know them.
    selection : the set's frames.

    Returns
    -------
    `protocol` with its fields, or `tags` and `elements` (U and pseudopotential) as runs name them, whichever is known.
    """
    protocol = _protocol(stores, selection)
    if protocol is not None:
        elements = {element for entry in selection.entries for element in entry.elements}
        return {"protocol": _of_elements({name: protocol.get(name) for name in _told(selection, protocol)}, elements)}
    tags: dict[str, Any] = {}
    found: dict[str, list[str]] = {}
    wanted = {entry.run_id for entry in selection.entries}
    known = stores.collection("runs").query(
        {"protocol_hash": selection.protocol_hash}, ["run_id", "tags", "element_settings"], sort={"run_id": 1}
    )
    for run in known:
        if run["run_id"] not in wanted:
            continue
        tags = tags or run.get("tags") or {}
        for element, words in (run.get("element_settings") or {}).items():
            if words not in found.setdefault(element, []):
                found[element].append(words)
    return {
        "tags": tags,
        "elements": {element: " and ".join(words) for element, words in sorted(found.items())},
    }


def _protocol(stores: Collections, selection: Selection) -> Mapping[str, Any] | None:
    """The campaign's own; for ingested runs the shipped one of that name, if it is the same."""
    campaign = stores.collection("campaigns").query_one({"protocol_hash": selection.protocol_hash}, ["protocol"])
    if campaign is not None and campaign.get("protocol"):
        told: Mapping[str, Any] = campaign["protocol"]
        return told
    if selection.protocol in preset_names():
        shipped = load_protocol(selection.protocol)
        return shipped.model_dump(mode="json") if shipped.hash == selection.protocol_hash else None
    return None


def _told(selection: Selection, protocol: Mapping[str, Any]) -> Iterator[str]:
    """Fields that the set's engine reads."""
    by_gpaw = selection.engine == "gpaw"
    at_gamma = by_gpaw and (protocol.get("gpaw") or {}).get("k_mesh") == "gamma"
    for name in _TOLD:
        read = name not in (*_NOT_OF_GPAW, *(("k_mesh",) if at_gamma else ())) if by_gpaw else name != "gpaw"
        if read:
            yield name


def _of_elements(protocol: dict[str, Any], elements: set[str]) -> dict[str, Any]:
    """U and pseudopotentials of the set's own elements alone."""
    told = {name: value for name, value in protocol.items() if value is not None}
    told["hubbard_u"] = {e: u for e, u in told["hubbard_u"].items() if e in elements}
    if "potcar" not in told:
        return told
    potcar = told["potcar"]
    told["potcar"] = {
        "functional": potcar["functional"],
        **{name: {e: v for e, v in potcar.get(name, {}).items() if e in elements} for name in ("labels", "dates")},
        "assumed": [name for name in potcar.get("assumed", ()) if name in elements or name == "functional"],
    }
    return told


def computed_with_lines(settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings in words, a line each."""
    if not (settings.get("protocol") or settings.get("tags") or settings.get("elements")):
        yield "not stated by the source"
    for name, value in settings.get("protocol", {}).items():
        if name == "functional":
            name = f"{_FUNCTIONALS[value]} by " if value in _FUNCTIONALS else ""
            yield f"functional: {name}VASP's GGA tag {value}"
        elif name == "k_mesh" and isinstance(value, Mapping):
            yield f"k mesh: {_mesh_words(value)}"
        elif value not in ({}, None):
            yield f"{name.replace('_', ' ')}: {_words(value)}"
    if settings.get("tags"):
        yield f"INCAR: {_words(settings['tags'])}"
    for element, words in settings.get("elements", {}).items():
        yield f"{element}: {words}"


def _mesh_words(mesh: Mapping[str, Any]) -> str:
    """The rule; the mesh that it was published with is of one cell, hardly of this set's."""
    published = _words(mesh["mesh"])
    if mesh["rule"] == "fixed":
        return f"Gamma-centred, {published} in every cell"
    return (
        f"Gamma-centred, of the same density in every cell: max(1, round({mesh['length']:g} A * |b_i|)) points along "
        f"the reciprocal vector b_i (1/A, without 2 pi); the rule's reference, not this set's mesh: {published} in a "
        f"cell of {' x '.join(f'{length:g}' for length in mesh['cell_lengths'])} A"
    )


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items() if inner not in ({}, [], None))
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
