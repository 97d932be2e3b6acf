"""Charge states of a structure's sites, and the structures of both steps: elements, moments, order, round trip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.vasp import Poscar
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.substitution import ChargeSites, charge_sites, step_structure

FE = shipped_couples()["Fe2+/Fe3+"]
OLIVINE = get_host("olivine-NaFePO4")
COUPLES = {couple.element: couple for couple in shipped_couples().values()}


def olivine(couple, is_high, seed=0):
    """An olivine cell in a random site order with the redox sites in the states asked for, host order."""
    host = OLIVINE if couple.element == "Fe" else OLIVINE.with_redox_element(couple.element)
    structure = host.structure.copy()
    states = iter([couple.state(bit).oxidation_state for bit in is_high])
    redox = couple.element
    structure.add_site_property("oxidation_state", [next(states) if s.specie.symbol == redox else 0 for s in structure])
    return shuffled(structure, seed)


def silicate():
    """Na2NiSiO4-like composition on made-up places: Si stands between Ga and Ni in electronegativity."""
    elements = ["Ni", "O", "Na", "Si", "Ni", "O", "Na", "Si", "O", "O"]
    positions = [[i / 10, (3 * i % 10) / 10, (7 * i % 10) / 10] for i in range(10)]
    states = [{"Na": 1, "Si": 4, "O": -2}.get(element, 2) for element in elements]
    states[4] = 3
    return Structure(Lattice.cubic(9.0), elements, positions, site_properties={"oxidation_state": states})


def shuffled(structure, seed):
    order = np.random.default_rng(seed).permutation(len(structure))
    return Structure.from_sites([structure[int(i)] for i in order])


def relaxed(structure, seed=0, site_order=None):
    """What VASP and a parser might hand back: another cell, moved atoms, computed moments, another site order."""
    rng = np.random.default_rng(seed)
    order = np.arange(len(structure)) if site_order is None else np.array(site_order)
    return Structure(
        structure.lattice.matrix * rng.uniform(0.97, 1.03, 3)[:, None],
        [structure[int(i)].specie for i in order],
        (structure.frac_coords + rng.normal(0, 0.01, (len(structure), 3)))[order],
        site_properties={"magmom": rng.uniform(-0.2, 4.4, len(structure)).tolist()},
    )


def blocks(structure):
    """Element symbols as VASP would read them, one per block."""
    return Poscar(structure, sort_structure=False).site_symbols


HOSTS = st.sampled_from(["Fe", "Mn", "Co", "Ni"])
STATES = st.lists(st.booleans(), min_size=4, max_size=4)


@settings(deadline=None, max_examples=40)
@given(element=HOSTS, states=STATES, seed=st.integers(0, 1000), resorted=st.randoms(use_true_random=False))
def test_both_steps_keep_the_parents_order_and_step_two_restores_every_element_and_moment(
    element, states, seed, resorted
):
    couple = COUPLES[element]
    parent = olivine(couple, states, seed)
    sites = charge_sites(parent, couple)
    first = step_structure(parent, sites, "surrogate")
    check_step(first, parent, sites, "surrogate")

    # Between the steps the sites may have been sorted in any way, as long as the permutation travels with them.
    moved = list(range(len(parent)))
    resorted.shuffle(moved)
    after = relaxed(first.structure, seed, moved)
    order = [first.site_order[i] for i in moved]
    second = step_structure(after, sites, "redox", order)
    back = np.argsort(order)
    restored = Structure(after.lattice, [s.specie.symbol for s in parent], after.frac_coords[back])
    check_step(second, restored, sites, "redox")
    assert sorted(second.structure.site_properties["magmom"]) == sorted(
        [0.0] * 24 + [couple.state(bit).magmom for bit in states]
    )
    if sum(states):
        assert couple.surrogate.element not in blocks(second.structure)


def check_step(step, parent, sites, occupants):
    """Every site of a step is the parent's: position, element and moment said here once more, from the states."""
    assert sorted(step.site_order) == list(range(len(parent)))
    assert step.structure.lattice == parent.lattice
    for here, origin in zip(step.structure, step.site_order, strict=True):
        there = parent[origin]
        assert here.frac_coords.tolist() == there.frac_coords.tolist()
        symbol, moment = there.specie.symbol, 0.0
        if symbol == sites.couple.element:
            high = sites.is_high[sites.redox_sites.index(origin)]
            symbol = sites.couple.surrogate.element if high and occupants == "surrogate" else symbol
            moment = sites.couple.state(high).magmom if symbol == sites.couple.element else 0.0
        assert (here.specie.symbol, here.properties) == (symbol, {"magmom": moment})
    # Within a block, each charge state keeps the parent's order.
    high = {site for site, bit in zip(sites.redox_sites, sites.is_high, strict=True) if bit}
    for symbol in blocks(step.structure):
        origins = [o for here, o in zip(step.structure, step.site_order, strict=True) if here.specie.symbol == symbol]
        for state in (high, set(origins) - high):
            of_state = [origin for origin in origins if origin in state]
            assert of_state == sorted(of_state)


@pytest.mark.parametrize("element", sorted(COUPLES))
def test_every_site_of_an_olivine_keeps_its_place_in_poscar_from_step_one_to_step_two(element):
    parent = olivine(COUPLES[element], [False, True, True, False], seed=7)
    sites = charge_sites(parent, COUPLES[element])
    assert step_structure(parent, sites, "surrogate").site_order == step_structure(parent, sites, "redox").site_order


@pytest.mark.parametrize(
    ("element", "first", "second"),
    [
        ("Fe", ["Na", "Ga", "Fe", "P", "O"], ["Na", "Fe", "P", "O"]),
        ("Mn", ["Na", "Mn", "Ga", "P", "O"], ["Na", "Mn", "P", "O"]),
        ("Co", ["Na", "Ga", "Co", "P", "O"], ["Na", "Co", "P", "O"]),
        ("Ni", ["Na", "Ga", "Ni", "P", "O"], ["Na", "Ni", "P", "O"]),
        ("V", ["Na", "V", "Ge", "P", "O"], ["Na", "V", "P", "O"]),
    ],
)
def test_vasp_sees_one_block_per_element_in_the_order_of_electronegativity(element, first, second):
    parent = olivine(COUPLES[element], [True, False, False, True], seed=5)
    sites = charge_sites(parent, COUPLES[element])
    assert blocks(step_structure(parent, sites, "surrogate").structure) == first
    assert blocks(step_structure(parent, sites, "redox").structure) == second


def test_an_element_between_surrogate_and_redox_element_changes_the_order_between_the_steps():
    sites = charge_sites(silicate(), COUPLES["Ni"])
    first = step_structure(silicate(), sites, "surrogate")
    second = step_structure(relaxed(first.structure), sites, "redox", first.site_order)
    assert blocks(first.structure) == ["Na", "Ga", "Si", "Ni", "O"]
    assert blocks(second.structure) == ["Na", "Si", "Ni", "O"]
    assert first.site_order != second.site_order
    assert [second.structure.site_properties["magmom"][second.site_order.index(i)] for i in (0, 4)] == [2.0, 3.0]


def test_elements_of_equal_electronegativity_are_two_blocks_all_the_same():
    assert Element("Si").X == Element("Cu").X
    structure = silicate()
    structure.replace(1, "Cu", properties={"oxidation_state": 2})
    structure.replace(5, "Cu", properties={"oxidation_state": 2})
    sites = charge_sites(structure, COUPLES["Ni"])
    assert blocks(step_structure(structure, sites, "redox").structure) == ["Na", "Cu", "Si", "Ni", "O"]


@pytest.mark.parametrize("occupants", ["surrogate", "redox"])
@pytest.mark.parametrize("element", sorted(COUPLES))
def test_pymatgens_own_sorting_leaves_both_steps_as_they_are(element, occupants):
    # atomate2 sorts from 0.1.6 on and not before: our order has to survive both.
    parent = olivine(COUPLES[element], [True, False, True, True], seed=3)
    step = step_structure(parent, charge_sites(parent, COUPLES[element]), occupants).structure
    assert [site.frac_coords.tolist() for site in step.get_sorted_structure()] == step.frac_coords.tolist()


def test_neither_a_stale_zero_nor_a_computed_moment_survives_into_step_two():
    parent = olivine(FE, [True, False, False, True])
    sites = charge_sites(parent, FE)
    first = step_structure(parent, sites, "surrogate")
    # Upstream's way (trap T3): the surrogate's moment stays on the site that becomes Fe3+.
    upstream = first.structure.copy()
    upstream.replace_species({"Ga": "Fe"})
    assert sorted(site.properties["magmom"] for site in upstream if site.specie.symbol == "Fe") == [0, 0, 4, 4]
    for stale in (upstream, relaxed(first.structure)):
        second = step_structure(stale, sites, "redox", first.site_order).structure
        assert sorted(site.properties["magmom"] for site in second if site.specie.symbol == "Fe") == [4, 4, 5, 5]
        assert {site.properties["magmom"] for site in second if site.specie.symbol != "Fe"} == {0.0}


def test_decorations_of_the_incoming_structure_do_not_reach_vasps_moments():
    # Trap T2: a decorated Fe2+ and Fe3+ would both get 5 muB from the stock set.
    parent = olivine(FE, [True, False, False, True])
    decorated = parent.copy()
    decorated.add_oxidation_state_by_site([{"Na": 1, "P": 5, "O": -2, "Fe": 2}[s.specie.symbol] for s in parent])
    step = step_structure(decorated, charge_sites(parent, FE), "redox").structure
    assert all(type(site.specie).__name__ == "Element" for site in step)
    assert set(step.site_properties) == {"magmom"}
    assert sorted(step.site_properties["magmom"])[-4:] == [4.0, 4.0, 5.0, 5.0]


def test_states_are_read_from_decorated_species_or_from_the_site_property():
    parent = olivine(FE, [True, False, False, True], seed=2)
    by_property = charge_sites(parent, FE)
    decorated = parent.copy()
    decorated.remove_site_property("oxidation_state")
    decorated.add_oxidation_state_by_site(
        [s.properties["oxidation_state"] if s.specie.symbol == "Fe" else 0 for s in parent]
    )
    assert charge_sites(decorated, FE) == by_property
    assert by_property.n_high == 2
    # A property that only other sites have must not hide the species' own state.
    decorated.add_site_property("oxidation_state", [None] * len(parent))
    assert charge_sites(decorated, FE) == by_property


def test_a_free_order_starts_every_redox_site_at_the_mean_moment():
    parent = olivine(FE, [False] * 4)
    sites = charge_sites(parent, FE, free=True, n_high=1)
    assert sites.is_high is None
    assert not sites.has_surrogate_step
    step = step_structure(parent, sites, "redox").structure
    assert {s.properties["magmom"] for s in step if s.specie.symbol == "Fe"} == {4.25}
    assert sum(step.site_properties["magmom"]) == 1 * 5 + 3 * 4


def test_an_empty_host_has_no_redox_element_in_step_one_and_a_full_one_has_no_step_one():
    empty, full = olivine(FE, [True] * 4), olivine(FE, [False] * 4)
    assert charge_sites(empty, FE).has_surrogate_step
    first = step_structure(empty, charge_sites(empty, FE), "surrogate").structure
    assert "Fe" not in first.symbol_set
    assert set(first.site_properties["magmom"]) == {0.0}
    assert not charge_sites(full, FE).has_surrogate_step


def test_charge_sites_survive_json():
    sites = charge_sites(olivine(FE, [True, False, False, True]), FE)
    assert ChargeSites.model_validate_json(sites.model_dump_json()) == sites


def test_a_structure_without_the_redox_element_is_refused():
    with pytest.raises(ValueError, match=r"holds no Mn, the element of Mn2\+/Mn3\+"):
        charge_sites(olivine(FE, [False] * 4), COUPLES["Mn"])


@pytest.mark.parametrize("state", [4, None, 2.5])
def test_a_state_outside_the_couple_is_refused_with_its_sites(state):
    parent = OLIVINE.structure.copy()
    parent.add_site_property("oxidation_state", [state if i == 5 else 2 for i in range(28)])
    said = r"\{5: 4\}" if state == 4 else r"\{5: None\}"
    with pytest.raises(ValueError, match=rf"outside Fe2\+/Fe3\+: {said}; give every Fe one of \[2, 3\]"):
        charge_sites(parent, FE)


def test_a_structure_that_says_nothing_of_its_states_is_refused():
    with pytest.raises(ValueError, match=r"\{4: None, 5: None, 6: None, 7: None\}"):
        charge_sites(OLIVINE.structure, FE)


def test_a_free_order_needs_its_count():
    with pytest.raises(ValueError, match="a free charge order needs n_high"):
        charge_sites(OLIVINE.structure, FE, free=True)


def test_a_partly_occupied_structure_is_refused():
    structure = OLIVINE.structure.copy()
    structure.replace_species({"Na": {"Na": 0.5}})
    with pytest.raises(ValueError, match="has partly occupied sites; order them first"):
        charge_sites(structure, FE)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"is_high": [True, True, False, False]}, "2 of 4 sites are high where n_high = 1 of 4 are expected"),
        ({"is_high": [True]}, "1 of 1 sites are high where n_high = 1 of 4"),
        ({"redox_sites": [0, 5, 6, 7]}, "redox_sites must all hold Fe"),
        ({"is_high": None, "n_high": 5}, "n_high = 5 exceeds the 4 redox sites"),
    ],
)
def test_charge_sites_that_contradict_themselves_are_refused(changes, problem):
    fields = charge_sites(OLIVINE.structure, FE, free=True, n_high=1).model_dump() | {"is_high": [True] + [False] * 3}
    with pytest.raises(ValueError, match=problem):
        ChargeSites.model_validate(fields | changes)


@pytest.mark.parametrize("order", [[0] * 28, list(range(27)), list(range(1, 29))])
def test_a_site_order_that_is_no_permutation_is_refused(order):
    sites = charge_sites(OLIVINE.structure, FE, free=True, n_high=1)
    with pytest.raises(ValueError, match=rf"site_order of length {len(order)} is no permutation of 28 sites"):
        step_structure(OLIVINE.structure, sites, "redox", order)


def test_a_structure_that_lost_a_site_is_refused():
    sites = charge_sites(OLIVINE.structure, FE, free=True, n_high=1)
    short = Structure.from_sites(OLIVINE.structure[:27])
    with pytest.raises(ValueError, match="the structure has 27 sites where the charge states describe 28"):
        step_structure(short, sites, "redox", list(range(28)))


def test_a_site_with_an_element_of_neither_step_is_refused():
    parent = olivine(FE, [True, False, False, True], seed=4)
    sites = charge_sites(parent, FE)
    first = step_structure(parent, sites, "surrogate")
    with pytest.raises(ValueError, match=r"parent site \d+ holds \w+ where .* belongs"):
        step_structure(first.structure, sites, "redox")  # the permutation was forgotten
