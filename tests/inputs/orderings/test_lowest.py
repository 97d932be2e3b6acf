"""The lowest orderings of a space: proven where it can be visited, and the same ones by annealing and swaps."""

from itertools import combinations

import numpy as np
import pytest
from valenceflow.inputs.charge_states import shipped_couples
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.lowest import lowest_finder
from valenceflow.inputs.orderings.spaces import ChargeSpace, WorkingSpace

FE = shipped_couples()["Fe2+/Fe3+"]


class LargeChargeSpace(ChargeSpace):
    """A space that says it cannot be visited."""

    is_listable = False


class LargeWorkingSpace(WorkingSpace):
    """A space that says it cannot be visited."""

    is_listable = False


def charge_space(model, working):
    return ChargeSpace.at(ordering_group(model.cell), working, model.cell.n_high(int(np.sum(working)), FE))


@pytest.fixture(scope="module", params=["olivine 1x2x1", "triclinic 2x1x1"])
def model(request, small_cell):
    return ElectrostaticModel(small_cell(request.param), FE)


def arrangements(n_sites, n_ones):
    chosen = np.array(list(combinations(range(n_sites), n_ones)))
    rows = np.zeros((len(chosen), n_sites), dtype=bool)
    np.put_along_axis(rows, chosen, values=True, axis=1)
    return rows


def brute_force(model, working, n_high):
    """Energy and key of every distinct charge ordering, by the polynomial alone, lowest first."""
    group, found = ordering_group(model.cell), {}
    for charge in arrangements(group.n_redox, n_high):
        energy = float(model.polynomial.energies(np.concatenate([working, charge])))
        found[str(group.key(working, charge))] = energy
    return sorted((energy, key) for key, energy in found.items())


@pytest.mark.parametrize("n_working", [3, 5])
def test_the_lowest_charge_orderings_are_those_of_brute_force(model, n_working):
    group = ordering_group(model.cell)
    space = charge_space(model, np.arange(group.n_working) < n_working)
    expected = brute_force(model, space.working, space.n_ones)
    found, proven = lowest_finder(model)(space, 6)
    assert proven
    assert [str(space.key(m.bits)) for m in found] == [key for _, key in expected[:6]]
    assert [m.energy for m in found] == [energy for energy, _ in expected[:6]]
    assert [m.multiplicity for m in found] == [space.multiplicity(m.bits) for m in found]


@pytest.mark.parametrize("n_working", [2, 4])
def test_a_working_ion_ordering_ranks_by_its_best_charge_ordering(model, n_working):
    group = ordering_group(model.cell)
    space, n_high = WorkingSpace(group, n_working), model.cell.n_high(n_working, FE)
    best = sorted((brute_force(model, m.bits, n_high)[0][0], str(space.key(m.bits))) for m in space.members())
    found, proven = lowest_finder(model)(space, 5)
    assert proven
    assert [(m.energy, str(space.key(m.bits))) for m in found] == best[:5]


def test_annealing_and_swaps_find_the_same_charge_orderings_in_a_space_that_is_called_too_large(model):
    space = charge_space(model, np.arange(len(model.cell.working_sites)) < 4)
    large = LargeChargeSpace(space.group, space.n_ones, space.working)
    exact, _ = lowest_finder(model)(space, 5)
    found, proven = lowest_finder(model)(large, 5)
    assert not proven
    assert [(m.energy, m.bits.tolist(), m.multiplicity) for m in found] == [
        (m.energy, m.bits.tolist(), m.multiplicity) for m in exact
    ]


def test_annealing_and_swaps_find_the_same_working_ion_orderings(model):
    group = ordering_group(model.cell)
    exact, _ = lowest_finder(model)(WorkingSpace(group, 4), 3)
    found, proven = lowest_finder(model)(LargeWorkingSpace(group, 4), 3)
    assert not proven
    assert [(m.energy, m.bits.tolist()) for m in found] == [(m.energy, m.bits.tolist()) for m in exact]


def test_long_searches_tell_how_far_they_are(model):
    seen = []
    lowest_finder(model, lambda done, total: seen.append((done, total)))(WorkingSpace(ordering_group(model.cell), 4), 1)
    assert seen
    assert all(0 <= done <= total for done, total in seen)
