"""How runs from elsewhere are read: what the user says, because the files do not say it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pymatgen.core import Element

from ..inputs.charge_states import RedoxCouple, shipped_couples
from ..inputs.fixed_states import shipped_fixed_states
from ..inputs.protocol import Protocol

StressUnit = Literal["eV/A3", "-eV/A3", "kbar", "-kbar", "GPa", "-GPa", "none"]
"""Unit and sign of stresses: positive = tension (ASE), a leading minus = positive under pressure (VASP prints -kbar);
none: leave stresses out."""

STRESS_FACTORS: dict[str, float] = {
    sign + unit: (-1.0 if sign else 1.0) * factor
    for unit, factor in (("eV/A3", 1.0), ("kbar", 0.1 / 160.21766208), ("GPa", 1.0 / 160.21766208))
    for sign in ("", "-")
}
"""What a stress in a unit is multiplied by to be in eV/A^3 with ASE's sign."""

_ENCODED = re.compile(r"(?P<written>[A-Z][a-z]?)=(?P<real>[A-Z][a-z]?)(?P<charge>\d*)(?P<sign>[+-])")

BaderMeaning = Literal["net", "gained", "none"]


class IngestOptions(BaseModel):
    """What ingest is told. Its hash stands in every run's document: other options read the run again."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    couples: tuple[RedoxCouple, ...] = Field(description="couples whose elements may be in the runs, one per element")
    fixed: dict[str, int] = Field(description="oxidation state of every other element, e")
    keep_unlabelled: bool = Field(default=False, description="take runs whose charge states nothing tells")
    not_surrogates: frozenset[str] = Field(
        default=frozenset(), description="elements that are ordinary here though a couple uses them as surrogates"
    )
    protocol: Protocol | None = Field(default=None, description="what the runs are held against")
    engine: str = Field(default="unstated", description="of data sets, which name none")
    protocol_name: str | None = Field(default=None, description="of data sets: what their protocol is called")
    stress_unit: StressUnit | None = Field(default=None, description="of data sets; None: find out, or leave out")
    bader: BaderMeaning | None = Field(
        default=None, description="of data sets: net charge, or electrons gained; None: the sign on O tells"
    )
    encoded: dict[str, tuple[str, int]] = Field(
        default_factory=dict, description="of data sets: element as written -> (real element, oxidation state)"
    )
    group_key: str | None = Field(default=None, description="of data sets: info key whose value groups frames")

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of all options."""
        content = self.model_dump(mode="json", exclude={"protocol"})
        content["not_surrogates"] = sorted(self.not_surrogates)
        content["protocol"] = None if self.protocol is None else self.protocol.hash
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def own_charges(self) -> dict[str, int]:
        """Fixed oxidation states that were given and are not the shipped ones."""
        shipped = shipped_fixed_states()
        return {element: state for element, state in self.fixed.items() if shipped.get(element) != state}

    @property
    def redox_elements(self) -> frozenset[str]:
        """Elements whose oxidation state is read."""
        return frozenset(couple.element for couple in self.couples)

    @property
    def surrogates(self) -> frozenset[str]:
        """Elements that stand for another one in the surrogate step."""
        return frozenset(couple.surrogate.element for couple in self.couples) - self.not_surrogates


def one_couple_per_element(couples: Sequence[RedoxCouple]) -> tuple[RedoxCouple, ...]:
    """Couples, refused where two are of one element.

    Raises
    ------
    ValueError
        With both names.
    """
    by_element: dict[str, RedoxCouple] = {}
    for couple in couples:
        other = by_element.setdefault(couple.element, couple)
        if other.name != couple.name:
            raise ValueError(f"couples {other.name} and {couple.name} are both of {couple.element}: name one of them")
    return tuple(by_element.values())


def couples_with(own: Sequence[RedoxCouple]) -> tuple[RedoxCouple, ...]:
    """The shipped couples with one's own in place of those of the same element."""
    elements = {couple.element for couple in own}
    shipped = [couple for couple in shipped_couples().values() if couple.element not in elements]
    return one_couple_per_element([*shipped, *own])


def parse_encoded(texts: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Read `Ga=Fe3+`: Ga as written is Fe in the oxidation state +3.

    Raises
    ------
    ValueError
        If a text is not of this form.
    """
    found = {}
    for text in texts:
        match = _ENCODED.fullmatch(text.strip())
        if match is None or not all(Element.is_valid_symbol(match[name]) for name in ("written", "real")):
            raise ValueError(f"--encoded {text!r}: write ELEMENT=STATE, such as Ga=Fe3+")
        found[match["written"]] = (match["real"], int(match["charge"] or 1) * (1 if match["sign"] == "+" else -1))
    return found


def default_options(**changes: Any) -> IngestOptions:
    """Options with every shipped couple and fixed state, `changes` laid on."""
    couples = one_couple_per_element(list(shipped_couples().values()))
    return IngestOptions(**{"couples": couples, "fixed": shipped_fixed_states(), **changes})
