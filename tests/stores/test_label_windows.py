"""Windows fitted to a data set's moments: recovered where there are two groups, refused where there are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from valenceflow.stores.label_windows import MomentHistogram, fit_groups, fit_window


def histogram(*groups):
    made = MomentHistogram()
    for group in groups:
        made.add(np.asarray(group, dtype=float))
    return made


def normal(mean, width, count, seed=0):
    return np.random.default_rng(seed).normal(mean, width, count)


def test_two_groups_over_a_background_are_found_again():
    background = np.random.default_rng(1).uniform(3.81, 3.97, 300)
    groups = fit_groups(histogram(normal(3.775, 0.01, 20_000), normal(4.335, 0.012, 9_000), background))
    assert groups.means == pytest.approx((3.775, 4.335), abs=2e-3)
    assert groups.widths == pytest.approx((0.01, 0.012), abs=2e-3)
    assert groups.shares[1] == pytest.approx(9_000 / 29_300, abs=0.01)
    assert groups.background == pytest.approx(300 / 29_300, abs=0.01)


def test_the_window_of_moments_like_the_published_ones_agrees_with_the_published_window():
    """Published PBE+U: Fe2+ 3.76-3.79, Fe3+ 4.32-4.35, delocalised holes 3.81-3.97 muB; window 3.80 to 4.25."""
    smeared = np.random.default_rng(1).uniform(3.86, 3.97, 300)
    window, _ = fit_window(histogram(normal(3.775, 0.007, 20_000), normal(4.335, 0.008, 9_000), smeared))
    assert 3.79 < window.low_max < 3.86
    assert 4.25 <= window.high_min < 4.32
    assert "29300 moments" in window.source


@pytest.mark.parametrize(
    "groups",
    [
        [normal(3.775, 0.02, 20_000)],
        [normal(3.95, 0.08, 2_000), normal(4.30, 0.08, 1_000, seed=1)],
        [np.random.default_rng(2).uniform(3.5, 4.5, 2_000)],
        [normal(3.775, 0.01, 5_000), normal(4.33, 0.01, 5)],
        [[3.77] * 5, [4.33] * 5],
        [[]],
    ],
    ids=["one group", "overlapping", "even", "too few of one", "too few", "none"],
)
def test_where_two_groups_do_not_stand_apart_there_is_no_window(groups):
    window, reason = fit_window(histogram(*groups))
    assert window is None
    assert reason


@settings(max_examples=25, deadline=None)
@given(
    low=st.floats(0.8, 4.5), gap=st.floats(0.4, 1.5), width=st.floats(0.005, 0.04),
    share=st.floats(0.1, 0.9), seed=st.integers(0, 100),
)  # fmt: skip
def test_a_fitted_window_puts_nearly_every_moment_on_its_side(low, gap, width, share, seed):
    n_low = int(4_000 * share)
    small, large = normal(low, width, n_low, seed), normal(low + gap, width, 4_000 - n_low, seed + 1)
    window, _ = fit_window(histogram(small, large))
    assert window is not None
    expected = norm.cdf(4.0) - 0.003
    assert np.mean(small <= window.low_max) > expected
    assert np.mean(large >= window.high_min) > expected
    assert not np.any(small >= window.high_min)
    assert not np.any(large <= window.low_max)


def test_a_histogram_counts_sizes_and_knows_its_edges():
    made = histogram([-3.77, 3.77, np.nan, 99.0])
    assert made.total == 3
    plain = made.as_dict()
    assert plain["start"] == pytest.approx(3.77, abs=0.006)
    assert sum(plain["counts"]) == 3
    assert plain["counts"][0] == 2
    assert histogram([]).as_dict()["counts"] == []
