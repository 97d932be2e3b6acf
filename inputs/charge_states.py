"""Charge states, redox couples and neutrality. Couples are data (data/couples.yaml); `moments` reads states back.

Initial moments: the authors' public inputs; the substitution by a surrogate: paper section 2.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pymatgen.core import Element

from .yaml_files import first_problem, parse_yaml, yaml_text


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChargeState(_Frozen):
    """One oxidation state of the redox element."""

    oxidation_state: int = Field(description="formal charge, e")
    magmom: float = Field(
        description="initial high-spin moment, muB; the sign is the spin order's, not the state's",
        ge=0,
        allow_inf_nan=False,
    )


class Surrogate(_Frozen):
    """The closed-shell ion that takes the high state's place in step 1."""

    element: str = Field(description="element symbol")
    oxidation_state: int = Field(description="formal charge, e")


class LabelWindow(_Frozen):
    """Where |moment| reads as one state or the other; between the two bounds it is ambiguous."""

    low_max: float = Field(description="largest |moment| of the state with the smaller moment, muB")
    high_min: float = Field(description="smallest |moment| of the state with the larger moment, muB")
    source: str = Field(description="where the numbers come from")

    @model_validator(mode="after")
    def _ordered(self) -> LabelWindow:
        if not 0 <= self.low_max < self.high_min:
            raise ValueError(f"low_max = {self.low_max} must lie below high_min = {self.high_min}")
        return self


class RedoxCouple(_Frozen):
    """Two charge states of one element, the surrogate of the high one, and the label windows per engine."""

    name: str = Field(description="as in the campaign file, e.g. Fe2+/Fe3+")
    element: str = Field(description="redox element")
    low: ChargeState
    high: ChargeState
    surrogate: Surrogate
    windows: Literal["fit"] | dict[str, LabelWindow] = Field(
        description="label window per engine, or `fit` where no source gives one (then a gap of 0.2 muB decides)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> RedoxCouple:
        for symbol in (self.element, self.surrogate.element):
            if not Element.is_valid_symbol(symbol):
                raise ValueError(f"{symbol!r} is no element symbol")
        if self.high.oxidation_state <= self.low.oxidation_state:
            raise ValueError("the high state must carry the larger charge: swap `low` and `high`")
        if self.surrogate.oxidation_state != self.high.oxidation_state:
            raise ValueError(
                f"surrogate {self.surrogate.element}{self.surrogate.oxidation_state}+ must have the charge of the high "
                f"state, {self.high.oxidation_state}+"
            )
        if self.surrogate.element == self.element:
            raise ValueError(f"the surrogate must be another element than {self.element}")
        if self.high.magmom == self.low.magmom:
            raise ValueError("both states have the same moment: nothing would tell them apart")
        return self

    @property
    def high_moment_is_larger(self) -> bool:
        """Whether the high state has the larger moment (Fe, Co, Ni: yes; Mn, V: no)."""
        return self.high.magmom > self.low.magmom

    @property
    def content_hash(self) -> str:
        """Hash of what changes energies: element, states, initial moments, surrogate; not of the label windows."""
        content = self.model_dump(mode="json", exclude={"name", "windows"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def state(self, is_high: bool) -> ChargeState:
        """The high or the low state."""
        return self.high if is_high else self.low

    def window(self, engine: str) -> LabelWindow | None:
        """Label window of an engine; None means: decide by the gap (`fit`)."""
        return None if self.windows == "fit" else self.windows.get(engine)

    def n_high(self, fixed_charge: int, n_redox: int) -> int:
        """Count the high-state sites that make the cell neutral.

        Parameters
        ----------
        fixed_charge : charge of every other ion in the cell, working ions included, e.
        n_redox : number of redox sites in the cell.

        Raises
        ------
        ValueError
            If neutrality asks for a number that is not whole or lies outside 0..n_redox.
        """
        step = self.high.oxidation_state - self.low.oxidation_state
        count = Fraction(-(fixed_charge + n_redox * self.low.oxidation_state), step)
        if count.denominator != 1 or not 0 <= count <= n_redox:
            raise ValueError(
                f"neutrality asks for {count} {self.element}{self.high.oxidation_state}+ on {n_redox} sites "
                f"(the other ions carry {fixed_charge:+d} e); choose a fraction or oxidation states that balance"
            )
        return int(count)


def parse_couples(text: str, origin: str) -> dict[str, RedoxCouple]:
    """Read couples from YAML text; `origin` names the file in errors.

    Raises
    ------
    ValueError
        If the YAML is unreadable (line named) or a couple contradicts itself.
    """
    raw = parse_yaml(text, origin)
    couples = {}
    for name, fields in raw.items():
        try:
            couples[name] = RedoxCouple.model_validate({"name": name, **_mapping(fields, f"{origin}: {name}")})
        except ValidationError as err:
            raise ValueError(f"{origin}: couple {name}: {first_problem(err, RedoxCouple)}") from err
    return couples


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected `field: value` lines, got {value!r}")
    return value


@cache
def shipped_couples() -> dict[str, RedoxCouple]:
    """The couples that come with the package (data/couples.yaml)."""
    path = files("valenceflow.inputs.data") / "couples.yaml"
    return parse_couples(path.read_text(encoding="utf-8"), "couples.yaml")


def get_couple(name: str, extra: Path | None = None) -> RedoxCouple:
    """Find a couple by name, in the user's file first, then among the shipped ones.

    Raises
    ------
    ValueError
        If no couple has this name (the known ones are listed), or the user's file cannot be read.
    """
    known = dict(shipped_couples())
    if extra is not None:
        known |= parse_couples(_text_of(extra), str(extra))
    if name not in known:
        raise ValueError(
            f"unknown redox couple {name!r}; known: {', '.join(known)}. Add your own in a YAML file named by `couples:`"
        )
    return known[name]


def _text_of(path: Path) -> str:
    try:
        return yaml_text(path)
    except FileNotFoundError as err:
        raise ValueError(f"{path}: no such file of couples; check `couples:`") from err


def state_names(couple: RedoxCouple) -> tuple[str, str]:
    """Names of the low and the high state, as figures and scores call them.

    Examples
    --------
    >>> state_names(get_couple("Fe2+/Fe3+"))
    ('Fe2+', 'Fe3+')
    """
    low, high = (f"{couple.element}{state.oxidation_state}+" for state in (couple.low, couple.high))
    return low, high
