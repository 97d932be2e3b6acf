"""Reading charge states from moments: published PBE+U values, the fit rule, and the count that neutrality asks for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.inputs.charge_states import LabelWindow, shipped_couples
from valenceflow.inputs.moments import MIN_GAP_FIT, read_states

FE, MN, CO, V = (shipped_couples()[name] for name in ("Fe2+/Fe3+", "Mn2+/Mn3+", "Co2+/Co3+", "V3+/V4+"))

# Moments of published PBE+U runs (data of arXiv:2603.26471), muB: the ends of their ranges.
FE2_VASP, FE3_VASP = (3.76, 3.79), (4.32, 4.35)
DELOCALISED_VASP = (3.81, 3.97)
FE2_CHGNET, FE3_CHGNET = (3.91, 4.02), (4.22, 4.42)
SMEARED_HOLE_CHGNET = [4.07, 3.98, 3.97, 4.01]  # x = 3/4: one Fe3+ on four sites


def between(bounds):
    return st.floats(*bounds).map(lambda value: round(value, 3))


def mixture(low, high):
    """(moments, is_high) of sites in any order, at least one in all."""
    one = st.one_of(st.tuples(between(low), st.just(False)), st.tuples(between(high), st.just(True)))
    return st.lists(one, min_size=1, max_size=24)


@given(sites=mixture(FE2_VASP, FE3_VASP), sign=st.sampled_from([1, -1]))
def test_published_pbe_u_moments_are_resolved_whatever_their_sign(sites, sign):
    moments, states = zip(*sites, strict=True)
    reading = read_states(sign * np.array(moments), FE, "vasp", sum(states))
    assert reading.verdict == "resolved"
    assert reading.is_high.tolist() == list(states)
    assert reading.reason == ""


@given(sites=mixture(FE2_CHGNET, FE3_CHGNET))
def test_chgnets_own_moments_need_and_have_their_own_window(sites):
    moments, states = zip(*sites, strict=True)
    reading = read_states(moments, FE, "rehearsal:chgnet", sum(states))
    assert reading.verdict == "resolved"
    assert reading.is_high.tolist() == list(states)
    assert read_states(moments, FE, "vasp", sum(states)).verdict != "resolved" or all(states)


@given(moments=st.lists(between(DELOCALISED_VASP), min_size=2, max_size=24), data=st.data())
def test_published_delocalised_holes_are_never_resolved(moments, data):
    n_high = data.draw(st.integers(1, len(moments) - 1))
    reading = read_states(moments, FE, "vasp", n_high)
    assert reading.verdict == "delocalised"
    assert reading.is_high is None
    assert "lie between 3.8 and 4.25 muB" in reading.reason


@pytest.mark.parametrize("engine", ["rehearsal:chgnet", "vasp"])
def test_chgnets_smeared_hole_is_delocalised(engine):
    reading = read_states(SMEARED_HOLE_CHGNET, FE, engine, 1)
    assert reading.verdict == "delocalised"
    assert reading.gap == pytest.approx(0.06)


def test_a_window_alone_would_misread_what_the_count_catches():
    moments = [4.33, 3.77, 3.77, 4.32]
    reading = read_states(moments, FE, "vasp", 1)
    assert reading.verdict == "delocalised"
    assert reading.reason == "2 sites read as the high state where neutrality asks for 1"


@pytest.mark.parametrize("n_high", [0, 2, 3, 4])
def test_any_wrong_count_is_delocalised(n_high):
    assert read_states([4.33, 3.77, 3.77, 3.76], FE, "vasp", n_high).verdict == "delocalised"


def test_one_moment_between_the_windows_of_two_clear_groups_is_ambiguous():
    reading = read_states([4.33, 4.20, 3.77, 3.77], FE, "vasp", 2)
    assert reading.verdict == "ambiguous"
    assert reading.is_high is None
    assert reading.reason == "1 moments (4.20) lie between 3.8 and 4.25 muB"


@pytest.mark.parametrize(("n_high", "moments"), [(0, [3.77, 3.85]), (2, [4.33, 4.20])])
def test_where_one_state_is_asked_for_a_moment_between_is_ambiguous_because_no_hole_can_be_shared(n_high, moments):
    reading = read_states(moments, FE, "vasp", n_high)
    assert reading.verdict == "ambiguous"
    assert np.isnan(reading.gap)


@pytest.mark.parametrize(("n_high", "moments"), [(0, [3.77, 3.78]), (2, [4.33, 4.34])])
def test_a_cell_of_one_state_is_resolved_without_a_gap(n_high, moments):
    reading = read_states(moments, FE, "vasp", n_high)
    assert reading.verdict == "resolved"
    assert reading.is_high.tolist() == [n_high > 0] * 2
    assert np.isnan(reading.gap)


@pytest.mark.parametrize(("low", "high"), [(3.80, 4.25)])
def test_the_bounds_of_a_window_belong_to_the_states(low, high):
    assert read_states([low, high], FE, "vasp", 1).is_high.tolist() == [False, True]
    assert read_states([low + 0.01, high], FE, "vasp", 1).verdict == "ambiguous"


@pytest.mark.parametrize("couple", [MN, V], ids=["Mn", "V"])
def test_the_high_state_may_have_the_smaller_moment(couple):
    low, high = couple.low.magmom - 0.3, couple.high.magmom - 0.2
    reading = read_states([low, -high, low, high, -low], couple, "vasp", 2)
    assert reading.verdict == "resolved"
    assert reading.is_high.tolist() == [False, True, False, True, False]


def test_a_window_of_a_couple_whose_high_state_has_the_smaller_moment_is_read_the_other_way():
    window = LabelWindow(low_max=4.0, high_min=4.4, source="test")
    couple = MN.model_copy(update={"windows": {"vasp": window}})
    assert read_states([4.55, 3.85, 4.60], couple, "vasp", 1).is_high.tolist() == [False, True, False]
    assert read_states([4.55, 3.85, 4.60], couple, "vasp", 2).verdict == "delocalised"
    assert read_states([4.55, 3.85, 4.20], couple, "vasp", 1).verdict == "ambiguous"


@given(
    moments=st.lists(st.floats(0, 6), min_size=2, max_size=16, unique=True),
    data=st.data(),
    couple=st.sampled_from([MN, CO]),
)
def test_the_fit_rule_takes_the_outlying_moments_if_the_gap_is_large_enough(moments, data, couple):
    n_high = data.draw(st.integers(1, len(moments) - 1))
    reading = read_states(moments, couple, "vasp", n_high)
    ranked = sorted(moments, reverse=couple.high_moment_is_larger)
    gap = abs(ranked[n_high - 1] - ranked[n_high])
    assert reading.gap == pytest.approx(gap)
    if gap >= MIN_GAP_FIT:
        assert {moment for moment, high in zip(moments, reading.is_high, strict=True) if high} == set(ranked[:n_high])
    elif gap < MIN_GAP_FIT - 1e-6:
        assert (reading.verdict, reading.is_high) == ("ambiguous", None)
        assert "muB apart" in reading.reason


@pytest.mark.parametrize(("low", "verdict"), [(3.7, "resolved"), (3.71, "ambiguous")])
def test_a_gap_of_two_tenths_is_enough_despite_rounding(low, verdict):
    assert read_states([3.9, low], CO, "vasp", 1).verdict == verdict


def test_an_engine_without_a_window_is_read_by_the_gap():
    assert read_states([4.07, 3.80], FE, "another engine", 1).verdict == "resolved"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_moments_that_are_not_finite_are_refused_with_their_sites(bad):
    with pytest.raises(ValueError, match=r"moments of redox sites \[1\] are not finite"):
        read_states([3.77, bad, 4.33], FE, "vasp", 1)


@pytest.mark.parametrize("n_high", [-1, 4])
def test_a_count_outside_the_sites_is_refused(n_high):
    with pytest.raises(ValueError, match=rf"n_high = {n_high} lies outside 0\.\.3"):
        read_states([3.77, 3.77, 4.33], FE, "vasp", n_high)
