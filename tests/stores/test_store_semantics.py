"""What maggma's stores promise (its own store tests' expectations), held by our stores and by maggma's alike.

The same tests run on MemoryStore and on MongoStore (mongomock_ng behind it), the second implementations, and on a real
MongoDB where VALENCEFLOW_MONGO_URI is set.
"""

import os
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta

import mongomock_ng
import pytest
from maggma.core import Sort, StoreError
from maggma.stores import MemoryStore, MongoStore
from monty.json import MontyDecoder
from valenceflow.stores.inbox import inbox_folder, take_in
from valenceflow.stores.inbox_store import InboxStore
from valenceflow.stores.sqlite import SQLiteStore

MONGO_URI = os.environ.get("VALENCEFLOW_MONGO_URI")
# maggma asks mongomock_ng for what only a server can do.
pytestmark = pytest.mark.filterwarnings("ignore:'allowDiskUse' is accepted by aggregate:UserWarning")

KINDS = ["sqlite", "sqlite, rollback journal", "inbox", "half taken in", "memory", "mongo on mongomock", "mongo"]
OURS = KINDS[:4]


class HalfTakenIn(InboxStore):
    """An inbox of which every second update is taken in at once."""

    turn = 0

    def update(self, docs, key=None):
        super().update(docs, key)
        self.turn += 1
        if self.turn % 2:
            with SQLiteStore(self.path, self.collection, key=self.key, journal="delete") as launcher:
                take_in(inbox_folder(self.path), lambda update: launcher)


@pytest.fixture
def make(tmp_path, request):
    """Function that makes a connected, empty store of a kind."""
    databases = []

    def store(kind, collection="tests", **options):
        options = {"key": "task_id", **options}
        path = tmp_path / f"{kind.replace(' ', '-')}.sqlite"
        if kind.startswith("sqlite"):
            made = SQLiteStore(path, collection, journal="delete" if "rollback" in kind else "wal", **options)
        elif kind in ("inbox", "half taken in"):
            with SQLiteStore(path, collection, journal="delete", **options):
                pass  # the launcher's part
            made = (InboxStore if kind == "inbox" else HalfTakenIn)(path, collection, **options)
        elif kind == "memory":
            made = MemoryStore(collection, **options)
        elif kind == "mongo on mongomock":
            made = MongoStore("tests", collection, **options)
            made._coll = mongomock_ng.MongoClient().tests[collection]
            return made
        else:
            if not MONGO_URI:
                pytest.skip("VALENCEFLOW_MONGO_URI is not set")
            database = f"valenceflow_test_{uuid.uuid4().hex[:12]}"
            made = MongoStore(database, collection, uri=MONGO_URI, **options)
            databases.append(made)
        made.connect()
        return made

    yield store
    for left in databases:
        left.connect()
        left._collection.database.client.drop_database(left.database)
        left.close()


@pytest.fixture(params=KINDS)
def store(request, make):
    return make(request.param)


@contextmanager
def refusing():
    """An error of any kind: the stores' own, pymongo's or mongomock's."""
    with pytest.raises(Exception):  # noqa: B017, PT011
        yield


def plain(documents):
    """Documents without MongoDB's _id."""
    return [{k: v for k, v in document.items() if k != "_id"} for document in documents]


def values(documents, field="task_id"):
    return [document[field] for document in documents]


def test_a_store_counts_what_it_holds_and_what_a_filter_finds(store):
    assert store.count() == 0
    store.update([{"task_id": n, "even": n % 2 == 0} for n in range(5)])
    assert (store.count(), store.count({}), store.count({"even": True})) == (5, 5, 3)


def test_a_query_gives_documents_and_query_one_the_first_or_none(store):
    assert store.query_one() is None
    store.update([{"task_id": 1, "tag": "a", "deep": {"x": 1}}, {"task_id": 2, "tag": "b"}])
    assert plain(store.query({"tag": "a"})) == [{"task_id": 1, "tag": "a", "deep": {"x": 1}}]
    assert store.query_one({"tag": "c"}) is None
    assert store.query_one({"deep.x": 1})["task_id"] == 1
    assert plain([store.query_one({"task_id": 1}, properties=["deep.x"])]) == [{"deep": {"x": 1}}]
    assert plain([store.query_one({"task_id": 1}, properties={"deep": 0})]) == [{"task_id": 1, "tag": "a"}]


def test_queries_sort_skip_and_limit(store):
    store.update([{"task_id": n, "group": n % 2} for n in (3, 1, 4, 5, 2)])
    assert values(store.query(sort={"task_id": Sort.Ascending})) == [1, 2, 3, 4, 5]
    assert values(store.query(sort={"task_id": -1}, skip=1, limit=2)) == [4, 3]
    assert values(store.query(sort={"group": 1, "task_id": -1})) == [4, 2, 5, 3, 1]
    assert len(list(store.query(limit=3))) == 3
    assert values(store.query({"group": 1}, sort={"task_id": 1}, skip=2)) == [5]


def test_an_update_inserts_and_replaces_whole_documents(store):
    store.update({"task_id": 1, "a": 1})
    store.update([{"task_id": 1, "b": 2}])
    assert plain(store.query()) == [{"task_id": 1, "b": 2}]


@pytest.mark.parametrize("key", [["task_id", "index"], "index"])
def test_other_fields_may_identify_a_document(key, store):
    store.update([{"task_id": 1, "index": n, "x": 0} for n in (1, 2)], key="index")
    store.update({"task_id": 1, "index": 2, "x": 1}, key=key)
    assert [(d["index"], d["x"]) for d in store.query(sort={"index": 1})] == [(1, 0), (2, 1)]


def test_a_document_without_its_key_is_refused(store):
    with refusing():
        store.update({"other": 1})
    assert store.count() == 0


def test_distinct_values_are_found_in_documents_objects_and_arrays(store):
    rows = [("a", 1, ["x"]), ("b", 2, ["x", "y"]), ("a", 2, [])]
    store.update([{"task_id": n, "s": s, "deep": {"n": d}, "tags": t} for n, (s, d, t) in enumerate(rows)])
    assert sorted(store.distinct("s")) == ["a", "b"]
    assert sorted(store.distinct("deep.n")) == [1, 2]
    assert sorted(store.distinct("tags")) == ["x", "y"]
    assert sorted(store.distinct("task_id", {"s": "a"})) == [0, 2]
    assert store.distinct("missing") == []


def test_groups_hold_their_keys_and_documents(store):
    rows = [(1, "a"), (2, "b"), (1, "a"), (1, "b")]
    store.update([{"task_id": n, "at": {"x": x}, "tag": tag} for n, (x, tag) in enumerate(rows)])
    found = store.groupby(["at.x", "tag"], properties=["task_id"])  # without, MemoryStore gives the keys alone
    groups = {(head["at"]["x"], head["tag"]): sorted(values(docs)) for head, docs in found}
    assert groups == {(1, "a"): [0, 2], (2, "b"): [1], (1, "b"): [3]}
    by_tag = {head["tag"]: len(docs) for head, docs in store.groupby("tag", {"at.x": 1}, properties=["task_id"])}
    assert by_tag == {"a": 2, "b": 1}


def test_documents_are_removed_by_a_filter(request, store):
    store.update([{"task_id": n, "even": n % 2 == 0} for n in range(4)])
    if isinstance(store, InboxStore):
        with pytest.raises(StoreError, match="removes no documents"):
            store.remove_docs({"even": True})
        return
    store.remove_docs({"even": True})
    assert sorted(values(store.query())) == [1, 3]
    store.remove_docs({})
    assert store.count() == 0


def test_an_index_can_be_asked_for_twice(store):
    store.update({"task_id": 1, "a": 1})
    if not isinstance(store, InboxStore):
        assert store.ensure_index("a")
    assert store.ensure_index("task_id")
    assert store.count({"a": 1}) == 1


def test_the_last_update_is_the_newest_date(store):
    assert store.last_updated == datetime.min
    begin = datetime(2026, 1, 1)
    store.update([{"task_id": n, store.last_updated_field: begin + timedelta(days=n)} for n in range(3)])
    assert store.last_updated == begin + timedelta(days=2)


def test_documents_without_a_date_have_no_last_update(store):
    store.update({"task_id": 1})
    with pytest.raises(StoreError, match="No field 'last_updated'"):
        _ = store.last_updated
    store.update({"task_id": 1, "last_updated": None})
    assert store.last_updated == datetime.min


@pytest.mark.parametrize("iso", [False, True])
@pytest.mark.parametrize("exhaustive", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_newer_in_another_store_is_found(kind, exhaustive, iso, make):
    def date(day):
        moment = datetime(2026, 1, day)
        return moment.isoformat() if iso else moment

    options = {"last_updated_type": "isoformat" if iso else "datetime"}
    old, new = make(kind, "old", **options), make(kind, "new", **options)
    old.update([{"task_id": n, "last_updated": date(5)} for n in (1, 2)])
    new.update([{"task_id": 1, "last_updated": date(5)}, {"task_id": 2, "last_updated": date(7)}])
    new.update([{"task_id": 3, "last_updated": date(6)}, {"task_id": 4, "last_updated": date(1)}])
    newer = [2, 3, 4] if exhaustive else [2, 3]
    assert sorted(old.newer_in(new, exhaustive=exhaustive)) == newer
    assert sorted(old.newer_in(new, exhaustive=exhaustive, criteria={"task_id": {"$lt": 4}})) in ([2, 3], newer)
    assert new.newer_in(old, exhaustive=exhaustive) == []


@pytest.mark.parametrize("kind", OURS)
def test_a_store_is_a_context_manager_and_opens_again_with_what_it_held(kind, make):
    store = make(kind)
    with store as entered:
        assert entered is None or entered is store  # maggma 0.77 gives nothing
        store.update({"task_id": 1})
    with pytest.raises(StoreError, match="not connected"):
        store.count()
    with store:
        assert store.count() == 1
    store.connect()
    store.connect(force_reset=True)
    assert store.count() == 1


def test_stores_are_equal_if_they_are_the_same_collection(request, make):
    for kind in KINDS[:6]:
        one, same, other = make(kind, "a"), make(kind, "a"), make(kind, "b")
        assert one == same
        assert one != other
        assert one != "a"
        assert hash(one) == hash(same)


@pytest.mark.parametrize("kind", ["sqlite", "inbox", "memory", "mongo on mongomock"])
def test_a_store_comes_back_from_its_dictionary(kind, make):
    store = make(kind)
    again = MontyDecoder().process_decoded(store.as_dict())
    assert type(again) is type(store)
    assert again == store
    assert again.key == "task_id"


def test_dates_null_and_nested_values_come_back(store):
    document = {"task_id": 1, "when": datetime(2026, 1, 2, 3, 4, 5, 678000), "none": None, "deep": [{"a": [1, 2.5]}]}
    store.update(document)
    assert plain(store.query()) == [document]
    assert store.count({"when": {"$gt": datetime(2026, 1, 1)}}) == 1
    assert store.count({"none": None}) == 1
    assert store.count({"deep.a": 2.5}) == 1
