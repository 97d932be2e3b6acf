"""Listing distinct orderings: published counts and multiplicities, brute force over every arrangement."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.inputs.orderings.group import burnside_count, ordering_group
from valenceflow.inputs.orderings.listing import (
    Ordering,
    bits_of,
    charge_orbits,
    list_orbits,
    mask_of,
    working_orbits,
)


def brute_force(permutations, n_ones):
    """{smallest image: arrangements} by visiting every image of every arrangement."""
    n_sites = permutations.shape[1]
    sizes = {}
    for ones in itertools.combinations(range(n_sites), n_ones):
        bits = np.isin(np.arange(n_sites), ones)
        smallest = min(mask_of(bits[row]) for row in permutations)
        sizes[smallest] = sizes.get(smallest, 0) + 1
    return sizes


@pytest.fixture(scope="module")
def paper_orbits(paper_cell):
    return list_orbits(ordering_group(paper_cell).redox_permutations, 8)


def test_iron_orderings_of_the_papers_cell_have_the_published_multiplicities(paper_orbits):
    sizes, numbers = np.unique(paper_orbits.multiplicities, return_counts=True)
    assert dict(zip(sizes.tolist(), numbers.tolist(), strict=True)) == {48: 14_906, 24: 805, 12: 52, 6: 6, 3: 1}
    assert len(paper_orbits) == 15_770
    assert paper_orbits.multiplicities.sum() == comb(24, 8) == 735_471


def test_sodium_orderings_of_the_papers_cell_have_the_published_stabilisers(paper_cell):
    group = ordering_group(paper_cell)
    orbits = working_orbits(group, 16)
    sizes, numbers = np.unique(group.order // orbits.multiplicities, return_counts=True)
    assert dict(zip(sizes.tolist(), numbers.tolist(), strict=True)) == {1: 15_046, 2: 533, 4: 36, 8: 6, 16: 1}
    assert len(orbits) == 15_622


def test_sodium_orderings_of_every_content_are_listed_half_filling_included(paper_cell):
    group = ordering_group(paper_cell)
    listed = [working_orbits(group, n_occupied) for n_occupied in range(25)]
    assert [len(orbits) for orbits in listed[:13]] == [
        1, 1, 12, 48, 259, 913, 2934, 7293, 15622, 27407, 41344, 52234, 56913
    ]  # fmt: skip
    assert sum(map(len, listed)) == 353_049
    assert sum(int(orbits.multiplicities.sum()) for orbits in listed) == 2**24


def test_masks_ascend_and_are_the_smallest_of_their_orbits(paper_cell, paper_orbits):
    group = ordering_group(paper_cell)
    assert (np.diff(paper_orbits.masks.astype(np.int64)) > 0).all()
    for index in np.random.default_rng(0).integers(0, len(paper_orbits), 50):
        bits = paper_orbits.bits(int(index))
        images = {mask_of(bits[row]) for row in group.redox_permutations}
        assert min(images) == paper_orbits.masks[index]
        assert len(images) == paper_orbits.multiplicities[index]


def test_listing_agrees_with_brute_force_over_spglibs_permutations(cell, spglib_permutations):
    group, rows = ordering_group(cell), spglib_permutations(cell)
    n = group.n_working
    for n_ones in (1, n // 2):
        for ours, theirs in (
            (working_orbits(group, n_ones), rows[:, :n]),
            (list_orbits(group.redox_permutations, n_ones), rows[:, n:] - n),
        ):
            listed = dict(zip(ours.masks.tolist(), ours.multiplicities.tolist(), strict=True))
            assert listed == brute_force(np.unique(theirs, axis=0), n_ones)


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_charge_orderings_at_a_working_ordering_agree_with_brute_force(small_cell, spglib_permutations, data):
    cell = small_cell("olivine {a+b, b-a, c}")
    group, rows = ordering_group(cell), spglib_permutations(cell)
    n = group.n_working
    working = bits_of(data.draw(st.integers(0, 2**n - 1)), n)
    n_high = data.draw(st.integers(0, group.n_redox))
    fixing = rows[(working[rows[:, :n]] == working).all(axis=1)]
    listed = charge_orbits(group, working, n_high)
    sizes = dict(zip(listed.masks.tolist(), listed.multiplicities.tolist(), strict=True))
    assert sizes == brute_force(np.unique(fixing[:, n:] - n, axis=0), n_high)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_every_listing_has_burnsides_count_and_covers_the_space(cell, data):
    group = ordering_group(cell)
    n_ones = data.draw(st.integers(0, group.n_redox))
    working = bits_of(data.draw(st.integers(0, 2**group.n_working - 1)), group.n_working)
    for permutations in (group.redox_permutations, group.stabiliser(working)):
        orbits = list_orbits(permutations, n_ones)
        assert len(orbits) == burnside_count(permutations, n_ones)
        assert orbits.multiplicities.sum() == comb(group.n_redox, n_ones)
        assert all(orbits.bits(i).sum() == n_ones for i in range(len(orbits)))


@given(bits=st.lists(st.booleans(), min_size=1, max_size=64))
def test_masks_and_bits_are_each_others_inverse(bits):
    mask = mask_of(np.array(bits))
    assert mask == int("".join("01"[bit] for bit in bits), 2)
    assert bits_of(mask, len(bits)).tolist() == bits


def test_a_space_of_64_sites_is_listed():
    orbits = list_orbits(np.stack([np.roll(np.arange(64), shift) for shift in range(64)]), 2)
    assert len(orbits) == 32
    assert orbits.masks.tolist() == sorted(2**distance + 1 for distance in range(1, 33))
    assert sorted(orbits.multiplicities.tolist()) == [32] + [64] * 31


@pytest.mark.parametrize(("n_sites", "n_ones"), [(48, 16), (65, 1)])
def test_a_space_too_large_to_list_names_its_size_and_the_distinct_number(n_sites, n_ones):
    identity = np.arange(n_sites)[None]
    raw = f"{comb(n_sites, n_ones):,}"
    with pytest.raises(ValueError, match=rf"^{raw} arrangements of {n_ones} on {n_sites} sites \({raw} distinct\)"):
        list_orbits(identity, n_ones)


@pytest.mark.parametrize("n_ones", [-1, 5])
def test_more_ones_than_sites_are_refused(n_ones):
    with pytest.raises(ValueError, match=rf"n_ones = {n_ones} lies outside 0\.\.4"):
        list_orbits(np.arange(4)[None], n_ones)


def test_permutations_that_are_no_group_are_caught_by_burnsides_count():
    with pytest.raises(ValueError, match="3 permutations are no group"):
        list_orbits(np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1]]), 1)


def test_an_ordering_has_its_fraction_and_its_keys_bits(small_cell):
    group = ordering_group(small_cell("olivine"))
    key = group.key([True, True, True, False], [False, False, True, False])
    ordering = Ordering(key, multiplicity=2, working_multiplicity=4)
    assert ordering.fraction == Fraction(3, 4)
    assert ordering.working is key.working
    assert ordering.charge is key.charge
    assert ordering == Ordering(key, 2, 4)
