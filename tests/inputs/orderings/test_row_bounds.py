"""The bounds that skip rows: never above the row's minimum, through whichever operation they look."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.orderings.halves import arrangement_masks, bit_rows
from valenceflow.inputs.orderings.row_bounds import RowBounds, loosest_cut

SEEDS = st.integers(0, 2**32 - 1)


def bounds_of(cell, model, n_ones):
    group = ordering_group(cell)
    polynomial = model.polynomial.given(np.zeros(group.n_working))
    return RowBounds(polynomial, n_ones, group.redox_permutations)


@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_no_bound_lies_above_the_minimum_and_the_minimum_is_exact(cell, electrostatics, made_up_model, data):
    n_redox = len(cell.redox_sites)
    n_ones = data.draw(st.integers(0, n_redox))
    bits = bit_rows(arrangement_masks(n_redox, n_ones), n_redox)
    random = np.random.default_rng(data.draw(SEEDS))
    for model in (electrostatics(cell), made_up_model(cell, data.draw(SEEDS))):
        bounds = bounds_of(cell, model, n_ones)
        rows = random.random((4, len(cell.working_sites))) < 0.5
        linear = np.array([model.polynomial.given(row).linear for row in rows])
        pairs = bounds.polynomial.pairs
        minima = (bits @ linear.T + 0.5 * ((bits @ pairs) * bits).sum(axis=1)[:, None]).min(axis=0)
        for view in range(len(bounds.views)):
            assert (bounds.bounds(linear, view) <= minima).all()
            for row, lowest in zip(linear, minima, strict=True):
                found = [bounds.minimum(row, limit, view) for limit in (np.inf, lowest, lowest + 0.1)]
                assert found == [lowest] * 3
                assert bounds.minimum(row, lowest - model.polynomial.resolution, view) == np.inf


def test_views_cut_the_sites_in_different_ways(paper_cell, electrostatics):
    views = bounds_of(paper_cell, electrostatics(paper_cell), 8).views
    assert (np.sort(views, axis=1) == np.arange(24)).all()
    halves = {frozenset(side.tolist()) for view in views for side in (view[:12], view[12:])}
    assert len(halves) == 2 * len(views) == 6


@pytest.mark.parametrize("n_sites", [1, 2, 3, 5, 12])
def test_a_cut_is_an_order_of_all_sites(n_sites):
    pairs = np.random.default_rng(0).normal(size=(n_sites, n_sites))
    assert sorted(loosest_cut(pairs + pairs.T)) == list(range(n_sites))


def test_groups_that_do_not_interact_are_cut_apart():
    inside = np.random.default_rng(0).normal(size=(8, 8))
    apart = np.kron(np.eye(2), np.ones((4, 4))) * (inside + inside.T)
    shuffled = np.random.default_rng(1).permutation(8)
    order = shuffled[loosest_cut(apart[np.ix_(shuffled, shuffled)])]
    assert {frozenset(order[:4].tolist()), frozenset(order[4:].tolist())} == {
        frozenset(range(4)),
        frozenset(range(4, 8)),
    }
