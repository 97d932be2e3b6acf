"""Redox couples drafted by rule, for a user to confirm: high-spin moments by Hund's rule, a surrogate of like charge.

Shipped couples (data/couples.yaml) always come first; `host_proposal` asks for a draft where none of them balances.
"""

from __future__ import annotations

from pymatgen.core import Element

from .charge_states import ChargeState, RedoxCouple, Surrogate, shipped_couples

_ARGON_CORE = 18
_HALF_FILLED, _FILLED = 5, 10

SURROGATES = {3: "Ga", 4: "Ge"}
"""Charge of the high state -> closed-shell ion of the size of a 3d ion with that charge."""


def high_spin_moment(element: str, oxidation_state: int) -> int:
    """Unpaired electrons of a 3d ion by Hund's first rule, muB."""
    n_d = int(Element(element).Z) - _ARGON_CORE - oxidation_state
    return n_d if n_d <= _HALF_FILLED else _FILLED - n_d


def redox_elements() -> list[str]:
    """Elements of the shipped couples, for which protocols have U."""
    return list(dict.fromkeys(couple.element for couple in shipped_couples().values()))


def couples_of(element: str) -> list[RedoxCouple]:
    """Couples of an element: shipped ones first, then drafts for every other high state that has a surrogate."""
    shipped = [couple for couple in shipped_couples().values() if couple.element == element]
    names = {couple.name for couple in shipped}
    drafts = [drafted_couple(element, high - 1, high) for high in SURROGATES]
    return shipped + [couple for couple in drafts if couple.name not in names]


def drafted_couple(element: str, low: int, high: int) -> RedoxCouple:
    """A couple with high-spin moments; whether the ion is high spin in a crystal is for the user to confirm."""
    return RedoxCouple(
        name=f"{element}{low}+/{element}{high}+",
        element=element,
        low=ChargeState(oxidation_state=low, magmom=high_spin_moment(element, low)),
        high=ChargeState(oxidation_state=high, magmom=high_spin_moment(element, high)),
        surrogate=Surrogate(element=SURROGATES[high], oxidation_state=high),
        windows="fit",
    )


def couple_text(couple: RedoxCouple) -> str:
    """A couple as an entry of a YAML file of couples."""
    low, high, surrogate = couple.low, couple.high, couple.surrogate
    return (
        f"{couple.name}:\n"
        f"  element: {couple.element}\n"
        f"  low: {{oxidation_state: {low.oxidation_state}, magmom: {low.magmom}}}    # muB\n"
        f"  high: {{oxidation_state: {high.oxidation_state}, magmom: {high.magmom}}}\n"
        f"  surrogate: {{element: {surrogate.element}, oxidation_state: {surrogate.oxidation_state}}}\n"
        "  windows: fit    # no published label window: a gap of 0.2 muB between the groups of moments decides\n"
    )
