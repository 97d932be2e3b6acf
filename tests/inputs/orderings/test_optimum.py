"""The proven optimum against exhaustive runs that share nothing with it but the pair matrix, and against annealing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.annealing import anneal_joint
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.orderings.group import joint_burnside_count, ordering_group
from valenceflow.inputs.orderings.optimum import joint_optimum, lowest_working_orderings
from valenceflow.inputs.orderings.ranking import charge_energies
from valenceflow.inputs.supercells import HostSupercell

SEEDS = st.integers(0, 2**32 - 1)


def combinations(n_sites, n_ones):
    return [np.isin(np.arange(n_sites), ones) for ones in itertools.combinations(range(n_sites), n_ones)]


def every_joint_ordering(model, n_occupied):
    """{canonical working-ion ordering: (energy, key) of its best charge ordering}, by visiting every pair."""
    group = ordering_group(model.cell)
    charges = np.array(combinations(group.n_redox, model.cell.n_high(n_occupied, model.couple)))
    best = {}
    for working in combinations(group.n_working, n_occupied):
        energies = ordering_energies(model, working, charges)
        lowest = charges[energies == energies.min()]
        key = min((group.key(working, charge) for charge in lowest), key=str)
        found = float(energies.min()), str(key)
        best[str(group.key(working, None))] = min(found, best.get(str(group.key(working, None)), found))
    return sorted(best.values())


@settings(deadline=None, max_examples=4)
@given(data=st.data())
def test_the_lowest_are_those_of_every_pair_of_arrangements(cell, electrostatics, made_up_model, data):
    n = len(cell.working_sites)
    n_occupied = data.draw(st.integers(0, n // 2)) if n > 6 else data.draw(st.integers(0, n))
    if n == 12:  # the joint spaces of twelve and twelve sites are too many for one by one
        n_occupied = data.draw(st.sampled_from([0, 1, 2, 11, 12]))
    tying = made_up_model(cell, data.draw(SEEDS), triplets=data.draw(st.booleans()), values=[-1, 0, 1])
    for model in (tying, electrostatics(cell)):
        expected = every_joint_ordering(model, n_occupied)
        for how_many in (1, 4, len(expected) + 3):
            found = lowest_working_orderings(model, n_occupied, how_many)
            assert found.status == "proven"
            assert [(one.energy, str(one.key)) for one in found.orderings] == expected[:how_many]
            assert found.n_rows == len(expected)
    for one in found.orderings:
        assert ordering_energies(electrostatics(cell), one.working, one.charge) == one.energy
        assert ordering_group(cell).multiplicity(one.working, one.charge) == one.multiplicity


def test_the_optimum_is_that_of_pymatgens_energies_of_every_joint_ordering(small_cell, electrostatics):
    cell = small_cell("olivine 1x2x1")
    model = electrostatics(cell)
    structure = Structure(cell.structure.lattice, cell.structure.species, cell.structure.frac_coords)
    structure.add_oxidation_state_by_site([1] * len(structure))
    matrix = EwaldSummation(structure).total_energy_matrix
    lowest = np.inf
    for working in combinations(8, 5):
        for charge in combinations(8, 3):
            charges = np.array([{"Na": 0, "Fe": 2, "P": 5, "O": -2}[site.specie.symbol] for site in cell.structure])
            charges[cell.working_sites] = working
            charges[cell.redox_sites] += charge
            lowest = min(lowest, charges @ matrix @ charges)
    found = joint_optimum(model, 5)
    assert found.orderings[0].energy == pytest.approx(lowest, abs=1e-8)
    assert found.n_pairs == 56 * 56
    assert joint_burnside_count(ordering_group(cell), 5, 3) > found.n_rows >= found.n_searched


@pytest.fixture(scope="module")
def papers_optimum(paper_cell, electrostatics):
    return lowest_working_orderings(electrostatics(paper_cell), 16, 5)


def test_the_optimum_of_the_papers_cell_is_the_one_of_a_run_over_every_pair(papers_optimum):
    best = papers_optimum.orderings[0]
    # All 735,471 charge energies of all 15,622 sodium orderings, without a bound: 17 s.
    assert best.energy == pytest.approx(-7185.432006348, abs=1e-8)
    assert str(best.key) == "3cf3dd.c03c22"
    assert papers_optimum.n_rows == 15_622
    assert papers_optimum.n_pairs == 540_917_591_841
    assert papers_optimum.n_searched < 0.4 * papers_optimum.n_rows


def test_annealing_finds_the_proven_optimum_of_the_papers_cell_and_nothing_lower(
    paper_cell, electrostatics, papers_optimum
):
    annealed = anneal_joint(electrostatics(paper_cell), 16, starts=20, sweeps=40)
    assert annealed.energy == papers_optimum.orderings[0].energy
    assert annealed.key == papers_optimum.orderings[0].key
    assert annealed.hits >= 2


def test_no_random_row_of_the_papers_cell_beats_the_ranking(paper_cell, electrostatics, papers_optimum):
    model = electrostatics(paper_cell)
    rows = [one.working for one in papers_optimum.orderings]
    assert [charge_energies(model, row)[1].min() for row in rows] == [one.energy for one in papers_optimum.orderings]
    random = np.random.default_rng(0)
    for _ in range(20):
        row = random.permutation(np.arange(24) < 16)
        assert charge_energies(model, row)[1].min() >= papers_optimum.orderings[-1].energy


def test_two_orderings_of_one_energy_are_told_apart_by_their_keys(papers_optimum):
    third, fourth = papers_optimum.orderings[2:4]
    assert third.energy == fourth.energy
    assert str(third.key) < str(fourth.key)


def test_progress_ends_with_every_row_decided(small_cell, electrostatics):
    told = []
    found = joint_optimum(electrostatics(small_cell("olivine 1x2x1")), 4, progress=lambda *state: told.append(state))
    assert told[-1] == (found.n_rows, found.n_rows)
    assert all(0 <= done <= total for done, total in told)


def test_a_space_too_large_names_what_to_use_instead(electrostatics):
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 3, 4])
    with pytest.raises(ValueError, match=r"too many to list .* annealing"):
        joint_optimum(electrostatics(cell), 32)


def test_none_of_the_lowest_is_no_ranking(small_cell, electrostatics):
    with pytest.raises(ValueError, match="how_many = 0 must be at least 1"):
        lowest_working_orderings(electrostatics(small_cell("olivine")), 2, 0)
