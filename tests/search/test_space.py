"""What is searched: candidates, the keys they are evaluated as, their swaps."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.inputs.orderings.group import JointKey
from valenceflow.inputs.orderings.ranking import charge_energies
from valenceflow.search.space import SearchSpace


def bits_with(ones, n_sites, seed):
    return np.random.default_rng(seed).permutation(np.arange(n_sites) < ones)


@given(st.integers(0, 10**6), st.integers(0, 31))
def test_every_image_of_an_arrangement_is_one_candidate(half, seed, operation):
    bits = bits_with(8, 16, seed)
    image = bits[half.group.working_permutations[operation % half.group.order]]
    assert half.candidate(8, bits) == half.candidate(8, image)


@given(st.integers(0, 10**6))
def test_swaps_are_those_made_one_by_one(half, seed):
    start = half.candidate(8, bits_with(8, 16, seed))
    expected = set()
    for i in np.flatnonzero(start.bits):
        for j in np.flatnonzero(~start.bits):
            swapped = start.bits.copy()
            swapped[[i, j]] = False, True
            expected.add(half.candidate(8, swapped))
    found = half.swaps(start)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_ions_are_evaluated_with_the_charges_of_lowest_electrostatic_energy_of_all(small_cell, iron):
    space = SearchSpace.of(small_cell, iron, "ions", [Fraction(1, 2)])
    for candidate in space.sample(4, 5, seed=1):
        key = space.key(candidate)
        _, energies = charge_energies(space.electrostatics, candidate.bits)
        both = np.concatenate([key.working, key.charge])
        assert space.electrostatics.polynomial.energies(both) == energies.min()
        assert space.group.key(key.working, key.charge) == key


@given(st.integers(0, 10**6), st.sampled_from(["ions", "both"]))
def test_an_ordering_that_came_out_is_found_again_in_the_space(small_cell, iron, seed, kind):
    space = SearchSpace.of(small_cell, iron, kind, [Fraction(1, 2)], charges="free")
    bits = np.concatenate([bits_with(4, 8, seed), bits_with(4, 8, seed + 1)])[: 8 if kind == "ions" else 16]
    candidate = space.candidate(4, bits)
    assert space.candidate_of(space.key(candidate)) == candidate


@given(st.integers(0, 10**6), st.integers(0, 15))
def test_charges_that_came_out_at_an_image_of_the_working_ions_are_found_again(small_cell, iron, seed, operation):
    space = SearchSpace.of(small_cell, iron, "charges", at=bits_with(4, 8, 3))
    candidate = space.candidate(4, bits_with(4, 8, seed))
    moved = np.concatenate([space.at, candidate.bits])[space.group.permutations[operation % space.group.order]]
    assert space.candidate_of(JointKey(moved[:8], moved[8:])) == candidate
    elsewhere = np.array([True] * 5 + [False] * 3)
    assert space.candidate_of(JointKey(elsewhere, candidate.bits)) is None


def test_several_compositions_without_both_end_members_are_refused_by_name(cell, iron):
    space = SearchSpace.of(cell, iron, "ions", [0, Fraction(1, 2)])
    with pytest.raises(ValueError, match=r"x = 1 is not among them: add --fraction 1,"):
        space.check_end_members()
    SearchSpace.of(cell, iron, "ions", [Fraction(1, 2)]).check_end_members()


@pytest.mark.parametrize(("kind", "message"), [("spins", "not 'spins'"), ("charges", "at one working-ion ordering")])
def test_a_space_that_is_none_is_refused(cell, iron, kind, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(cell, iron, kind, (8,))
