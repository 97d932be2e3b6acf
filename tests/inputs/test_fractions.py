"""Fractions are exact, and shown as they were written."""

import copy
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.inputs.fractions import WrittenFraction, read_fraction


@given(value=st.floats(0, 1, allow_subnormal=False))
def test_a_number_is_what_its_text_says(value):
    assert str(read_fraction(value)) == str(value)
    assert float(read_fraction(value)) == value


@given(whole=st.fractions(0, 1, max_denominator=1000))
def test_a_quotient_is_read_exactly_and_compares_as_any_fraction(whole):
    read = read_fraction(f" {whole.numerator} / {whole.denominator} ")
    assert read == whole
    assert hash(read) == hash(whole)
    assert str(read) == f"{whole.numerator}/{whole.denominator}"


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_remember_what_was_written(way):
    copied = way(WrittenFraction("0.30"))
    assert (str(copied), copied) == ("0.30", Fraction(3, 10))


@pytest.mark.parametrize("value", ["half", "", "1/0", True, None, [0.5], float("nan"), float("inf")])
def test_what_is_no_number_is_refused_with_its_value(value):
    with pytest.raises(ValueError, match=r"a fraction is a number such as 0\.5 or 2/3, got") as caught:
        read_fraction(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("value", "shown"), [(1.5, "1.5"), ("3/2", "3/2"), (-0.1, "-0.1")])
def test_what_lies_outside_is_refused_as_it_was_written(value, shown):
    with pytest.raises(ValueError, match=f"^fraction {shown} must lie in 0..1$"):
        read_fraction(value)
