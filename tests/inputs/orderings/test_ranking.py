"""Charge orderings ranked at one working-ion ordering, against every arrangement one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.listing import bits_of, charge_orbits
from valenceflow.inputs.orderings.ranking import charge_energies, lowest_charge_orderings
from valenceflow.inputs.supercells import HostSupercell

SEEDS = st.integers(0, 2**32 - 1)


def random_working(cell, seed, n_occupied):
    return np.random.default_rng(seed).permutation(np.arange(len(cell.working_sites)) < n_occupied)


def every_ordering(model, working):
    """[(energy, key, mask, multiplicity)] ascending, by evaluating one ordering at a time."""
    group = ordering_group(model.cell)
    n_high = model.cell.n_high(int(working.sum()), model.couple)
    orbits = charge_orbits(group, working, n_high)
    rows = []
    for mask, multiplicity in zip(orbits.masks.tolist(), orbits.multiplicities.tolist(), strict=True):
        charge = bits_of(mask, group.n_redox)
        rows.append(
            (float(ordering_energies(model, working, charge)), str(group.key(working, charge)), mask, multiplicity)
        )
    return sorted(rows)


@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_energies_of_all_arrangements_are_those_of_each(cell, electrostatics, made_up_model, data):
    n_occupied = data.draw(st.integers(0, len(cell.working_sites)))
    working = random_working(cell, data.draw(SEEDS), n_occupied)
    for model in (electrostatics(cell), made_up_model(cell, data.draw(SEEDS), triplets=True)):
        masks, energies = charge_energies(model, working)
        assert (np.diff(masks.astype(object)) > 0).all()
        charges = np.array([bits_of(int(mask), len(cell.redox_sites)) for mask in masks])
        assert (energies == ordering_energies(model, working, charges)).all()


def test_energies_of_the_papers_cell_are_those_of_each_arrangement(paper_cell, electrostatics):
    model = electrostatics(paper_cell)
    working = random_working(paper_cell, 0, 16)
    masks, energies = charge_energies(model, working)
    assert len(masks) == len(energies) == 735_471
    few = slice(0, None, 5003)
    charges = np.array([bits_of(int(mask), 24) for mask in masks[few]])
    assert (energies[few] == ordering_energies(model, working, charges)).all()


@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_the_lowest_are_those_of_every_ordering_with_ties_broken_by_key(cell, made_up_model, electrostatics, data):
    n = len(cell.working_sites)
    working = random_working(cell, data.draw(SEEDS), data.draw(st.integers(1, n - 1)))
    tying = made_up_model(cell, data.draw(SEEDS), triplets=data.draw(st.booleans()), values=[-1, 0, 1])
    for model in (tying, electrostatics(cell)):
        expected = every_ordering(model, working)
        for how_many in (1, 3, len(expected), len(expected) + 5):
            found = lowest_charge_orderings(model, working, how_many)
            assert len(found) == min(how_many, len(expected))
            keys = [str(key) for key in found.keys]
            rows = zip(found.energies, keys, found.masks.tolist(), found.multiplicities, strict=True)
            assert list(rows) == expected[:how_many]
    assert found.model == "electrostatics"


def test_the_lowest_orderings_of_the_papers_cell_are_those_of_the_sorted_energies(paper_cell, electrostatics):
    model = electrostatics(paper_cell)
    working = random_working(paper_cell, 7, 16)
    found = lowest_charge_orderings(model, working, 50)
    assert (found.multiplicities == 1).all()  # nothing is left of the symmetry
    assert found.energies.tolist() == np.sort(charge_energies(model, working)[1])[:50].tolist()
    charges = np.array([found.charge(i) for i in range(50)])
    assert (ordering_energies(model, working, charges) == found.energies).all()
    group = ordering_group(paper_cell)
    assert [group.key(working, charge) for charge in charges] == list(found.keys)


def test_equivalent_working_orderings_have_the_same_ranking(paper_cell, electrostatics):
    model, group = electrostatics(paper_cell), ordering_group(paper_cell)
    working = random_working(paper_cell, 3, 20)
    first = lowest_charge_orderings(model, working, 10)
    other = lowest_charge_orderings(model, working[group.working_permutations[17]], 10)
    assert first.keys == other.keys
    assert (first.energies == other.energies).all()


def test_a_space_too_large_to_visit_names_what_to_use_instead(electrostatics):
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 3, 4])
    with pytest.raises(ValueError, match=r"^2,254,848,913,647 arrangements .* annealing .* sample"):
        charge_energies(electrostatics(cell), np.arange(48) < 32)


def test_none_of_the_lowest_is_no_ranking(small_cell, electrostatics):
    with pytest.raises(ValueError, match="how_many = 0 must be at least 1"):
        lowest_charge_orderings(electrostatics(small_cell("olivine")), [True, True, False, False], 0)
