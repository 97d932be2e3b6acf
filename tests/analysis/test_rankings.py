"""Rankings held against each other: against values by hand and the known limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.analysis.rankings import agreement

energies = st.lists(st.integers(-1000, 1000), min_size=3, max_size=12, unique=True)


@given(energies)
def test_any_growing_function_of_the_energy_ranks_perfectly(values):
    true = np.array(values, dtype=float)
    found = agreement(true, 0.3 * true + 7, ["a"] * len(true))
    assert (found.spearman, found.kendall, found.same_pairs) == pytest.approx((1, 1, 1))
    assert found.regret == 0
    assert found.spread_ratio == pytest.approx(0.3)


@given(energies)
def test_the_opposite_ranking_costs_the_whole_range(values):
    true = np.array(values, dtype=float)
    found = agreement(true, -true, ["a"] * len(true))
    assert (found.spearman, found.same_pairs) == pytest.approx((-1, 0))
    assert found.regret == true.max() - true.min()


def test_pairs_count_within_their_group_alone():
    # By hand: within a the pair is turned round, within b it is not; between the groups nothing is asked.
    found = agreement([0.0, 1.0, 5.0, 6.0], [1.0, 0.0, -9.0, -8.0], ["a", "a", "b", "b"])
    assert found.same_pairs == 0.5
    assert found.regret == 5.0
    # Pairs ranked alike and not: 2 (within b: 1, between: 0 of 4, within a: 0), tau = (1 - 5) / 6.
    assert found.kendall == pytest.approx(-4 / 6)


def test_what_one_of_them_lacks_is_left_out():
    found = agreement([0.0, np.nan, 2.0, 3.0], [0.0, 1.0, 2.0, np.nan], ["a"] * 4)
    assert found.n == 2
    assert np.isnan(found.spearman)
    assert found.same_pairs == 1


def test_too_few_or_unequal_energies_are_refused():
    with pytest.raises(ValueError, match="a ranking needs two"):
        agreement([0.0, np.nan], [0.0, 1.0], ["a", "a"])
    with pytest.raises(ValueError, match="lengths must be equal"):
        agreement([0.0, 1.0], [0.0], ["a", "a"])
