"""Species maps: the fixed table, the paper's, round trips, and everything that is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element
from pymatgen.io.ase import AseAtomsAdaptor
from valenceflow.inputs.charge_states import get_couple, shipped_couples
from valenceflow.potentials.species import (
    LARGEST_NUMBER,
    SpeciesMap,
    check_balanced,
    check_comparable,
    get_species_map,
    parse_maps,
    shipped_maps,
)

FE, MN, OX, GA = 26, 25, 8, 31
FIXED = SpeciesMap.shipped("charge-states")


def map_of(states):
    return SpeciesMap(name="mine", states=states)


def test_every_shipped_couple_has_numbers_for_both_states():
    whole = FIXED.for_couples(shipped_couples().values())
    assert set(whole.states) == {couple.element for couple in shipped_couples().values()}


def test_the_lower_state_of_every_shipped_couple_keeps_its_element():
    for couple in shipped_couples().values():
        number = FIXED.for_couples([couple]).states[couple.element][couple.low.oxidation_state]
        assert number == Element(couple.element).Z


def test_numbers_released_once_never_change():
    kept = {element: states for element, states in FIXED.states.items() if element in ("Fe", "Mn", "Co", "Ni", "V")}
    assert kept == {
        "Fe": {2: 26, 3: 84, 4: 10},
        "Mn": {2: 25, 3: 85, 4: 2},
        "Co": {2: 27, 3: 86, 4: 18},
        "Ni": {2: 28, 3: 87, 4: 36},
        "V": {3: 23, 4: 88, 5: 54},
    }


def test_no_number_of_a_charge_state_is_an_element_of_another_couple():
    elements = {Element(element).Z for element in FIXED.states}
    assert not elements & set(FIXED.parents)
    assert max(FIXED.parents) <= LARGEST_NUMBER


def test_the_paper_knows_fe3_as_gallium():
    assert SpeciesMap.shipped("paper").encode([FE, FE, OX], [2, 3, -2]).tolist() == [FE, GA, OX]


def test_real_gallium_is_refused_where_it_stands_for_fe3():
    with pytest.raises(ValueError, match="atom 2 is Ga, which in species map 'paper' stands for a charge state"):
        SpeciesMap.shipped("paper").encode([FE, FE, GA], [2, 3, 3])


def test_the_fixed_table_takes_real_gallium():
    assert FIXED.for_couples([get_couple("Fe2+/Fe3+")]).encode([FE, GA], [3, np.nan]).tolist() == [84, GA]


def test_several_couples_are_encoded_at_once():
    both = FIXED.for_couples([get_couple("Fe2+/Fe3+"), get_couple("Mn2+/Mn3+")])
    assert both.encode([FE, FE, MN, MN, OX], [2, 3, 2, 3, -2]).tolist() == [26, 84, 25, 85, 8]


@given(st.lists(st.sampled_from([(26, 2), (26, 3), (25, 2), (25, 3), (23, 4), (11, 1), (8, -2)]), max_size=12))
def test_decoding_gives_back_elements_and_states(atoms):
    numbers, states = [z for z, _ in atoms], [s for _, s in atoms]
    real, decoded = FIXED.decode(FIXED.encode(numbers, states))
    assert real.tolist() == numbers
    mapped = np.isin(numbers, [26, 25, 23])
    assert np.array_equal(decoded[mapped], np.array(states, dtype=float)[mapped])
    assert np.isnan(decoded[~mapped]).all()


def test_a_map_without_charge_states_needs_no_label():
    plain = SpeciesMap.shipped("elements")
    assert plain.encode([FE, OX], None).tolist() == [FE, OX]
    assert not plain.knows_charge_states


@pytest.mark.parametrize(
    ("states", "found"),
    [
        (None, "atom 0 has no oxidation state \\(2 such atoms\\)"),
        ([2, 4, -2], "atom 1 is Fe4\\+"),
        ([2, np.nan, -2], "atom 1 has no oxidation state"),
        (np.array([2, np.iinfo(np.int32).min, -2], dtype=np.int32), "NaN was put into an array of integers"),
        (
            np.array([2, 2, np.iinfo(np.int64).min]),
            "atom 2 has no oxidation state: NaN was put into an array of integers",
        ),
        ([2, np.inf, -2], "atom 1 has oxidation state inf"),
        ([2, 2.5, -2], "atom 1 has oxidation state 2.5"),
        ([2, 3], "shape \\(2,\\) where 3 atoms"),
    ],
)
def test_an_unknown_state_is_refused_in_one_line_that_names_the_atom(states, found):
    iron = FIXED.for_couples([get_couple("Fe2+/Fe3+")])
    with pytest.raises(ValueError, match=found) as caught:
        iron.encode([FE, FE, OX], states, "cell 7")
    assert "cell 7" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ({"Fe": {2: 26, 3: 95}}, "outside 1..94"),
        ({"Fe": {2: 84, 3: 26}}, "lowest state of Fe must keep"),
        ({"Fe": {2: 26, 3: 25}, "Mn": {2: 25, 3: 85}}, "both go by number 25"),
        ({"Fe": {2: 26, 3: 84}, "Mn": {2: 25, 3: 84}}, "both go by number 84"),
        ({"Xx": {2: 26}}, "'Xx' is no element"),
        ({"Fe": {}}, "lowest state of Fe"),
    ],
)
def test_a_map_that_contradicts_itself_is_refused(states, found):
    with pytest.raises(ValueError, match=found):
        map_of(states)


def test_a_couple_whose_state_has_no_number_is_refused():
    with pytest.raises(ValueError, match="no number for V3\\+ of V3\\+/V4\\+; it knows no state of V"):
        SpeciesMap.shipped("paper").for_couples([get_couple("V3+/V4+")])


def test_a_map_survives_json():
    for species_map in shipped_maps().values():
        assert SpeciesMap.model_validate_json(species_map.model_dump_json()) == species_map
        assert SpeciesMap.model_validate(species_map.model_dump(mode="json")).content_hash == species_map.content_hash


def test_a_map_of_the_users_own_is_read_from_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine:\n  states:\n    Fe: {2: 26, 3: 54}\n")
    assert get_species_map(str(path)).encode([FE], [3]).tolist() == [54]
    with pytest.raises(ValueError, match="unknown species map 'nobodys'; known: charge-states, paper, elements"):
        get_species_map("nobodys")
    with pytest.raises(ValueError, match=r"mine\.yaml: species map a: "):
        parse_maps("a: {states: {Fe: {2: 26, 3: 26}}}", "mine.yaml")


def test_labels_that_pymatgen_carries_reach_the_map(half_filled):
    atoms = AseAtomsAdaptor.get_atoms(half_filled(high=(0, 1)))
    encoded = SpeciesMap.shipped("paper").encode_atoms(atoms)
    assert (encoded == GA).sum() == 2
    assert (encoded == FE).sum() == 2
    assert not (atoms.numbers == GA).any()


def test_a_charged_labelling_is_refused_and_an_open_one_is_not():
    check_balanced([FE, OX], [2, -2])
    check_balanced([FE, OX], [3, np.nan])
    with pytest.raises(ValueError, match=r"cell: oxidation states sum to \+1 e"):
        check_balanced([FE, OX], [3, -2], "cell")


def test_energies_compare_between_labellings_of_one_charge_only():
    open_labels = [2, 3, np.nan]
    check_comparable([([FE, FE, OX], open_labels), ([FE, OX, FE], [3, np.nan, 2]), ([FE, OX], [3, np.nan])])
    with pytest.raises(ValueError, match=r"structure 1 has labels that sum to \+6 e and structure 0 .* \+5 e"):
        check_comparable([([FE, FE, OX], open_labels), ([FE, FE, OX], [3, 3, np.nan])])
    with pytest.raises(ValueError, match=r"structure 1: oxidation states sum to \+1 e"):
        check_comparable([([FE, OX], [2, -2]), ([FE, OX], [3, -2])])
