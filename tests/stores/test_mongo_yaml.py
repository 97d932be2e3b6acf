"""A campaign's stores on MongoDB by YAML alone, and passwords that no message shows.

Where VALENCEFLOW_MONGO_URI is set a real server is used; elsewhere mongomock_ng stands behind maggma's MongoStore.
"""

import os
import uuid

import mongomock_ng
import pymongo
import pytest
from jobflow import Flow, job, run_locally
from maggma.stores import MongoStore, mongolike
from maggma.stores.gridfs import GridFSURIStore
from mongomock_ng.store import ServerStore
from valenceflow.flows.launch import write_store_yaml
from valenceflow.stores.connect import COLLECTIONS, Stores, stores_from_yaml
from valenceflow.stores.migrations import SCHEMA_VERSION
from valenceflow.stores.secrets import database_words, redacted, redacted_spec, secrets_of

MONGO_URI = os.environ.get("VALENCEFLOW_MONGO_URI")


@pytest.fixture(params=["mongomock", "server"])
def yaml_file(request, tmp_path, monkeypatch):
    """A YAML with both stores in a new database, as a user writes it; opened by maggma's MongoStore."""
    database = f"valenceflow_test_{uuid.uuid4().hex[:12]}"
    if request.param == "server":
        if not MONGO_URI:
            pytest.skip("VALENCEFLOW_MONGO_URI is not set")
        where = f"uri: '{MONGO_URI}', database: {database}"
    else:
        server = ServerStore()
        monkeypatch.setattr(mongolike, "MongoClient", lambda *w, **options: mongomock_ng.MongoClient(_store=server))
        where = f"host: db.example.org, port: 27017, database: {database}, username: me, password: s3cret-word"
    path = tmp_path / "store.yaml"
    path.write_text(
        "JOB_STORE:\n"
        f"  docs_store: {{type: MongoStore, {where}, collection_name: results}}\n"
        f"  additional_stores:\n    data: {{type: MongoStore, {where}, collection_name: result_blobs}}\n"
    )
    yield path
    if request.param == "server":
        with pymongo.MongoClient(MONGO_URI) as client:
            client.drop_database(database)


@job(data="frames")
def relax(start):
    return {"energy": start - 1.0, "frames": [float(n) for n in range(50)]}


def test_collections_open_under_other_names_in_the_same_database(yaml_file):
    stores = stores_from_yaml(yaml_file)
    assert {name: stores.collection(name).collection_name for name in COLLECTIONS} == {n: n for n in COLLECTIONS}
    assert (stores.docs().collection_name, stores.data().collection_name) == ("results", "result_blobs")
    assert {stores.collection(name).database for name in COLLECTIONS} == {stores.docs().database}
    assert stores.collection("versions").query_one({})["schema_version"] == SCHEMA_VERSION
    for name, (key, _) in COLLECTIONS.items():
        assert stores.collection(name).key == key
    stores.collection("calculations").update([{"calculation_id": "a", "energy": 1.0}])
    stores.collection("calculations").update([{"calculation_id": "a", "energy": 2.0}])
    assert [c["energy"] for c in stores.collection("calculations").query()] == [2.0]
    assert not stores.has_inbox
    assert stores.for_workers() is stores
    assert (stores.take_in(), stores.waiting()) == (0, 0)
    stores.close()


def test_jobs_and_their_frames_go_there_and_come_back(yaml_file):
    stores = stores_from_yaml(yaml_file)
    job_store = stores.job_store()
    work = relax(2.0)
    run_locally(Flow([work]), store=job_store, log=False, ensure_success=True)
    assert job_store.get_output(work.uuid, load=True)["frames"][-1] == 49.0
    assert stores.docs().query_one({"uuid": work.uuid})["output"]["energy"] == 1.0
    assert stores.data().count({"job_uuid": work.uuid}) == 1
    job_store.close()
    stores.close()


def test_documents_of_a_newer_version_are_refused_there_too(yaml_file):
    stores = stores_from_yaml(yaml_file)
    versions = stores.collection("versions")
    versions.update([{"name": "documents", "schema_version": SCHEMA_VERSION + 1}])
    again = stores_from_yaml(yaml_file)
    with pytest.raises(ValueError, match="upgrade with") as error:
        again.collection("calculations")
    assert "s3cret-word" not in str(error.value)
    again.close()
    stores.close()


def spec(**fields):
    return {"@module": "maggma.stores", "@class": "MongoStore", "collection_name": "jobs", **fields}


SECRET = "pa55-w0rd"


@pytest.mark.parametrize(
    "fields",
    [
        {"uri": f"mongodb://me:{SECRET}@db.example.org:27017/science"},
        {"uri": f"mongodb+srv://me:{SECRET}@db.example.org/science?retryWrites=true"},
        {"database": "science", "host": "db.example.org", "username": "me", "password": SECRET},
        {"database": "science", "ssh_tunnel": {"tunnel_server_address": "gate:22", "password": SECRET}},
        {"database": "science", "mongoclient_kwargs": {"tlsCertificateKeyFilePassword": SECRET}},
        {"endpoint_url": "https://s3.example.org", "aws_secret_access_key": SECRET, "bucket": "frames"},
    ],
    ids=str,
)
def test_no_password_shows_in_a_repr(fields):
    stores = Stores(spec(**fields), spec(**fields))
    for shown in (repr(stores), str(stores), stores.place, f"{redacted_spec(stores.docs_spec)}"):
        assert SECRET not in shown
    assert "db.example.org" in repr(stores) or "science" in repr(stores) or "frames" in repr(stores)
    assert stores.docs_spec == spec(**fields)
    assert SECRET in secrets_of(stores.docs_spec)


@pytest.mark.parametrize("database", ["null", "science"])
@pytest.mark.filterwarnings("ignore:Unclosed MongoClient:ResourceWarning")  # one that its constructor refused
@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:{}@db.example.org/",  # no database: MongoStore parses the URI and refuses it
        "mongodb://me:{}@db.example.org:99999/science",
        "mongodb://me:{}/x@db.example.org/science",
        "mongodb://me:{}@x@db.example.org/science",
        "mongodb://me:{}@db.example.org/science?authMechanism=NONE",
        "mongodb://me:{}:12@db.example.org/science",
        "mongo://me:{}@db.example.org/science",
    ],
)
def test_no_password_shows_when_a_uri_is_refused(uri, database, tmp_path):
    full = uri.format(SECRET)
    path = tmp_path / "store.yaml"
    path.write_text(
        f"docs_store: &d {{type: MongoStore, database: {database}, uri: '{full}', collection_name: jobs, "
        "mongoclient_kwargs: {{serverSelectionTimeoutMS: 200}}}}\n"
        "additional_stores: {data: *d}\n"
    )
    chain, causes = error_of(path), []
    while chain is not None:
        causes.append(str(chain))
        chain = None if chain.__suppress_context__ else chain.__cause__ or chain.__context__
    assert causes
    assert SECRET not in " ".join(causes)
    assert "55-w0" not in " ".join(causes)
    assert "\n" not in causes[0]


def error_of(path):
    """What a person is told who opens these stores."""
    try:
        stores = stores_from_yaml(path)
    except ValueError as error:
        return error
    try:
        stores.collection("calculations")
    except Exception as error:  # pymongo's, or ours
        return error
    finally:
        stores.close()
    return None


def test_an_unreachable_server_is_told_without_the_password(tmp_path):
    options = "mongoclient_kwargs: {serverSelectionTimeoutMS: 200}"
    path = tmp_path / "store.yaml"
    path.write_text(
        f"docs_store: &d {{type: MongoStore, database: x, uri: 'mongodb://me:{SECRET}@127.0.0.1:1/x', "
        f"collection_name: jobs, {options}}}\nadditional_stores: {{data: *d}}\n"
    )
    stores = stores_from_yaml(path)
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1") as error:
        stores.collection("calculations")
    stores.close()
    assert SECRET not in str(error.value)


def test_text_with_several_uris_keeps_hosts_and_loses_passwords():
    text = f"mongodb://a:{SECRET}@h1/x and redis://b:{SECRET}@h2 and http://c@h3 and mongodb://h4:27017/y"
    assert redacted(text) == "mongodb://a:***@h1/x and redis://b:***@h2 and http://c@h3 and mongodb://h4:27017/y"


def test_a_file_with_a_password_is_its_owners_alone(tmp_path):
    specs = spec(database="x", password=SECRET), spec(database="x")
    assert write_store_yaml(tmp_path, Stores(*specs)).stat().st_mode & 0o077 == 0
    assert write_store_yaml(tmp_path, Stores(specs[1], specs[1])).stat().st_mode & 0o044 == 0o044


def test_a_class_that_is_no_mongo_store_cannot_hold_collections(tmp_path):
    assert MongoStore  # the import above is what resolves `type: MongoStore`
    path = tmp_path / "store.yaml"
    path.write_text("docs_store: &d {type: MemoryStore, collection_name: jobs}\nadditional_stores: {data: *d}\n")
    with pytest.raises(ValueError, match="keeps documents in the memory of one process"):
        stores_from_yaml(path)


def test_a_uri_serves_both_stores(tmp_path):
    """maggma.stores names MongoURIStore, and GridFSURIStore not."""
    path, uri = tmp_path / "store.yaml", "mongodb://me:s3cret-word@db.example.org/mine"
    path.write_text(
        f"JOB_STORE:\n  docs_store: {{type: MongoURIStore, uri: '{uri}', collection_name: results}}\n"
        f"  additional_stores:\n    data: {{type: GridFSURIStore, uri: '{uri}', collection_name: blobs}}\n"
    )
    with pytest.warns(FutureWarning, match="has been merged into"):  # of maggma: both go on to work
        data = stores_from_yaml(path).job_store().additional_stores["data"]
    assert isinstance(data, GridFSURIStore)
    assert data.database == "mine"


def test_what_a_driver_says_is_told_without_its_state_and_passwords():
    uri = "mongodb://me:s3cret-word@127.0.0.1:9/?serverSelectionTimeoutMS=20"
    with pytest.raises(pymongo.errors.ServerSelectionTimeoutError) as refused, pymongo.MongoClient(uri) as client:
        client.admin.command("ping")
    assert "Topology" in str(refused.value)
    assert database_words(refused.value) == "127.0.0.1:9: [Errno 111] Connection refused"
    assert database_words("mongodb://me:s3cret-word@host:\n no", ["host"]) == "mongodb://me:***@***: no"
