"""Oxidation states of frames: windows, neutrality, several couples, Bader charges, transitions."""

import numpy as np
import pytest
from ase.data import atomic_numbers
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.inputs.charge_states import LabelWindow, get_couple
from valenceflow.inputs.fixed_states import shipped_fixed_states
from valenceflow.stores.frames import site_states
from valenceflow.stores.ingest_options import couples_with
from valenceflow.stores.labels import FrameLabeller, Labelling, SiteNumbers, mark_transitions

SYMBOLS = ["Na"] * 2 + ["Fe"] * 4 + ["P"] * 4 + ["O"] * 16  # two Fe2+, two Fe3+
LOW, HIGH = 3.77, 4.33


def labelling(*couples, **changes):
    fields = {"couples": list(couples_with(couples)), "fixed": shipped_fixed_states(), "origin": "published"}
    return Labelling(**{**fields, **changes})


def moments(iron, symbols=SYMBOLS, element="Fe"):
    values = iter(iron)
    return np.array([next(values) if symbol == element else 0.02 for symbol in symbols])


def label(iron=None, symbols=SYMBOLS, engine="vasp", made=None, **changes):
    fields = {
        "numbers": np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.uint8),
        "engine": engine, "magmoms": None if iron is None else moments(iron, symbols), "bader_charges": None,
        "intended": None, "stated": False, "fixed": {},
    }  # fmt: skip
    return FrameLabeller(made or labelling()).label(SiteNumbers(**{**fields, **changes}))


def test_two_groups_of_the_right_size_are_resolved():
    found = label([LOW, HIGH, LOW, -HIGH])
    assert (found.verdict, found.source, found.n_high, found.charge) == ("resolved", "moments", 2, 0)
    assert found.states == [2, 3, 2, 3]
    assert found.confidence == 1.0
    assert found.fixed == {"Na": 1, "O": -2, "P": 5}
    whole = site_states(SYMBOLS, found.model_dump())
    assert whole.tolist() == [1, 1, 2, 3, 2, 3, *[5] * 4, *[-2] * 16]
    assert whole.sum() == 0


def test_a_moment_between_the_windows_makes_the_frame_ambiguous_and_says_how_unsure_it_is():
    found = label([LOW, HIGH, LOW, 4.10])
    assert found.verdict == "ambiguous"
    assert found.states == [2, 3, 2, None]
    assert found.confidences == pytest.approx([1, 1, 1, (4.10 - 4.025) / 0.225], abs=1e-3)
    assert (found.confidence, found.n_high, found.charge) == (0.0, None, None)
    assert "4.10" in found.reason


def test_clean_moments_in_the_wrong_number_are_delocalised():
    found = label([LOW, HIGH, LOW, LOW])
    assert found.verdict == "delocalised"
    assert "neutrality asks for 2" in found.reason


def test_a_hole_smeared_over_four_sites_is_not_resolved():
    # x = 3/4 with one hole on four Fe, as pretrained CHGNet gives it.
    assert label([4.07, 3.98, 3.97, 4.01], [*SYMBOLS, "Na"], engine="rehearsal:chgnet").verdict == "delocalised"


def test_a_cell_that_no_count_makes_neutral_is_unbalanced():
    found = label([LOW, HIGH, LOW, HIGH], [*SYMBOLS, "Na", "Na", "Na", "Na"])
    assert found.verdict == "unbalanced"
    assert found.charge == 4


def test_moments_far_below_both_states_are_of_neither():
    found = label([1.4, 1.4, 4.33, 4.33])
    assert found.verdict == "ambiguous"
    assert "neither state of Fe2+/Fe3+" in found.reason


def test_without_moments_nothing_is_made_up():
    found = label(None)
    assert (found.verdict, found.states, found.confidence) == ("no moments", [None] * 4, 0.0)


def test_an_element_of_which_nothing_is_known_has_no_couple():
    found = label([LOW, HIGH, LOW, HIGH], [*SYMBOLS, "U"])
    assert found.verdict == "no couple"
    assert "U" in found.reason


def test_a_cell_without_a_redox_element_is_told_by_its_composition():
    gallium = ["Ga" if symbol == "Fe" else symbol for symbol in SYMBOLS[2:]]
    found = label(None, gallium)
    assert (found.verdict, found.source, found.charge, found.states) == ("resolved", "composition", 0, [])
    assert label(None, [*gallium, "Na"]).verdict == "unbalanced"


def test_the_surrogate_counts_with_the_charge_of_the_state_it_stands_for():
    surrogate = ["Na"] * 2 + ["Fe", "Ga", "Fe", "Ga"] + ["P"] * 4 + ["O"] * 16
    assert label([LOW, LOW], surrogate).states == [2, 2]


def test_charges_of_the_run_s_own_host_stand_above_the_table():
    sulphide = ["Na"] * 2 + ["Fe"] * 2 + ["S"] * 4
    assert label([HIGH, HIGH], sulphide).verdict == "unbalanced"
    assert label([HIGH, HIGH], sulphide, fixed={"S": -2}).states == [3, 3]


def test_windows_belong_to_the_engine():
    chgnet = [3.95, 4.30, 3.95, 4.30]
    assert label(chgnet).verdict == "ambiguous"
    assert label(chgnet, engine="rehearsal:chgnet").verdict == "resolved"


def test_without_a_window_the_gap_decides_and_gives_the_confidence():
    found = label([3.70, 3.95, 3.72, 4.05], engine="unstated")
    assert (found.verdict, found.states) == ("resolved", [2, 3, 2, 3])
    assert found.confidence == pytest.approx((3.95 - 3.835) / 0.2, abs=1e-3)
    assert label([3.80, 3.90, 3.80, 3.95], engine="unstated").verdict == "ambiguous"


def test_manganese_has_its_larger_moment_in_the_low_state():
    symbols = ["Mn" if symbol == "Fe" else symbol for symbol in SYMBOLS]
    magmoms = moments([4.55, 3.75, 4.56, 3.76], symbols, "Mn")
    assert label(None, symbols, magmoms=magmoms).states == [2, 3, 2, 3]


def two_elements(iron, manganese):
    symbols = ["Na"] * 2 + ["Fe", "Mn", "Fe", "Mn"] + ["P"] * 4 + ["O"] * 16
    values = {"Fe": iter(iron), "Mn": iter(manganese)}
    return symbols, np.array([next(values[s]) if s in values else 0.0 for s in symbols])


def test_two_redox_elements_are_read_by_their_windows_and_checked_by_the_sum():
    window = LabelWindow(low_max=4.0, high_min=4.3, source="a test")
    mn = get_couple("Mn2+/Mn3+").model_copy(update={"windows": {"vasp": window}})
    made = labelling(mn)
    symbols, magmoms = two_elements([LOW, HIGH], [4.6, 3.8])
    found = label(None, symbols, made=made, magmoms=magmoms)
    assert (found.verdict, found.states) == ("resolved", [2, 2, 3, 3])
    assert set(found.couples) == {"Fe2+/Fe3+", "Mn2+/Mn3+"}
    assert site_states(symbols, found.model_dump()).sum() == 0
    symbols, magmoms = two_elements([LOW, LOW], [4.6, 3.8])
    assert label(None, symbols, made=made, magmoms=magmoms).verdict == "delocalised"
    without = label(None, symbols, magmoms=magmoms)
    assert without.verdict == "ambiguous"
    assert "--fit-windows" in without.reason


def bader(iron):
    values = iter(iron)
    return np.array([next(values) if symbol == "Fe" else 0.0 for symbol in SYMBOLS])


def test_bader_charges_confirm_or_contradict_the_moments():
    iron = [LOW, HIGH, LOW, HIGH]
    assert label(iron, bader_charges=bader([1.4, 1.9, 1.4, 1.9])).bader_agrees is True
    assert label(iron, bader_charges=bader([1.9, 1.4, 1.4, 1.9])).bader_agrees is False
    assert label(iron).bader_agrees is None


def test_bader_charges_stand_in_for_moments():
    found = label(None, bader_charges=bader([1.4, 1.9, 1.45, 1.92]))
    assert (found.verdict, found.source, found.states) == ("resolved", "bader", [2, 3, 2, 3])
    assert label(None, bader_charges=bader([1.60, 1.65, 1.61, 1.66])).verdict == "ambiguous"


def intended(iron):
    values = iter(iron)
    fixed = {"Na": 1, "P": 5, "O": -2}
    return np.array([next(values) if s == "Fe" else fixed[s] for s in SYMBOLS], dtype=np.int8)


def test_what_was_meant_is_compared_with_what_was_measured():
    meant = intended([2, 3, 2, 3])
    assert label([LOW, HIGH, LOW, HIGH], intended=meant).as_intended is True
    assert label([HIGH, LOW, LOW, HIGH], intended=meant).as_intended is False
    assert label([LOW, HIGH, LOW, 4.1], intended=meant).as_intended is None


def test_states_that_a_data_set_states_are_used_where_it_has_no_moments():
    found = label(None, intended=intended([2, 3, 2, 3]), stated=True)
    assert (found.verdict, found.source, found.states) == ("resolved", "stated", [2, 3, 2, 3])
    assert label(None, intended=intended([2, 3, 2, 2]), stated=True).verdict == "unbalanced"
    assert label(None, intended=intended([2, 3, 2, 3])).verdict == "no moments"


@given(st.permutations(range(4)), st.lists(st.booleans(), min_size=4, max_size=4))
def test_labels_go_with_their_sites_and_do_not_depend_on_signs(order, signs):
    iron = [LOW, HIGH, 3.78, 4.34]
    states = label(iron).states
    turned = [iron[i] * (-1 if negative else 1) for i, negative in zip(order, signs, strict=True)]
    assert label(turned).states == [states[i] for i in order]


def transitions(*irons, lineages=None, images=None):
    labels = [label(iron) for iron in irons]
    mark_transitions(labels, lineages or ["a"] * len(labels), images or [False] * len(labels))
    return [found.transition for found in labels]


def test_frames_at_which_the_ordering_changes_are_transition_states():
    one, other, between = [LOW, HIGH, LOW, HIGH], [HIGH, LOW, LOW, HIGH], [4.05, 4.05, LOW, HIGH]
    assert transitions(one, one, one) == [False, False, False]
    assert transitions(one, one, other, other) == [False, True, True, False]
    assert transitions(one, one, between, other, other) == [False, True, True, True, False]
    assert transitions(one, other, lineages=["a", "b"]) == [False, False]
    assert transitions(one, one, images=[True, False]) == [True, False]


def test_a_labelling_is_known_by_its_content():
    assert labelling().labelling_id == labelling().labelling_id
    assert labelling(fixed={**shipped_fixed_states(), "S": -2}).labelling_id != labelling().labelling_id
    window = LabelWindow(low_max=3.9, high_min=4.2, source="a test")
    iron = get_couple("Fe2+/Fe3+").model_copy(update={"windows": {"vasp": window}})
    assert labelling(iron).labelling_id != labelling().labelling_id
