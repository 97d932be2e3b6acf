"""Correlation functions against products written out, and their invariance under the group."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.inputs.orderings.group import burnside_count, ordering_group
from valenceflow.search.correlations import Correlations, masks_of


@pytest.fixture(scope="module")
def correlations(small_cell):
    return Correlations(ordering_group(small_cell).working_permutations)


def test_orbits_are_as_many_as_burnside_counts(correlations):
    counts = np.bincount(correlations.order_of, minlength=5)
    assert counts[1:].tolist() == [burnside_count(correlations.permutations, order) for order in (1, 2, 3, 4)]


@given(st.integers(0, 2**8 - 1))
def test_sums_are_those_of_the_products_written_out(correlations, mask):
    spins = np.array([1 if mask >> (7 - i) & 1 else -1 for i in range(8)])
    found = correlations.of(np.array([mask], dtype=np.uint64))[0]
    label = {int(member): n for n, (_, members) in enumerate(correlations.orbits) for member in members}
    expected = np.zeros(len(found), dtype=int)
    for order in (1, 2, 3, 4):
        for sites in combinations(range(8), order):
            expected[label[sum(1 << (7 - i) for i in sites)]] += spins[list(sites)].prod()
    assert found.tolist() == expected.tolist()


@given(st.lists(st.booleans(), min_size=8, max_size=8), st.integers(0, 10**6))
def test_equivalent_orderings_have_equal_correlations(correlations, bits, operation):
    image = np.array(bits)[correlations.permutations[operation % len(correlations.permutations)]]
    found = correlations.of(masks_of(np.array([bits, image])))
    assert (found[0] == found[1]).all()


def test_more_sites_than_a_mask_holds_are_refused():
    with pytest.raises(ValueError, match="65 sites are more than the 64"):
        Correlations(np.arange(65)[None, :])
