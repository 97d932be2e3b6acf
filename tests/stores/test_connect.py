"""Opening the stores of a campaign from a file or from jobflow's YAML: the same documents under every door."""

from pathlib import Path

import pytest
import yaml
from maggma.core import Store, StoreError
from monty.json import MontyDecoder, jsanitize
from valenceflow.stores.connect import COLLECTIONS, Stores, sqlite_stores, stores_from_yaml
from valenceflow.stores.sqlite import SQLiteStore
from valenceflow.stores.sqlite_file import CollectionError
from valenceflow.stores.store_specs import renamed


def documents(store):
    return [{k: v for k, v in document.items() if k != "last_updated"} for document in store.query({})]


def test_collections_are_apart_and_keep_what_is_put_in(tmp_path):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    for name, (key, _) in COLLECTIONS.items():
        stores.collection(name).update([{key: f"one of {name}"}])
    again = sqlite_stores(tmp_path / "store.sqlite")
    for name, (key, _) in COLLECTIONS.items():
        assert {key: f"one of {name}"} in documents(again.collection(name))
        assert again.collection(name).key == key


def test_a_document_with_the_same_key_is_replaced(tmp_path):
    calculations = sqlite_stores(tmp_path / "store.sqlite").collection("calculations")
    for energy in (-1.0, -2.0):
        calculations.update([{"calculation_id": "a-1", "energy": energy}])
    assert documents(calculations) == [{"calculation_id": "a-1", "energy": -2.0}]


def test_the_same_collection_is_opened_once(tmp_path):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    assert stores.collection("campaigns") is stores.collection("campaigns")
    stores.close()
    assert stores.collection("campaigns").count({}) == 0


def test_jobs_and_data_are_those_of_the_job_store(tmp_path):
    from jobflow import run_locally
    from jobflow.core.job import job

    @job(data="large")
    def add(one, other):
        return {"sum": one + other, "large": list(range(5))}

    stores = sqlite_stores(tmp_path / "store.sqlite")
    run_locally(made := add(1, 2), store=stores.job_store(), log=False)
    assert stores.docs().query_one({"uuid": made.uuid})["output"]["sum"] == 3
    (blob,) = stores.data().query({})
    assert (blob["job_uuid"], blob["data"]) == (made.uuid, [0, 1, 2, 3, 4])


SHORT = {"type": "SQLiteStore", "collection": "jobs"}
LONG = {"@module": "valenceflow.stores.sqlite", "@class": "SQLiteStore", "collection": "jobs"}


@pytest.mark.parametrize("form", [SHORT, LONG], ids=["short form", "monty's form"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["JOB_STORE", "bare"])
def test_jobflow_s_yaml_is_read_in_every_form(form, wrapped, tmp_path):
    spec = {
        "docs_store": {**form, "path": str(tmp_path / "docs.sqlite")},
        "additional_stores": {"data": {**form, "path": str(tmp_path / "data.sqlite"), "collection": "data"}},
    }
    path = tmp_path / "store.yaml"
    path.write_text(yaml.safe_dump({"JOB_STORE": spec} if wrapped else spec))
    stores = stores_from_yaml(path)
    stores.collection("campaigns").update([{"campaign": "a"}])
    assert (tmp_path / "docs.sqlite").exists()
    assert documents(stores_from_yaml(path).collection("campaigns")) == [{"campaign": "a"}]
    assert stores.docs().count({}) == 0


@pytest.mark.parametrize("place", ["docs.sqlite", "~/docs.sqlite", "{folder}/docs.sqlite"])
def test_a_path_in_a_store_file_means_the_same_from_every_folder(place, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    one = f"{{type: SQLiteStore, path: {place.format(folder=tmp_path)}, collection: %s}}"
    (tmp_path / "store.yaml").write_text(f"docs_store: {one % 'jobs'}\nadditional_stores: {{data: {one % 'data'}}}\n")
    (tmp_path / "elsewhere").mkdir()
    for here, path in ((tmp_path, "store.yaml"), (tmp_path / "elsewhere", "../store.yaml")):
        monkeypatch.chdir(here)
        assert stores_from_yaml(Path(path)).docs().path == str(tmp_path / "docs.sqlite")
        assert stores_from_yaml(Path(path)).data().path == str(tmp_path / "docs.sqlite")


def test_a_collection_is_described_as_the_maggma_store_of_it(tmp_path):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    for spec in (stores.docs_spec, stores.data_spec):
        made = MontyDecoder().process_decoded(spec)
        assert isinstance(made, SQLiteStore)
        plain = jsanitize(made.as_dict(), enum_values=True, strict=True)
        assert {field: value for field, value in plain.items() if field != "@version"} == spec


@pytest.mark.parametrize("name", ["jobs", "data", "frames"])
def test_builders_get_maggma_stores_of_the_same_documents(name, tmp_path):
    stores = sqlite_stores(tmp_path / "store.sqlite")
    store = stores.store(name)
    assert isinstance(store, Store)
    assert stores.store(name) is store
    store.update({store.key: "one"})
    collection = {"jobs": stores.docs, "data": stores.data}.get(name, lambda: stores.collection(name))()
    assert not isinstance(collection, Store)
    assert documents(collection) == [{store.key: "one"}]
    stores.close()
    with pytest.raises(StoreError, match="not connected"):
        store.count()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"colour": "red"}, "a SQLiteStore has no field 'colour'; it knows path, collection"),
        ({"path": None}, "a SQLiteStore needs the field path"),
        ({"last_updated_type": "sundial"}, "'sundial' is not a valid DateTimeFormat"),
        ({"collection": "sqlite_master"}, "'sqlite_master' cannot name a table"),
    ],
)
def test_a_wrong_field_of_a_sqlite_store_is_named(field, said, tmp_path):
    spec = {**SHORT, "path": "s.sqlite", **field}
    spec = {name: value for name, value in spec.items() if value is not None}
    path = tmp_path / "store.yaml"
    path.write_text(yaml.safe_dump({"docs_store": spec, "additional_stores": {"data": spec}}))
    with pytest.raises((ValueError, CollectionError), match=said):
        stores_from_yaml(path)


def test_a_mongo_store_gets_our_collection_names():
    """No server is asked: a store connects when it is first used."""
    spec = {"@module": "maggma.stores.mongolike", "@class": "MongoStore", "database": "d", "collection_name": "jobs"}
    assert renamed(spec, "calculations")["collection_name"] == "calculations"
    assert spec["collection_name"] == "jobs"
    assert isinstance(Stores(spec, spec), Stores)


def test_a_store_without_a_collection_name_is_refused():
    with pytest.raises(ValueError, match="a S3Store has no collection name"):
        renamed({"@class": "S3Store", "bucket": "b"}, "calculations")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("docs_store: {type: SQLiteStore, path: a, collection: jobs}", "an additional store named `data`"),
        ("[1, 2]", "top level"),
        ("a: [", "line 1"),
    ],
)
def test_an_unreadable_store_file_is_one_line_with_its_name(content, said, tmp_path):
    path = tmp_path / "store.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=said) as error:
        stores_from_yaml(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
