"""What user_incar_settings, powerups and ATOMATE2_VASP_INCAR_UPDATES may change: nothing a protocol owns.

Upstream, an element-level MAGMOM flattens Fe2+ (4 muB) and Fe3+ (5 muB) to one value and is ignored where it
is 0. Here tags of the launch (NCORE, KPAR, LAECHG ...) and limits pass; every other tag must agree with the
protocol and the structure's charge states, or the protocol's hash would name energies that it did not make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from math import isclose
from numbers import Real
from typing import Any

from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar

from .incar import blocks
from .incar_tags import LAUNCH_TAGS, LIMIT_TAGS, MIXING_TAGS, plain_value
from .protocol import Protocol

_PARTS_OF_THE_WORK = frozenset({"KPAR", "NPAR", "NCORE", "NSIM"})
CHARGE_STATE_TAGS = frozenset({"MAGMOM", "NUPDOWN", "ISPIN", "LDAU", "LDAUTYPE", "LDAUU", "LDAUJ", "LDAUL"})
# What a POSCAR block has in these tags where the INCAR leaves them out.
_WITHOUT_U = {"LDAUU": 0.0, "LDAUJ": 0.0, "LDAUL": -1}


def with_overrides(incar: Incar, overrides: Mapping[str, Any], protocol: Protocol, structure: Structure) -> Incar:
    """Lay overrides on an INCAR, refusing those that contradict it.

    Parameters
    ----------
    incar : the INCAR by the protocol (`incar.protocol_incar`).
    overrides : tag to value; None takes a tag away. MAGMOM may be a list in POSCAR order or a mapping by
        element, as may LDAUU, LDAUJ, LDAUL (by block).
    protocol : the protocol that made `incar`.
    structure : sites in POSCAR order, with `magmom`.

    Returns
    -------
    A new INCAR: `incar`, with launch tags and limits from the overrides.

    Raises
    ------
    ValueError
        If an override contradicts the charge states or the protocol: tag, both values and the way out.
    """
    merged = incar.copy()
    for name, asked in overrides.items():
        tag = name.strip().upper()
        if tag in LIMIT_TAGS:
            merged[tag] = _checked_limit(tag, asked, incar)
        elif tag in LAUNCH_TAGS or tag in MIXING_TAGS:
            if asked is None:
                merged.pop(tag, None)
            else:
                merged[tag] = _checked_launch_value(tag, asked)
        elif not _agrees(tag, asked, incar.get(tag), structure):
            raise ValueError(_refusal(tag, asked, incar.get(tag), protocol))
    return merged


def _checked_limit(tag: str, asked: Any, incar: Incar) -> int:
    static = tag == "NSW" and incar["NSW"] == 0
    if isinstance(asked, int) and not isinstance(asked, bool) and (asked == 0 if static else asked >= 1):
        return asked
    expected = "0 in a static calculation" if static else "a whole number, at least 1"
    raise ValueError(f"override {tag} = {asked!r} must be {expected}; drop it, or make the other kind of calculation")


def _checked_launch_value(tag: str, asked: Any) -> Any:
    """Refuse what VASP cannot read: `NCORE = many` would end every run, each after its time in a queue."""
    kind = str(Incar.INCAR_PARAMS[tag]["type"]) if tag in Incar.INCAR_PARAMS else ""
    value = plain_value(tag, asked)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    least = 1 if tag in _PARTS_OF_THE_WORK else 0
    checks = {
        "int": (is_number and float(value) == float(asked) and value >= least, f"a whole number, at least {least}"),
        "float": (is_number, "a number"),
        "bool": (isinstance(value, bool), "true or false"),
    }
    fits, expected = checks.get(kind, (True, ""))
    if not fits:
        raise ValueError(f"override {tag} = {asked!r} must be {expected}")
    return asked


def _agrees(tag: str, asked: Any, expected: Any, structure: Structure) -> bool:
    if isinstance(asked, Mapping):
        return _mapping_agrees(tag, asked, expected, structure)
    if asked is None or expected is None:
        return asked is expected
    if not isinstance(asked, Sequence | Real | str):
        return False
    if isinstance(expected, list) and not isinstance(asked, Sequence):
        return False
    return _same(plain_value(tag, asked), plain_value(tag, expected))


def _mapping_agrees(tag: str, asked: Mapping[str, Any], expected: Any, structure: Structure) -> bool:
    """Whether values by element (LDAUU also by anion, then element) are those of every site or block."""
    if tag == "MAGMOM":
        present = list(zip((site.specie.symbol for site in structure), expected, strict=True))
    elif tag in _WITHOUT_U:
        elements = blocks(structure)
        present = list(zip(elements, expected or [_WITHOUT_U[tag]] * len(elements), strict=True))
    else:
        return False
    for key, value in asked.items():
        if isinstance(value, Mapping):
            if not _mapping_agrees(tag, value, expected, structure):
                return False
        # "Fe3+" speaks of Fe: an oxidation state in a key cannot tell sites apart here.
        elif any(not _same(value, own) for element, own in present if element == key.rstrip("+-0123456789.")):
            return False
    return True


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Real) and isinstance(other, Real):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return isinstance(one, str) and isinstance(other, str) and one.casefold() == other.casefold()


def _refusal(tag: str, asked: Any, expected: Any, protocol: Protocol) -> str:
    own = "no such tag" if expected is None else f"{tag} = {_short(expected)}"
    if tag in CHARGE_STATE_TAGS:
        against = f"the charge states under protocol {protocol.name} ({own})"
        way_out = "drop it: moments and U follow the charge states. Other rules go in a protocol of your own"
    else:
        against = f"protocol {protocol.name} ({own}), whose hash would no longer say what was run"
        way_out = "drop it, or put it in a protocol of your own"
    if tag not in Incar.INCAR_PARAMS and (near := get_close_matches(tag, [*LAUNCH_TAGS, *Incar.INCAR_PARAMS], n=1)):
        way_out = f"did you mean {near[0]}? Else {way_out}"
    way_out = f"{way_out} (YAML, `extends: {protocol.name}`)"
    return f"override {tag} = {_short(asked)} contradicts {against}; {way_out}"


def _short(value: Any) -> str:
    """Write a value in few characters; equal neighbours in a list are counted, as in an INCAR."""
    if not isinstance(value, list | tuple):
        return str(value)
    text = " ".join(f"{len(list(same))}*{item}" for item, same in groupby(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
