"""Charge states as model species: (element, oxidation state) <-> the atomic number a model knows it by.

Users' structures keep their real elements; numbers change at a model's door only. One map goes for CHGNet, MACE and
cPaiNN and is kept beside every data set and model. The maps are data (data/species.yaml); torch is not imported here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .charge_states import RedoxCouple
from .yaml_files import first_problem, parse_yaml

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

OXIDATION_STATE = "oxidation_state"
"""Name of the per-atom array of oxidation states (ASE) and of the site property (pymatgen)."""

LARGEST_NUMBER = 94
"""CHGNet's table has 94 rows; MACE and cPaiNN have more."""

_NAN_OF_INTEGERS = [float(np.iinfo(kind).min) for kind in (np.int32, np.int64)]
"""What NaN becomes in an array of integers."""


class SpeciesMap(BaseModel):
    """Which atomic number a model knows each charge state by; elements that are not named keep their own.

    >>> SpeciesMap.shipped("paper").encode([26, 26, 8], [2, 3, -2])
    array([26, 31,  8])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(description="as in data/species.yaml, or the user's own")
    title: str = Field(default="", description="one line")
    states: dict[str, dict[int, int]] = Field(
        description="element -> {oxidation state: atomic number in the model}; the lowest state keeps the element's own"
    )

    @model_validator(mode="after")
    def _consistent(self) -> SpeciesMap:
        taken: dict[int, str] = {}
        for element, states in self.states.items():
            own = atomic_numbers.get(element)
            if own is None or not 0 < own <= LARGEST_NUMBER:
                raise ValueError(f"{element!r} is no element up to {chemical_symbols[LARGEST_NUMBER]}")
            if not states or states[min(states)] != own:
                raise ValueError(f"the lowest state of {element} must keep {element}'s own number, {own}")
            for state, number in states.items():
                said = _name(element, state)
                if not 1 <= number <= LARGEST_NUMBER:
                    raise ValueError(f"{said}: number {number} lies outside 1..{LARGEST_NUMBER}")
                if number in taken:
                    raise ValueError(f"{said} and {taken[number]} both go by number {number}")
                taken[number] = said
        return self

    @classmethod
    def shipped(cls, name: str) -> SpeciesMap:
        """One of the maps that come with the package: `charge-states`, `paper`, `elements`.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        known = shipped_maps()
        if name not in known:
            raise ValueError(f"unknown species map {name!r}; known: {', '.join(known)}, or the path of a YAML file")
        return known[name]

    def for_couples(self, couples: Iterable[RedoxCouple]) -> SpeciesMap:
        """Keep the states of these redox couples only, so that other elements need no label.

        Raises
        ------
        ValueError
            If the map has no number for a state of a couple.
        """
        kept: dict[str, set[int]] = {}
        for couple in couples:
            known = self.states.get(couple.element, {})
            for state in (couple.low.oxidation_state, couple.high.oxidation_state):
                if state not in known:
                    raise ValueError(
                        f"species map {self.name!r} has no number for {_name(couple.element, state)} of {couple.name}; "
                        f"it knows {self._known(couple.element)}. Write a map of your own"
                    )
                kept.setdefault(couple.element, {min(known)}).add(state)
        states = {element: {state: self.states[element][state] for state in sorted(kept[element])} for element in kept}
        return self.model_copy(update={"states": states})

    def _known(self, element: str) -> str:
        return ", ".join(_name(element, state) for state in self.states.get(element, {})) or f"no state of {element}"

    @property
    def knows_charge_states(self) -> bool:
        """Whether any element has more than one species."""
        return any(len(states) > 1 for states in self.states.values())

    @property
    def parents(self) -> dict[int, int]:
        """Model number -> atomic number of the real element, for the states that do not go by their own."""
        return {
            number: atomic_numbers[element]
            for element, states in self.states.items()
            for number in states.values()
            if number != atomic_numbers[element]
        }

    @property
    def content_hash(self) -> str:
        """Hash of the numbers, not of name or title."""
        return hashlib.sha256(json.dumps(self.states, sort_keys=True).encode()).hexdigest()[:16]

    def encode(self, numbers: ArrayLike, oxidation_states: ArrayLike | None, where: str = "structure") -> IntArray:
        """Model numbers of a structure's atoms.

        Parameters
        ----------
        numbers : (n_atoms,) real atomic numbers.
        oxidation_states : (n_atoms,) e; NaN where unknown, which only elements outside the map may be. None: all are.
        where : what the structure is called in errors.

        Raises
        ------
        ValueError
            If a state is unknown to the map or not given, or a real element goes by the number of a charge state.
        """
        real = np.asarray(numbers, dtype=np.int64)
        states = as_states(oxidation_states, len(real), where)
        encoded = real.copy()
        for element, known in self.states.items():
            sites = np.flatnonzero(real == atomic_numbers[element])
            wrong = [int(site) for site in sites if states[site] not in known]
            if wrong:
                raise ValueError(self._unknown_state(element, wrong, states, where))
            encoded[sites] = [known[int(state)] for state in states[sites]]
        taken = np.flatnonzero(np.isin(real, list(self.parents)))
        if taken.size:
            symbol = chemical_symbols[real[taken[0]]]
            raise ValueError(
                f"{where}: atom {taken[0]} is {symbol}, which in species map {self.name!r} stands for a charge state; "
                "use the map `charge-states`, whose numbers no such material holds"
            )
        return encoded

    def _unknown_state(self, element: str, sites: list[int], states: FloatArray, where: str) -> str:
        first = states[sites[0]]
        told = "has no oxidation state" if np.isnan(first) else f"is {_name(element, int(first))}"
        more = f" ({len(sites)} such atoms)" if len(sites) > 1 else ""
        return (
            f"{where}: atom {sites[0]} {told}{more}, but species map {self.name!r} knows {self._known(element)}; give "
            f"every {element} one of these in the array `{OXIDATION_STATE}`, which extended XYZ keeps"
        )

    def decode(self, model_numbers: ArrayLike) -> tuple[IntArray, FloatArray]:
        """Real atomic numbers and oxidation states (NaN for elements outside the map) of model numbers, (n_atoms,)."""
        encoded = np.asarray(model_numbers, dtype=np.int64)
        real, states = encoded.copy(), np.full(len(encoded), np.nan)
        for element, known in self.states.items():
            for state, number in known.items():
                sites = encoded == number
                real[sites], states[sites] = atomic_numbers[element], state
        return real, states

    def encode_atoms(self, atoms: Atoms, where: str | None = None) -> IntArray:
        """Model numbers of Atoms that carry the array `oxidation_state`; errors as `encode`."""
        return self.encode(
            atoms.numbers, atoms.arrays.get(OXIDATION_STATE), where or atoms.get_chemical_formula(empirical=False)
        )


def _name(element: str, state: int) -> str:
    """As chemists write it: Fe3+."""
    return f"{element}{abs(state)}{'-' if state < 0 else '+'}"


@cache
def shipped_maps() -> dict[str, SpeciesMap]:
    """The maps that come with the package (data/species.yaml)."""
    path = files("valenceflow.inputs.data") / "species.yaml"
    return parse_maps(path.read_text(encoding="utf-8"), "species.yaml")


def parse_maps(text: str, origin: str) -> dict[str, SpeciesMap]:
    """Read species maps from YAML text; `origin` names the file in errors.

    Raises
    ------
    ValueError
        If the YAML is unreadable or a map contradicts itself.
    """
    maps = {}
    for name, fields in parse_yaml(text, origin).items():
        if not isinstance(fields, Mapping):
            raise ValueError(f"{origin}: {name}: expected `states: {{element: {{state: number}}}}`, got {fields!r}")
        try:
            maps[name] = SpeciesMap.model_validate({"name": name, **fields})
        except ValidationError as err:
            raise ValueError(f"{origin}: species map {name}: {first_problem(err)}") from err
    return maps


def get_species_map(name_or_path: str) -> SpeciesMap:
    """Find a map by name among the shipped ones, or read the only one of a YAML file.

    Raises
    ------
    ValueError
        If there is no such map or the file cannot be read.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        return SpeciesMap.shipped(name_or_path)
    try:
        found = parse_maps(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as err:
        raise ValueError(f"{path}: not readable as a file of species maps: {err}") from err
    if len(found) != 1:
        raise ValueError(f"{path}: holds {len(found)} species maps ({', '.join(found)}); keep one in the file")
    return next(iter(found.values()))


def as_states(oxidation_states: ArrayLike | None, n_atoms: int, where: str = "structure") -> FloatArray:
    """Oxidation states as (n_atoms,) floats, whole or NaN.

    Raises
    ------
    ValueError
        If there are not n_atoms of them, or one is no number or neither whole nor NaN.
    """
    if oxidation_states is None:
        return np.full(n_atoms, np.nan)
    try:
        states = np.asarray(oxidation_states, dtype=float)
    except (TypeError, ValueError) as err:
        raise ValueError(f"{where}: oxidation states are no numbers ({err}); give whole numbers, e.g. 3") from err
    if states.shape != (n_atoms,):
        raise ValueError(f"{where}: oxidation states have shape {states.shape} where {n_atoms} atoms need ({n_atoms},)")
    lost = np.flatnonzero(np.isin(states, _NAN_OF_INTEGERS))
    if lost.size:
        raise ValueError(
            f"{where}: atom {lost[0]} has no oxidation state: NaN was put into an array of integers; make it one of "
            "floats"
        )
    broken = np.flatnonzero(np.isinf(states) | (~np.isnan(states) & (states != np.round(states))))
    if broken.size:
        raise ValueError(f"{where}: atom {broken[0]} has oxidation state {states[broken[0]]:g}; give whole numbers")
    return states


def check_balanced(numbers: ArrayLike, oxidation_states: ArrayLike | None, where: str = "structure") -> None:
    """Refuse a fully labelled structure that is not neutral: its energy means nothing beside that of others.

    Where some atoms carry no state nobody can tell, and nothing is said.

    Raises
    ------
    ValueError
        With the charge and the way out.
    """
    states = as_states(oxidation_states, len(np.asarray(numbers)), where)
    charge = states.sum()
    if charge != 0 and not np.isnan(charge):
        raise ValueError(
            f"{where}: oxidation states sum to {charge:+g} e; energies compare between neutral labellings only: change "
            "the number of high-state sites"
        )


def check_comparable(labellings: Sequence[tuple[ArrayLike, ArrayLike | None]]) -> None:
    """Refuse labellings whose energies cannot be compared: one that is not neutral, or unlike sums at one composition.

    Parameters
    ----------
    labellings : per structure (n_atoms,) atomic numbers and oxidation states, as in `SpeciesMap.encode`.

    Raises
    ------
    ValueError
        Naming the first structure that does not fit, counted from 0.
    """
    first: dict[tuple[int, ...], tuple[int, float]] = {}
    for index, (numbers, oxidation_states) in enumerate(labellings):
        check_balanced(numbers, oxidation_states, f"structure {index}")
        real = np.asarray(numbers, dtype=np.int64)
        states = as_states(oxidation_states, len(real))
        known = ~np.isnan(states)
        key = (*sorted(real.tolist()), -1, *sorted(real[known].tolist()))
        total = float(states[known].sum())
        other, expected = first.setdefault(key, (index, total))
        if total != expected:
            raise ValueError(
                f"structure {index} has labels that sum to {total:+g} e and structure {other} of the same composition "
                f"{expected:+g} e: at least one is not neutral, so their energies cannot be compared"
            )
