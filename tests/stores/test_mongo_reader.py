"""What `status` reads from MongoDB without maggma is what maggma's own store would read."""

import mongomock_ng
import pymongo
import pytest
from maggma.stores import MongoStore, MongoURIStore, mongolike
from mongomock_ng.store import ServerStore
from monty.json import MontyDecoder
from valenceflow.stores.mongo_reader import is_plain_mongo, read_mongo

PLAIN = {"@module": "maggma.stores", "@class": "MongoStore", "collection_name": "queue"}
URI = "mongodb://me:pw@db.example.org/mine"
SPECS = {
    "defaults": {**PLAIN, "database": "mine"},
    "host and port": {**PLAIN, "database": "mine", "host": "db.example.org", "port": 27099},
    "a name": {**PLAIN, "database": "mine", "username": "me", "password": "pw"},
    "a name known elsewhere": {**PLAIN, "database": "mine", "username": "me", "password": "pw", "auth_source": "admin"},
    "options": {**PLAIN, "database": "mine", "mongoclient_kwargs": {"tls": True, "serverSelectionTimeoutMS": 5}},
    "a URI with a database": {**PLAIN, "database": "mine", "uri": URI},
    "the older class": {**PLAIN, "@class": "MongoURIStore", "database": "mine", "uri": URI},
    "a URI that names its database": {**PLAIN, "@class": "MongoURIStore", "uri": URI},
}


@pytest.fixture
def asked(monkeypatch):
    """How clients were made: by position or by name; every one is of the same server."""
    server, made = ServerStore(), []

    def client(*words, **options):
        made.append({**dict(zip(("host", "port"), words, strict=False)), **options})
        return mongomock_ng.MongoClient(*words[:1], _store=server)

    monkeypatch.setattr(pymongo, "MongoClient", client)
    monkeypatch.setattr(mongolike, "MongoClient", client)
    return made


# Users' files name the older class, which maggma deprecates.
@pytest.mark.filterwarnings("ignore:MongoURIStore:FutureWarning")
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_client_is_made_as_maggma_makes_it_and_reads_the_same_documents(asked, spec):
    store = MontyDecoder().process_decoded(dict(spec))
    assert isinstance(store, MongoStore | MongoURIStore)
    store.connect()
    store._collection.insert_many([{"uuid": str(n), "of": {"name": n % 2, "more": "x"}} for n in range(6)])
    properties = ["uuid", "of.name"]
    theirs = [{k: v for k, v in d.items() if k != "_id"} for d in store.query({"of.name": 1}, properties)]
    assert is_plain_mongo(spec)
    ours = list(read_mongo(spec, {"of.name": 1}, properties))
    assert ours == theirs == [{"uuid": str(n), "of": {"name": 1}} for n in (1, 3, 5)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "spec",
    [
        {**SPECS["defaults"], "ssh_tunnel": {"tunnel_server_address": "login.example.org:22"}},
        {**PLAIN, "@class": "MemoryStore"},
        {**PLAIN, "@module": "mine.stores", "database": "mine"},
    ],
)
def test_what_is_reached_in_another_way_is_left_to_maggma(spec):
    assert not is_plain_mongo(spec)


def test_a_uri_whose_password_would_be_shown_in_parts_is_refused(asked):
    spec = {**SPECS["defaults"], "uri": "mongodb://me:p@ss@db.example.org"}
    with pytest.raises(ValueError, match="escape it") as told:
        list(read_mongo(spec, {}, ["uuid"]))
    assert "p@ss" not in str(told.value)
    assert asked == []
