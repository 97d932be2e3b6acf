"""More than two states on one sublattice, against plain loops over every arrangement."""

from collections import Counter
from math import factorial

import numpy as np
import pytest
from sympy.utilities.iterables import multiset_permutations
from valenceflow.inputs.orderings.group import burnside_count, ordering_group
from valenceflow.inputs.orderings.listing import list_orbits, mask_of
from valenceflow.inputs.orderings.multistate import list_multistate_orbits, multistate_count


def brute_force(permutations, numbers):
    """{smallest image: arrangements} by visiting every image of every arrangement."""
    sizes = Counter()
    for states in multiset_permutations([state for state, n in enumerate(numbers) for _ in range(n)]):
        sizes[min(map(tuple, np.array(states)[permutations].tolist()))] += 1
    return sizes


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("olivine", (2, 1, 1)),
        ("olivine 1x2x1", (4, 2, 2)),
        ("olivine 1x2x1", (2, 2, 2, 2)),
        ("olivine 1x2x1", (3, 0, 5)),
        ("olivine {a+b, b-a, c}", (5, 1, 2)),
        ("layered {a-b, a+2b, c}", (6, 2, 1)),
        ("triclinic 2x1x1", (3, 2, 3)),
    ],
)
def test_the_orbits_are_those_of_every_arrangement(small_cell, name, numbers):
    rows = np.unique(ordering_group(small_cell(name)).redox_permutations, axis=0)
    expected = brute_force(rows, numbers)
    orbits = list_multistate_orbits(rows, numbers)
    assert len(orbits) == multistate_count(rows, numbers) == len(expected)
    found = {
        min(map(tuple, states[rows].tolist())): multiplicity
        for states, multiplicity in zip(orbits.states, orbits.multiplicities.tolist(), strict=True)
    }
    assert found == expected
    assert all((np.bincount(states, minlength=len(numbers)) == numbers).all() for states in orbits.states)


def test_two_states_are_the_orderings_of_everywhere_else(paper_cell):
    rows = ordering_group(paper_cell).redox_permutations
    assert multistate_count(rows, (16, 8)) == 15_770
    one, other = list_multistate_orbits(rows, (20, 4)), list_orbits(rows, 4)
    assert [mask_of(states == 1) for states in one.states] == other.masks.tolist()
    assert (one.multiplicities == other.multiplicities).all()


def test_three_states_of_the_papers_cell_are_counted_though_nobody_can_list_them(paper_cell):
    rows = ordering_group(paper_cell).redox_permutations
    raw = factorial(24) // factorial(8) ** 3
    assert multistate_count(np.arange(24)[None], (8, 8, 8)) == raw
    distinct = multistate_count(rows, (8, 8, 8))
    assert raw / 48 < distinct < 1.01 * raw / 48
    assert burnside_count(rows, 8) < distinct
    with pytest.raises(ValueError, match=rf"^{raw:,} arrangements of 8 \+ 8 \+ 8 states \({distinct:,} distinct\)"):
        list_multistate_orbits(rows, (8, 8, 8))


@pytest.mark.parametrize("numbers", [(), (3,), (2, 3), (5, -1)])
def test_numbers_that_do_not_fill_the_sites_are_refused(numbers):
    with pytest.raises(ValueError, match="do not sum to the 4 sites"):
        multistate_count(np.arange(4)[None], numbers)


def test_permutations_that_are_no_group_are_caught():
    with pytest.raises(ValueError, match="3 permutations are no group"):
        multistate_count(np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1]]), (2, 1, 0))
