"""Uniform sampling of orbits without listing: exact enumeration, chi-square tests, published counts."""

import itertools
from collections import Counter
from math import comb

import numpy as np
import pytest
from scipy.stats import chisquare
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.orderings.group import burnside_count, joint_burnside_count, ordering_group
from valenceflow.inputs.orderings.images import smallest_images
from valenceflow.inputs.orderings.listing import list_orbits, mask_of
from valenceflow.inputs.orderings.random_orbits import FixedPoints, sample_joint_orbits, sample_orbits
from valenceflow.inputs.supercells import HostSupercell

OLIVINE = get_host("olivine-NaFePO4")
DRAWS = 8000
PINNED = ["01624a315981", "0013552a11a5", "003314c30b0b"]

LEAST_P = 1e-3  # the seeds below are fixed: no test fails by chance


def drawn_masks(permutations, parts, seed, count, operations):
    draws = np.array(list(itertools.islice(FixedPoints(permutations, parts).draws(seed), count)))
    masks = draws @ (1 << np.arange(draws.shape[1] - 1, -1, -1)).astype(np.uint64)
    return Counter(smallest_images(masks, operations).tolist())


@pytest.mark.parametrize("n_ones", [0, 1, 3, 8])
def test_the_numbered_pairs_are_all_arrangements_that_each_operation_fixes(small_cell, n_ones):
    rows = ordering_group(small_cell("olivine 1x2x1")).redox_permutations
    points = FixedPoints(rows, ((0, 8, n_ones),))
    found = Counter(points[number].tobytes() for number in range(points.total))
    expected = Counter()
    for ones in itertools.combinations(range(8), n_ones):
        bits = np.isin(np.arange(8), ones)
        expected[bits.tobytes()] = int((bits[rows] == bits).all(axis=1).sum())
    assert found == expected
    assert points.total == burnside_count(rows, n_ones) * len(rows)


def test_the_numbered_joint_pairs_are_all_joint_arrangements_that_each_operation_fixes(small_cell):
    group = ordering_group(small_cell("olivine"))
    points = FixedPoints(group.permutations, ((0, 4, 2), (4, 8, 2)))
    found = Counter(points[number].tobytes() for number in range(points.total))
    halves = [np.isin(np.arange(4), ones) for ones in itertools.combinations(range(4), 2)]
    expected = {}
    for working, charge in itertools.product(halves, halves):
        bits = np.concatenate([working, charge])
        expected[bits.tobytes()] = (bits[group.permutations] == bits).all(axis=1).sum()
    assert found == expected
    assert points.total == 10 * group.order


def test_orbits_are_drawn_uniformly():
    group = ordering_group(HostSupercell.build(OLIVINE, [1, 2, 2]))
    rows, orbits = group.redox_permutations, list_orbits(group.redox_permutations, 5)
    assert len(orbits) == 157
    counts = drawn_masks(rows, ((0, 16, 5),), 0, DRAWS, rows)
    assert set(counts) <= set(orbits.masks.tolist())
    assert chisquare([counts[mask] for mask in orbits.masks.tolist()]).pvalue > LEAST_P


def test_joint_orbits_are_drawn_uniformly(small_cell):
    group = ordering_group(small_cell("olivine 1x2x1"))
    counts = drawn_masks(group.permutations, ((0, 8, 4), (8, 16, 4)), 1, DRAWS, group.permutations)
    assert len(counts) == 344
    assert chisquare(list(counts.values())).pvalue > LEAST_P


def test_arrangements_are_drawn_uniformly_where_they_count():
    group = ordering_group(HostSupercell.build(OLIVINE, [1, 2, 2]))
    rows, orbits = group.redox_permutations, list_orbits(group.redox_permutations, 5)
    counts = drawn_masks(np.arange(16)[None], ((0, 16, 5),), 2, DRAWS, rows)
    expected = orbits.multiplicities * DRAWS / comb(16, 5)
    assert chisquare([counts[mask] for mask in orbits.masks.tolist()], expected).pvalue > LEAST_P


@pytest.mark.parametrize("weight", ["arrangements", "orbits"])
def test_a_sample_grows_without_changing_its_members_and_can_take_all(weight):
    group = ordering_group(HostSupercell.build(OLIVINE, [1, 3, 1]))
    rows, orbits = group.redox_permutations, list_orbits(group.redox_permutations, 4)
    few, every = (sample_orbits(rows, 4, n, seed=3, weight=weight) for n in (10, 32))
    assert len(few) == 10
    assert (every.bits[:10] == few.bits).all()
    assert every.n_orbits == 32
    multiplicities = dict(zip(orbits.masks.tolist(), orbits.multiplicities.tolist(), strict=True))
    drawn = dict(zip(map(mask_of, every.bits), every.multiplicities.tolist(), strict=True))
    assert drawn == multiplicities
    other = sample_orbits(rows, 4, 10, seed=4, weight=weight)
    assert not np.array_equal(other.bits, few.bits)


def test_members_never_change():
    # Stored campaigns were drawn like this. A test that fails here has found a bug in the change.
    group = ordering_group(HostSupercell.build(OLIVINE, [1, 3, 4]))
    drawn = sample_orbits(group.redox_permutations, 16, 3, seed=31, weight="orbits")
    assert [f"{mask_of(bits):012x}" for bits in drawn.bits] == PINNED
    assert (drawn.multiplicities == 96).all()
    assert drawn.n_orbits == 23_490_756_218


def test_joint_orderings_of_a_space_that_nobody_can_list(paper_cell):
    group = ordering_group(paper_cell)
    drawn = sample_joint_orbits(group, 16, 8, 50, seed=0, weight="orbits")
    assert drawn.n_orbits == joint_burnside_count(group, 16, 8) == 11_269_366_602
    assert (drawn.bits[:, :24].sum(axis=1) == 16).all()
    assert (drawn.bits[:, 24:].sum(axis=1) == 8).all()
    for bits in drawn.bits:
        key = group.key(bits[:24], bits[24:])
        assert (np.concatenate([key.working, key.charge]) == bits).all()


@pytest.mark.parametrize(
    ("n_ones", "how_many", "weight", "said"),
    [
        (4, 33, "orbits", "33 distinct orderings were asked for, but 32 exist"),
        (4, 0, "orbits", "0 distinct orderings were asked for"),
        (13, 1, "orbits", r"n_ones = 13 lies outside 0\.\.12"),
        (4, 1, "sites", "weight = 'sites' must be one of arrangements, orbits"),
    ],
)
def test_samples_that_cannot_be_are_refused(n_ones, how_many, weight, said):
    rows = ordering_group(HostSupercell.build(OLIVINE, [1, 3, 1])).redox_permutations
    with pytest.raises(ValueError, match=said):
        sample_orbits(rows, n_ones, how_many, 0, weight)
