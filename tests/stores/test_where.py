"""Conditions in words: what they mean, held against mongomock, and what is no condition."""

import contextlib
import re

import mongomock_ng as mongomock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.stores.where import where

DOCUMENTS = [
    {
        "n": n,
        "x": n / 6,
        "state": "completed" if n % 2 else "audit failed",
        "label": {"verdict": "resolved"} if n else None,
    }
    for n in range(7)
]


@pytest.fixture(scope="module")
def collection():
    made = mongomock.MongoClient().db.found
    made.insert_many([dict(document) for document in DOCUMENTS])
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n < 2", [0, 1]),
        ("n <= 2 and n >= 1", [1, 2]),
        ("n = 3 or n == 5", [3, 5]),
        ("n != 3", [0, 1, 2, 4, 5, 6]),
        ("not n > 1", [0, 1]),
        ("not (n > 1 and n < 5) and n != 0", [1, 5, 6]),
        ("n = 1 or n = 2 and n = 3", [1]),
        ("x between 1/3 and 0.67", [2, 3, 4]),
        ("x > -1e-3 and x < .2", [0, 1]),
        ("state = completed AND n < 4", [1, 3]),
        ("state in ('audit failed', \"nothing\")", [0, 2, 4, 6]),
        ("state not in (completed)", [0, 2, 4, 6]),
        ("label is null", [0]),
        ("label.verdict is null", [0]),
        ("label.verdict is not null and n<3", [1, 2]),
        ("label.verdict = resolved and n in (1,2)", [1, 2]),
    ],
)
def test_a_condition_means_what_it_says(text, expected, collection):
    assert [document["n"] for document in collection.find(where(text))] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a field, found the end at letter 1"),
        ("n", "expected one of"),
        ("n <", "expected a value, found the end"),
        ("n < 2 n > 3", "expected `and`, `or` or the end, found 'n' at letter 7"),
        ("(n < 2", "expected `)`"),
        ("n between 1", "expected `and`"),
        ("n in 1", "expected `(`"),
        ("n not 1", "expected `in`"),
        ("x < 1/0", "divides by zero"),
        ("x < 1e999999999", "is no number such as 0.5"),
        ("x = 'open", "cannot be read"),
        ("< 2", "expected a field"),
        ("(" * 60 + "n = 1", "at most 50"),
        ("not " * 5000 + "n = 1", "letters; 10000 are the most"),
    ],
)
def test_what_is_no_condition_is_said_with_its_place(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        where(text)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_an_error_of_one_kind(text):
    with contextlib.suppress(ValueError):
        assert isinstance(where(text), dict)


def test_text_is_never_run():
    assert where("__import__ = 'os.system'") == {"__import__": {"$eq": "os.system"}}
    with pytest.raises(ValueError, match="expected"):
        where("__import__('os').system('true')")


def test_fields_are_checked_where_they_are_known():
    def known(name):
        if name != "n":
            raise ValueError(f"no field {name}")
        return "real"

    assert where("n = 1", known) == {"real": {"$eq": 1}}
    with pytest.raises(ValueError, match="no field m"):
        where("m = 1", known)
