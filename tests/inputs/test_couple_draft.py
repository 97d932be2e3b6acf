"""Drafted couples: moments against pymatgen, surrogates against Shannon radii, text read back."""

import pytest
from pymatgen.core import Element, Species
from valenceflow.inputs.charge_states import parse_couples, shipped_couples
from valenceflow.inputs.couple_draft import (
    SURROGATES,
    couple_text,
    couples_of,
    drafted_couple,
    high_spin_moment,
    redox_elements,
)


def test_the_redox_elements_are_those_of_the_shipped_couples():
    assert redox_elements() == ["Fe", "Mn", "Co", "Ni", "V"]


@pytest.mark.parametrize("element", ["V", "Cr", "Mn", "Fe", "Co", "Ni"])
@pytest.mark.parametrize("charge", [2, 3, 4])
def test_moments_are_pymatgens_high_spin_counts(element, charge):
    counted = Species(element, charge).get_crystal_field_spin(coordination="oct", spin_config="high")
    assert high_spin_moment(element, charge) == counted


@pytest.mark.parametrize("element", redox_elements())
def test_shipped_couples_come_first_and_are_not_drafted_again(element):
    couples = couples_of(element)
    names = [couple.name for couple in couples]
    assert len(names) == len(set(names))
    shipped = [couple for couple in shipped_couples().values() if couple.element == element]
    assert couples[: len(shipped)] == shipped
    assert {couple.high.oxidation_state for couple in couples} >= set(SURROGATES)


@pytest.mark.parametrize("name", [couple.name for couple in shipped_couples().values() if couple.name[:2] != "Fe"])
def test_the_rule_gives_the_shipped_couples(name):
    """But for iron, whose label windows are published."""
    shipped = shipped_couples()[name]
    assert drafted_couple(shipped.element, shipped.low.oxidation_state, shipped.high.oxidation_state) == shipped


def test_surrogates_are_closed_shell_ions_of_a_size():
    for charge, element in SURROGATES.items():
        assert Element(element).Z - charge == 28
        assert 0.5 < Species(element, charge).get_shannon_radius("VI") < 0.65


@pytest.mark.parametrize("element", redox_elements())
def test_the_text_of_a_couple_is_read_back_as_that_couple(element):
    for couple in couples_of(element):
        if couple.windows == "fit":
            assert parse_couples(couple_text(couple), "mine.yaml") == {couple.name: couple}
