"""What is answered without mongomock_ng is answered as it would be."""

from hypothesis import given
from hypothesis import strategies as st
from mongomock_ng.filtering import resolve_sort_key
from valenceflow.stores.sqlite_mongo import sort_keys, sort_value

KINDS = (st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.floats(), st.text("ab", max_size=2))
SCALARS = st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind | st.none(), max_size=6)) | st.lists(
    st.one_of(*KINDS), max_size=6
)
DEEPER = st.lists(st.one_of(*KINDS, st.lists(st.integers(0, 2), max_size=2), st.just({"b": 1})), max_size=6)


def ranks(keys):
    """For each key the number of keys below it."""
    return [sum(other < key for other in keys) for key in keys]


@given(SCALARS | DEEPER, st.booleans())
def test_documents_are_sorted_as_mongomock_sorts_them(values, is_nested):
    documents = [{"a": {"b": value}} if is_nested else {"a.b": value, "a": [{"b": value}]} for value in values]
    documents += [{}, {"a": 1}]
    found = sort_keys([sort_value("a.b", document) for document in documents])
    assert ranks(found) == ranks([resolve_sort_key("a.b", document) for document in documents])
