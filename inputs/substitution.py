"""Which site of a structure is in which charge state, and the structures of both steps made from it (paper, 2.1).

Step 1 puts the surrogate on the high-state sites; step 2 puts the redox element back and sets every moment anew. Sites
are sorted here, by electronegativity as pymatgen's `get_sorted_structure` does, so that VASP sees one block per element
whether or not atomate2 sorts; the permutation back to the parent structure travels with the structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pymatgen.core import Element, Structure

from .charge_states import RedoxCouple

Occupants = Literal["surrogate", "redox"]


class ChargeSites(BaseModel):
    """Charge states of the redox sites of one structure, in the parent's site order.

    The parent is the structure that the user or the campaign handed over; every list here is in its order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    couple: RedoxCouple
    elements: list[str] = Field(description="(n_sites,) element symbols with the redox element in place")
    redox_sites: list[int] = Field(description="(n_redox,) indices of the redox sites in the parent")
    is_high: list[bool] | None = Field(description="(n_redox,) intended high states; None: free charge order")
    n_high: int = Field(ge=0, description="high-state sites that neutrality asks for")

    @model_validator(mode="after")
    def _consistent(self) -> ChargeSites:
        if any(self.elements[i] != self.couple.element for i in self.redox_sites):
            raise ValueError(f"redox_sites must all hold {self.couple.element}")
        if self.is_high is not None and (len(self.is_high), sum(self.is_high)) != (len(self.redox_sites), self.n_high):
            raise ValueError(
                f"{sum(self.is_high)} of {len(self.is_high)} sites are high where n_high = {self.n_high} of "
                f"{len(self.redox_sites)} are expected"
            )
        if self.n_high > len(self.redox_sites):
            raise ValueError(f"n_high = {self.n_high} exceeds the {len(self.redox_sites)} redox sites")
        return self

    @property
    def has_surrogate_step(self) -> bool:
        """Whether step 1 exists: an intended order with at least one high site."""
        return bool(self.is_high) and self.n_high > 0

    def magmom(self, site: int, occupants: Occupants) -> float:
        """Initial moment of one parent site, muB; the surrogate and every other element start at 0."""
        if site not in self._rank:
            return 0.0
        if self.is_high is None:
            n_redox = len(self.redox_sites)
            total = self.n_high * self.couple.high.magmom + (n_redox - self.n_high) * self.couple.low.magmom
            return total / n_redox
        if self.is_high[self._rank[site]]:
            return 0.0 if occupants == "surrogate" else self.couple.high.magmom
        return self.couple.low.magmom

    def symbol(self, site: int, occupants: Occupants) -> str:
        """Element on one parent site during a step."""
        high = self.is_high is not None and site in self._rank and self.is_high[self._rank[site]]
        return self.couple.surrogate.element if high and occupants == "surrogate" else self.elements[site]

    @property
    def _rank(self) -> dict[int, int]:
        return {site: rank for rank, site in enumerate(self.redox_sites)}


class StepStructure(BaseModel):
    """A structure ready for VASP and the parent site that each of its sites is."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    structure: Structure = Field(description="site property `magmom` holds the initial moments, muB")
    site_order: list[int] = Field(description="(n_sites,) parent index of each site")


def charge_sites(
    structure: Structure, couple: RedoxCouple, free: bool = False, n_high: int | None = None
) -> ChargeSites:
    """Read the charge states that a structure's redox sites carry.

    Parameters
    ----------
    structure : oxidation states from decorated Species or from the site property `oxidation_state`.
    couple : the redox couple.
    free : leave the order free; then `n_high` is needed.
    n_high : high-state sites; for an intended order it is counted.

    Raises
    ------
    ValueError
        If a redox site has no oxidation state or one that is not of the couple (the sites are named), or a site is
        partly occupied.
    """
    if not structure.is_ordered:
        raise ValueError(f"{structure.composition.reduced_formula} has partly occupied sites; order them first")
    redox = [i for i, site in enumerate(structure) if site.specie.symbol == couple.element]
    if not redox:
        raise ValueError(
            f"{structure.composition.reduced_formula} holds no {couple.element}, the element of {couple.name}"
        )
    elements = [site.specie.symbol for site in structure]
    if free:
        if n_high is None:
            raise ValueError("a free charge order needs n_high, the number of high-state sites")
        return ChargeSites(couple=couple, elements=elements, redox_sites=redox, is_high=None, n_high=n_high)
    states = {i: _oxidation_state(structure, i) for i in redox}
    allowed = {couple.low.oxidation_state: False, couple.high.oxidation_state: True}
    wrong = {i: state for i, state in states.items() if state not in allowed}
    if wrong:
        raise ValueError(
            f"redox sites with an oxidation state outside {couple.name}: {wrong}; give every {couple.element} one of "
            f"{sorted(allowed)} (site property `oxidation_state`, or Species such as Fe3+)"
        )
    is_high = [allowed[states[i]] for i in redox]  # type: ignore[index]  # None was refused above
    return ChargeSites(couple=couple, elements=elements, redox_sites=redox, is_high=is_high, n_high=sum(is_high))


def check_neutral(structure: Structure) -> None:
    """Refuse a structure whose every site carries a charge and that is not neutral; VASP would run it neutral.

    Where some sites carry no charge nobody can tell, and nothing is said.

    Raises
    ------
    ValueError
        With the charge and the way out.
    """
    states = [_oxidation_state(structure, i) for i in range(len(structure))]
    known = [state for state in states if state is not None]
    if len(known) == len(states) and sum(known) != 0:
        raise ValueError(
            f"{structure.composition.formula} carries {sum(known):+d} e by its oxidation states, but VASP would run it "
            "neutral, in another charge state: change the number of high-state sites or of working ions"
        )


def _oxidation_state(structure: Structure, index: int) -> int | None:
    site = structure[index]
    state = site.properties.get("oxidation_state")
    if state is None:  # pymatgen fills a property given on some sites only with None
        state = getattr(site.specie, "oxi_state", None)
    return None if state is None or state != round(state) else round(state)


def step_structure(
    structure: Structure, sites: ChargeSites, occupants: Occupants, site_order: Sequence[int] | None = None
) -> StepStructure:
    """Make the structure of one step: right elements, every moment set anew, sites sorted.

    Parameters
    ----------
    structure : parent, or the relaxed structure of an earlier step (its moments are not used).
    sites : charge states in parent order.
    occupants : `surrogate` for step 1, `redox` for step 2, a free relaxation or a static.
    site_order : (n_sites,) parent index of each site of `structure`; None: parent order.

    Raises
    ------
    ValueError
        If the order is no permutation, the number of sites differs, or a site holds an element that neither step
        puts there.
    """
    order = list(range(len(structure))) if site_order is None else [int(i) for i in site_order]
    if sorted(order) != list(range(len(sites.elements))):
        raise ValueError(f"site_order of length {len(order)} is no permutation of {len(sites.elements)} sites")
    if len(structure) != len(order):
        raise ValueError(f"the structure has {len(structure)} sites where the charge states describe {len(order)}")
    for here, parent in zip(structure, order, strict=True):
        expected = {sites.symbol(parent, "redox"), sites.symbol(parent, "surrogate")}
        if here.specie.symbol not in expected:
            raise ValueError(
                f"parent site {parent} holds {here.specie.symbol} where {' or '.join(sorted(expected))} belongs"
            )
    symbols = [sites.symbol(parent, occupants) for parent in order]
    # Within the redox element, sites stand as in step 1 (Fe3+ where Ga was, before Fe2+), so that POSCAR and MAGMOM of
    # both steps show the charge order in blocks, and usually in one order.
    in_step_1 = [sites.symbol(parent, "surrogate") for parent in order]
    ranks = [
        (Element(symbol).X, symbol, Element(first).X, first, parent)
        for symbol, first, parent in zip(symbols, in_step_1, order, strict=True)
    ]
    sorting = sorted(range(len(order)), key=ranks.__getitem__)
    positions: NDArray[np.float64] = structure.frac_coords
    return StepStructure(
        structure=Structure(
            structure.lattice,
            [symbols[i] for i in sorting],
            positions[sorting],
            site_properties={"magmom": [sites.magmom(order[i], occupants) for i in sorting]},
        ),
        site_order=[order[i] for i in sorting],
    )
