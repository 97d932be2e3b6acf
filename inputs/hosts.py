"""Idealised hosts: the crystal with every working-ion site filled, and which sublattices order.

A host is data (data/hosts.yaml) or a CIF. Its symmetry is found once, here, with an explicit tolerance, and never again
on a relaxed cell. Supercells of a host are in `supercells`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pymatgen.core import Lattice, Structure

from .cif_files import charges_line, charges_written_in, one_element_per_site, proposed_charges, read_crystal
from .symmetry import space_group_operations
from .yaml_files import first_problem, parse_yaml

DEFAULT_SYMPREC = 0.01
"""Angstrom: tolerance for the symmetry of an idealised host."""


class ReferenceCell(BaseModel):
    """A relaxed conventional cell of the host at one working-ion fraction; the audit interpolates between them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fraction: float = Field(ge=0, le=1, description="occupied working-ion sites / sites of the full host")
    lengths: tuple[float, float, float] = Field(description="cell lengths, A")
    source: str


class Host(BaseModel):
    """An idealised crystal with a working-ion sublattice and a redox sublattice.

    Raises
    ------
    ValueError
        If a sublattice is missing or mixed, charges are missing, or the number of operations is not the expected one.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ignored_types=(cached_property,)
    )
    name: str
    structure: Structure = Field(description="all working-ion sites filled, plain elements, sites in host order")
    working_ion: str = Field(description="element that can be removed")
    redox_element: str = Field(description="element with two charge states")
    oxidation_states: dict[str, int] = Field(description="formal charge of every element but the redox one, e")
    symprec: float = Field(default=DEFAULT_SYMPREC, description="symmetry tolerance, A")
    formula_units: int = Field(
        ge=1, description="formula units per host cell; for a CIF, of the full host's reduced formula"
    )
    source: str
    reference_cells: tuple[ReferenceCell, ...] = ()

    def model_post_init(self, context: Any, /) -> None:
        """Check that both sublattices exist and every other element has a charge."""
        symbols = {site.specie.symbol for site in self.structure}
        for role, symbol in (("working ion", self.working_ion), ("redox element", self.redox_element)):
            if symbol not in symbols:
                raise ValueError(f"host {self.name}: {role} {symbol} is not among its elements {sorted(symbols)}")
        missing = sorted(symbols - {self.redox_element} - set(self.oxidation_states))
        if missing:
            raise ValueError(f"host {self.name}: no oxidation state for {', '.join(missing)}; add oxidation_states")

    @cached_property
    def content_hash(self) -> str:
        """Hash of what the host is (not of its name): lattice and sites to 1e-4, roles, charges."""
        sites = [[site.specie.symbol, *_rounded_position(site.frac_coords)] for site in self.structure]
        content = {
            "lattice": (np.round(self.structure.lattice.matrix, 4) + 0.0).tolist(),  # -0.0 and 0.0 are one lattice
            "sites": sites,
            "working_ion": self.working_ion,
            "redox_element": self.redox_element,
            "oxidation_states": dict(sorted(self.oxidation_states.items())),
        }
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @cached_property
    def operations(self) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
        """Space-group operations, rotations (n, 3, 3) and translations (n, 3), in fractional coordinates."""
        return space_group_operations(self.structure, [site.specie.symbol for site in self.structure], self.symprec)

    def with_redox_element(self, symbol: str) -> Host:
        """The same framework with another redox element (LiMnPO4 from LiFePO4, say); needs relaxing like any host."""
        present = sorted({site.specie.symbol for site in self.structure} - {self.redox_element})
        if symbol in present:
            raise ValueError(f"host {self.name} holds {symbol} already: choose a redox element other than {present}")
        structure = self.structure.copy()
        structure.replace_species({self.redox_element: symbol})
        return self._changed(structure=in_host_order(structure), redox_element=symbol, reference_cells=())

    def at_tolerance(self, symprec: float) -> Host:
        """The same crystal with another symmetry tolerance, A."""
        return self._changed(symprec=symprec)

    def _changed(self, **fields: Any) -> Host:
        # Made anew rather than copied: a copy would keep the cached hash and operations.
        return Host(**{name: getattr(self, name) for name in type(self).model_fields} | fields)


def _rounded_position(frac: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in np.mod(np.round(frac, 4), 1.0)]


def in_host_order(structure: Structure) -> Structure:
    """Sites sorted by element (electronegativity, symbol) and then by position: the order every key refers to."""

    def rank(site: Any) -> tuple[float, str, list[float]]:
        return site.specie.X, site.specie.symbol, _rounded_position(site.frac_coords)

    return Structure.from_sites(sorted(structure, key=rank), to_unit_cell=True)


@cache
def _shipped() -> dict[str, Any]:
    path = files("valenceflow.inputs.data") / "hosts.yaml"
    return parse_yaml(path.read_text(encoding="utf-8"), "hosts.yaml")


def host_names() -> list[str]:
    """Names of the hosts that come with the package."""
    return list(_shipped())


@cache
def get_host(name: str) -> Host:
    """A shipped host by name; its number of symmetry operations is asserted.

    Raises
    ------
    ValueError
        If no host has this name, or spglib finds another number of operations than the data says.
    """
    if name not in _shipped():
        raise ValueError(f"unknown host {name!r}; known: {', '.join(host_names())}, or give the path of a CIF")
    return host_from_fields(name, _shipped()[name])


def host_from_fields(name: str, fields: Mapping[str, Any]) -> Host:
    """Build a host from the fields of a hosts.yaml entry."""
    entry = dict(fields)
    try:
        expected = entry.pop("operations")
        sites = entry.pop("sites")
        structure = Structure.from_spacegroup(
            entry.pop("space_group"),
            Lattice.from_parameters(*entry.pop("lattice")),
            [site["element"] for site in sites],
            [site["position"] for site in sites],
        )
        host = Host(name=name, structure=in_host_order(structure), **entry)
    except ValidationError as err:
        raise ValueError(f"host {name}: {first_problem(err, Host)}") from err
    except KeyError as err:
        raise ValueError(f"host {name}: the field {err} is missing") from err
    found = len(host.operations[0])
    if found != expected:
        raise ValueError(f"host {name}: {found} symmetry operations at {host.symprec} A where {expected} were expected")
    return host


def host_from_cif(
    path: Path,
    working_ion: str,
    redox_element: str,
    oxidation_states: Mapping[str, int] | None = None,
    symprec: float | None = None,
) -> Host:
    """Read a host from a CIF whose charges the user has confirmed.

    Partial occupancy of the working ion is read as its sites; anywhere else it is refused. A formula unit is the
    reduced formula with every working-ion site filled (Na4V2(PO4)3, say, which has two redox sites).

    Parameters
    ----------
    path : the CIF.
    working_ion, redox_element : element symbols.
    oxidation_states : charge of every element but the redox one, e. None: proposed from bond valences and refused.
    symprec : symmetry tolerance, A. None: `DEFAULT_SYMPREC`, and a file whose rounded numbers hide symmetry is refused.

    Raises
    ------
    ValueError
        If the file is unreadable, an occupancy is partial off the working-ion sublattice, charges are not confirmed, or
        a wider tolerance finds more symmetry and none was chosen.
    """
    read = read_crystal(path)
    structure = in_host_order(one_element_per_site(read, working_ion, path.name))
    symbols = sorted({site.specie.symbol for site in structure})
    for role, symbol in (("working_ion", working_ion), ("couple", redox_element)):
        if symbol not in symbols:
            raise ValueError(f"{path.name}: {role} names {symbol}, but its elements are {', '.join(symbols)}")
    if oxidation_states is None:
        oxidation_states = charges_written_in(read, redox_element)
    if oxidation_states is None:
        raise ValueError(f"{path.name}: oxidation states are not confirmed; {_proposal(structure, redox_element)}")
    unknown = sorted(set(oxidation_states) - set(symbols))
    if unknown:
        raise ValueError(f"oxidation_states names {', '.join(unknown)}, which {path.name} does not contain")
    if redox_element in oxidation_states:
        raise ValueError(f"oxidation_states names {redox_element}, whose charges are the couple's: leave it out")
    try:
        host = Host(
            name=path.stem,
            structure=structure,
            working_ion=working_ion,
            redox_element=redox_element,
            oxidation_states=dict(oxidation_states),
            symprec=DEFAULT_SYMPREC if symprec is None else symprec,
            formula_units=round(structure.composition.get_reduced_composition_and_factor()[1]),
            source=f"CIF {path.name}",
        )
    except ValidationError as err:
        raise ValueError(f"{path.name}: {first_problem(err, Host)}") from err
    if symprec is None:
        _check_rounding(host, path.name)
    return host


def _check_rounding(host: Host, name: str) -> None:
    """Refuse to lose symmetry without a word: with fewer operations every distinct ordering is counted many times."""
    found, more = len(host.operations[0]), wider_symmetry(host)
    if more is not None:
        wider, there = more
        raise ValueError(
            f"{name}: {found} symmetry operations at {host.symprec:g} A but {there} at {wider:g} A: its numbers look "
            f"rounded; choose symprec: {wider:g} for all {there}, or symprec: {host.symprec:g} to keep the {found}"
        )


def wider_symmetry(host: Host) -> tuple[float, int] | None:
    """A tolerance (A) ten times the host's and the number of operations there, where it finds more; else None."""
    symbols = [site.specie.symbol for site in host.structure]
    wider = 10 * host.symprec
    try:
        there = len(space_group_operations(host.structure, symbols, wider)[0])
    except ValueError:  # so wide a tolerance joins atoms of this crystal: it says nothing
        return None
    return (wider, there) if there > len(host.operations[0]) else None


def _proposal(structure: Structure, redox_element: str) -> str:
    found = proposed_charges(structure, redox_element)
    line = charges_line(structure, redox_element, found)
    if not found:
        return f"neither bond valences nor the formula propose any: add the line `oxidation_states: {line}`"
    return f"bond valences propose {line}: add the line `oxidation_states: {line}` (corrected where needed)"
