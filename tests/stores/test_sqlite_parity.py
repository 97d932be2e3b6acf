"""The SQLite store against mongomock_ng on random documents: same matches, same order, same fields."""

import json
import pickle
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import mongomock_ng
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from valenceflow.stores import sqlite_query
from valenceflow.stores.sqlite import SQLiteStore
from valenceflow.stores.sqlite_projection import value_at

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.0, -0.0, 0.1, 0.30000000000000004, 1.0, 1.0000000000000002, 5e-324, 1e300, 2.5e-10]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.sampled_from(["", "a", "b", "ab", "é", "z\0", "z", '["a"]', "1", "null", "\U0001f600", '"', "\\u0000"]),
    st.sampled_from([datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 5999), datetime(2030, 5, 5)]),
)
NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=4,
)
DOCUMENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=3), min_size=1, max_size=6)

INDEXES = ["a", "b", "a.b", "b.a.c"]
FIELDS = st.sampled_from(["a", "b", "c", "a.b", "a.c", "b.a.c", "a.0", "a.0.b", "c.a"])
CONDITIONS = st.one_of(
    VALUES,
    st.fixed_dictionaries({}, optional={"$eq": VALUES, "$ne": VALUES}),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), SCALARS)),
    st.fixed_dictionaries({}, optional={op: st.lists(SCALARS, max_size=4) for op in ("$in", "$nin")}),
    st.builds(lambda found: {"$exists": found}, st.booleans()),
    st.builds(lambda value: {"$not": {"$gt": value}}, SCALARS),
    st.builds(lambda low, other: {"$gte": low, "$ne": other}, SCALARS, SCALARS),
    st.builds(lambda n: {"$size": n}, st.integers(0, 2)),
    st.just({"$regex": "^a"}),
    st.builds(lambda value: {"$elemMatch": {"$gt": value}}, st.integers(-2, 2)),
)
CLAUSES = st.dictionaries(FIELDS, CONDITIONS, max_size=2)
FILTERS = st.one_of(
    CLAUSES,
    st.builds(
        lambda word, parts: {word: parts},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(CLAUSES, min_size=1, max_size=3),
    ),
)
CLOSE = [0, 1, 1.0, 1.0000000000000002, 0.9999999999999999, 1.00000000000005, 0.1, 0.10000000000000002, -0.1, 1e300]
EXAMPLES = settings(
    deadline=None,
    # One store serves all examples and is emptied by each of them.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteStore]:
    place = tmp_path_factory.mktemp("parity") / "store.sqlite"
    with pytest.MonkeyPatch.context() as patch, SQLiteStore(place, key="n", indexes=INDEXES) as store:
        patch.setattr(sqlite_query, "_PAGE", 1)  # so that the few documents here are more than one page
        # The tests ask for meaning, not for durability: hundreds of examples need not wait for the disk.
        store.documents.file.connection.execute("PRAGMA synchronous = OFF")
        yield store


def both(store: SQLiteStore, documents: list[dict[str, Any]]) -> Any:
    """Fill the store and a mongomock_ng collection with the same numbered documents."""
    numbered = [{**document, "n": n} for n, document in enumerate(documents)]
    store.remove_docs({})
    store.update(numbered)
    collection = mongomock_ng.MongoClient().db.documents
    # A copy: Python takes a NaN within an array for equal if it is the very same object as the filter's.
    collection.insert_many(pickle.loads(pickle.dumps(numbered)))
    return collection


def expected(collection: Any, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    try:
        found = list(collection.find(*args, **kwargs))
    except Exception as err:
        # mongomock_ng stumbles over some filters, on documents that an index spares this store.
        assume(not isinstance(err, Exception))
        raise
    return [{field: value for field, value in document.items() if field != "_id"} for document in found]


def text(documents: Any) -> list[str]:
    """Documents as text: NaN equals NaN there, and 1 is neither 1.0 nor True."""
    return [json.dumps(document, sort_keys=True, default=str) for document in documents]


@EXAMPLES
@given(DOCUMENTS, FILTERS)
def test_a_filter_finds_what_mongomock_finds(store, documents, criteria):
    reference = expected(both(store, documents), criteria)
    assert text(store.query(criteria)) == text(reference)
    assert store.count(criteria) == len(reference)


@EXAMPLES
@given(DOCUMENTS, FILTERS)
def test_removal_takes_what_the_filter_finds(store, documents, criteria):
    collection = both(store, documents)
    found = {document["n"] for document in expected(collection, criteria)}
    store.remove_docs(criteria)
    assert [document["n"] for document in store.query()] == [n for n in range(len(documents)) if n not in found]


@EXAMPLES
@given(
    DOCUMENTS,
    CLAUSES,
    st.dictionaries(FIELDS, st.sampled_from([1, -1]), min_size=1, max_size=2),
    st.integers(0, 2),
    st.integers(0, 3),
)
def test_sorting_skipping_and_limiting_are_those_of_mongomock(store, documents, criteria, sort, skip, limit):
    collection = both(store, documents)
    reference = expected(collection, criteria, sort=list(sort.items()), skip=skip, limit=limit)
    assert text(store.query(criteria, sort=sort, skip=skip, limit=limit)) == text(reference)


@EXAMPLES
@given(
    st.lists(st.fixed_dictionaries({"a": st.sampled_from(CLOSE), "b": st.sampled_from(["x", "y"])}), max_size=9),
    st.sampled_from([{"a": 1}, {"a": -1}, {"b": 1, "a": -1}, {"b": -1, "a": 1}]),
    st.integers(0, 4),
)
def test_numbers_that_differ_in_their_last_digit_alone_are_sorted(store, documents, sort, limit):
    collection = both(store, [*documents, {"b": "y"}])
    reference = expected(collection, {"b": "y"}, sort=list(sort.items()), limit=limit)
    assert text(store.query({"b": "y"}, sort=sort, limit=limit)) == text(reference)


@EXAMPLES
@given(
    DOCUMENTS,
    CLAUSES,
    st.lists(FIELDS, min_size=1, max_size=3),
    st.dictionaries(FIELDS, st.sampled_from([1, -1]), max_size=2),
    st.integers(0, 3),
)
def test_values_are_those_of_the_documents(store, documents, criteria, fields, sort, limit):
    collection = both(store, documents)
    options = {"sort": list(sort.items())} if sort else {}
    reference = expected(collection, criteria, limit=limit, **options)
    wanted = [{"found": [value_at(document, field) for field in fields]} for document in reference]
    found = [{"found": values} for values in store.documents.values(criteria, fields, sort, limit)]
    assert text(found) == text(wanted)


@EXAMPLES
@given(DOCUMENTS, CLAUSES, st.lists(FIELDS, min_size=1, max_size=3, unique=True))
def test_a_projection_keeps_the_fields_mongomock_keeps(store, documents, criteria, fields):
    collection = both(store, documents)
    reference = expected(collection, criteria, dict.fromkeys(fields, 1))
    assert text(store.query(criteria, fields)) == text(reference)


@EXAMPLES
@given(DOCUMENTS, st.lists(NAMES, min_size=1, max_size=2, unique=True))
def test_a_projection_leaves_out_the_fields_mongomock_leaves_out(store, documents, fields):
    chosen = dict.fromkeys(fields, 0)
    reference = expected(both(store, documents), {}, dict(chosen))
    assert text(store.query({}, chosen)) == text(reference)


@EXAMPLES
@given(DOCUMENTS, FIELDS)
def test_distinct_values_are_those_of_mongomock(store, documents, field):
    collection = both(store, documents)
    try:
        reference = collection.distinct(field)
    except Exception as err:
        assume(not isinstance(err, Exception))  # it cannot hash arrays within arrays
        raise
    assert comparable(store.distinct(field)) == comparable(reference)


def comparable(values: list[Any]) -> set[str]:
    """Values as mongomock_ng's Python sets know them: 1, 1.0 and True are one there."""
    names = (repr(value).replace("True", "1").replace("False", "0").replace("-0.0", "0") for value in values)
    return {name.replace(".0", "") for name in names}


@EXAMPLES
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_a_document_comes_back_as_it_went_in(store, document):
    assume("_id" not in document and not any(name.startswith("$vf:") for name in document))
    store.remove_docs({})
    store.update({**document, "n": 0})
    (found,) = store.query()
    trimmed = json.dumps({**document, "n": 0}, sort_keys=True, default=_in_milliseconds)
    assert json.dumps(found, sort_keys=True, default=_in_milliseconds) == trimmed


def _in_milliseconds(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds")
