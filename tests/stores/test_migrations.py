"""Documents of older versions are brought up to date, those of newer ones refused in one line."""

import pytest
from valenceflow.stores.connect import sqlite_stores, stores_from_yaml
from valenceflow.stores.migrations import MIGRATIONS, SCHEMA_VERSION, VERSIONS, bring_up_to_date, document_version
from valenceflow.stores.sqlite import SQLiteStore
from valenceflow.stores.sqlite_file import CollectionError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


def version_in(path):
    with SQLiteStore(path, VERSIONS, key="name") as versions:
        return document_version(versions)


def write_version(path, version):
    with SQLiteStore(path, VERSIONS, key="name") as versions:
        versions.update({"name": "documents", "schema_version": version})


def test_a_new_store_says_the_version_of_its_documents(path):
    stores = sqlite_stores(path)
    stores.collection("campaigns")
    assert version_in(path) == SCHEMA_VERSION
    stores.close()


def test_there_is_a_way_from_every_version_to_the_next():
    assert list(MIGRATIONS) == list(range(SCHEMA_VERSION))


def test_calculations_of_the_days_before_continuations_say_their_runs(path):
    """A real example: the first campaigns were written without `n_runs` and without a version."""
    old = {"calculation_id": "a-1", "steps": {"surrogate relax": {}, "relax": {}}, "latest": True}
    new = {"calculation_id": "b-2", "steps": {"relax": {}}, "latest": False, "n_runs": {"relax": 3}}
    with SQLiteStore(path, "calculations", key="calculation_id") as calculations:
        calculations.update([old, new])
    stores = sqlite_stores(path)
    found = {c["calculation_id"]: c for c in stores.collection("calculations").query()}
    assert found == {"a-1": {**old, "n_runs": {"surrogate relax": 1, "relax": 1}}, "b-2": new}
    assert version_in(path) == SCHEMA_VERSION
    stores.close()


def test_orderings_of_the_days_before_strata_say_theirs(path):
    rows = {"a-1": "sample", "b-1": "reference", "c-1": "end member"}
    with SQLiteStore(path, "calculations", key="calculation_id") as calculations:
        calculations.update([{"calculation_id": name, "stratum": stratum} for name, stratum in rows.items()])
        calculations.update({"calculation_id": "d-1", "stratum": "lowest", "strata": ["lowest", "sample"]})
    write_version(path, 1)
    stores = sqlite_stores(path)
    found = {c["calculation_id"]: c for c in stores.collection("calculations").query()}
    assert {name: found[name]["strata"] for name in rows} == {name: [stratum] for name, stratum in rows.items()}
    assert [name for name in rows if found[name]["in_statistics"]] == ["a-1"]
    assert found["d-1"]["strata"] == ["lowest", "sample"]
    assert version_in(path) == SCHEMA_VERSION
    stores.close()


def test_a_store_of_this_version_is_left_as_it_is(path):
    write_version(path, SCHEMA_VERSION)
    document = {"calculation_id": "a-1", "steps": {}}  # a migration would touch it
    with SQLiteStore(path, "calculations", key="calculation_id") as calculations:
        calculations.update(document)
    stores = sqlite_stores(path)
    assert list(stores.collection("calculations").query()) == [document]
    stores.close()


def test_migrations_run_in_order_from_the_version_that_is_there(path):
    """Two made-up versions: the first step changes nothing, the second renames a field."""
    ran = []

    def nothing(stores):
        ran.append(1)

    def rename(stores):
        ran.append(2)
        campaigns = stores.open("campaigns")
        campaigns.update([{"campaign": c["campaign"], "new": c.get("old", c.get("new"))} for c in campaigns.query()])

    stores = sqlite_stores(path)
    stores.collection("campaigns").update({"campaign": "a", "old": 1})
    known, newest = SCHEMA_VERSION, SCHEMA_VERSION + 2
    assert bring_up_to_date(stores, {0: nothing, known: nothing, known + 1: rename}, version=newest) == known
    assert ran == [1, 2]
    assert list(stores.collection("campaigns").query()) == [{"campaign": "a", "new": 1}]
    assert bring_up_to_date(stores, {}, version=newest) == newest
    stores.close()


def test_a_migration_that_was_cut_off_is_run_again(path):
    stores = sqlite_stores(path)
    stores.collection("campaigns").update({"campaign": "a"})

    def cut_off(opened):
        opened.open("campaigns").update({"campaign": "a", "new": 1})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_up_to_date(stores, {SCHEMA_VERSION: cut_off}, version=SCHEMA_VERSION + 1)
    assert version_in(path) == SCHEMA_VERSION
    stores.close()


@pytest.mark.parametrize("opened", ["docs", "data", "campaigns", "calculations"])
def test_documents_of_a_newer_version_are_refused_in_one_line_whatever_is_opened_first(opened, path):
    write_version(path, SCHEMA_VERSION + 1)
    stores = sqlite_stores(path)
    with pytest.raises(ValueError, match=f"holds documents of version {SCHEMA_VERSION + 1}.*pip install -U") as error:
        stores.collection(opened) if opened in ("campaigns", "calculations") else getattr(stores, opened)()
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert version_in(path) == SCHEMA_VERSION + 1
    stores.close()


def test_a_store_with_a_newer_layout_is_refused_in_one_line_too(path, tmp_path):
    with SQLiteStore(path) as store, store.documents.file.writing() as connection:
        connection.execute("UPDATE valenceflow_store SET value = '99'")
    (tmp_path / "store.yaml").write_text(
        f"docs_store: &d {{type: SQLiteStore, path: {path}, collection: jobs}}\nadditional_stores: {{data: *d}}\n"
    )
    for stores in (sqlite_stores(path), stores_from_yaml(tmp_path / "store.yaml")):
        with pytest.raises(CollectionError, match="has schema version 99, this valenceflow knows up to") as error:
            stores.collection("calculations")
        assert "\n" not in str(error.value)


def test_a_store_that_lost_its_layout_version_says_so(path):
    with SQLiteStore(path) as store, store.documents.file.writing() as connection:
        connection.execute("DELETE FROM valenceflow_store")
    with pytest.raises(CollectionError, match=r"does not say its schema version.*valenceflow rebuild"):
        sqlite_stores(path).docs()
