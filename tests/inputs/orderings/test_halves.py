"""Half arrangements and images of masks against plain loops."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup
from valenceflow.inputs.orderings.halves import arrangement_masks, bit_rows, halves
from valenceflow.inputs.orderings.images import smallest_images, smallest_of_orbits
from valenceflow.inputs.orderings.listing import bits_of, mask_of

SIZES = [(1, 0), (1, 1), (2, 1), (5, 0), (5, 5), (7, 3), (8, 4), (9, 2), (12, 5), (40, 2), (64, 2)]


@pytest.mark.parametrize(("n_sites", "n_ones"), SIZES)
def test_all_arrangements_are_there_once_and_ascend(n_sites, n_ones):
    masks = arrangement_masks(n_sites, n_ones)
    expected = sorted(sum(1 << site for site in ones) for ones in itertools.combinations(range(n_sites), n_ones))
    assert masks.tolist() == expected


@pytest.mark.parametrize(("n_sites", "n_ones"), SIZES)
def test_places_among_the_blocks_name_every_arrangement(n_sites, n_ones):
    cut = halves(n_sites, n_ones)
    assert len(cut) == comb(n_sites, n_ones)
    masks = cut.masks_at(np.arange(len(cut)))
    assert (masks[cut.ascending] == arrangement_masks(n_sites, n_ones)).all()
    rows, columns = cut.halves_at(np.arange(len(cut)))
    assert (np.hstack([cut.first[rows], cut.second[columns]]) == bit_rows(masks, n_sites)).all()


@given(mask=st.integers(0, 2**64 - 1))
def test_rows_of_bits_are_the_masks_bits_first_site_first(mask):
    assert bit_rows(np.array([mask], dtype=np.uint64), 64)[0].astype(bool).tolist() == bits_of(mask, 64).tolist()


@settings(deadline=None, max_examples=30)
@given(n_sites=st.sampled_from([3, 8, 31, 33, 53, 64]), seed=st.integers(0, 2**32 - 1))
def test_smallest_images_are_those_of_a_plain_loop(n_sites, seed):
    random = np.random.default_rng(seed)
    permutations = np.array([random.permutation(n_sites) for _ in range(5)])
    bits = random.random((20, n_sites)) < 0.5
    masks = np.array([mask_of(row) for row in bits], dtype=np.uint64)
    expected = [min(mask_of(row[permutation]) for permutation in permutations) for row in bits]
    assert smallest_images(masks, permutations).tolist() == expected


@pytest.mark.parametrize("n_sites", [6, 34])
def test_representatives_and_their_stabilisers_are_those_of_a_plain_loop(n_sites):
    # A group that mixes both halves and moves within them, on few and on more than 32 sites.
    ring, flip = np.roll(np.arange(n_sites), n_sites // 2), np.arange(n_sites)
    flip[[0, 1]] = 1, 0
    group = PermutationGroup([Permutation(ring.tolist()), Permutation(flip.tolist())])
    rows = np.array([element.array_form for element in group.elements])
    masks, fixing = smallest_of_orbits(rows, halves(n_sites, 2))
    found = {}
    for mask in arrangement_masks(n_sites, 2).tolist():
        images = [mask_of(bits_of(mask, n_sites)[row]) for row in rows]
        if min(images) == mask:
            found[mask] = images.count(mask)
    assert dict(zip(masks.tolist(), fixing.tolist(), strict=True)) == found
    assert masks.tolist() == sorted(found)
