"""The file under the SQLite store: where it may lie, what is refused, who may write."""

import multiprocessing
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from valenceflow.stores import sqlite_file
from valenceflow.stores.sqlite import SQLiteStore, SQLiteStoreError
from valenceflow.stores.sqlite_file import file_system_type, is_network_file_system

MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
scratch /scratch lustre rw 0 0
/dev/sdb1 /home/local xfs rw 0 0
share /mnt/a\040b cifs rw 0 0
old /over nfs rw 0 0
/dev/sdc1 /over ext4 rw 0 0
sshfs /far fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/tmp/store.sqlite", "ext4", False),
        ("/home/me/store.sqlite", "nfs4", True),
        ("/homes/me/store.sqlite", "ext4", False),
        ("/home/local/store.sqlite", "xfs", False),
        ("/scratch/a/b/store.sqlite", "lustre", True),
        ("/mnt/a b/store.sqlite", "cifs", True),
        ("/over/store.sqlite", "ext4", False),
        ("/far/store.sqlite", "fuse.sshfs", True),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_innermost_mount(path, kind, is_network):
    assert file_system_type(path, MOUNTS) == kind
    assert is_network_file_system(kind) == is_network


def test_a_file_system_that_cannot_be_told_counts_as_local():
    assert file_system_type("/tmp", "") is None
    assert not is_network_file_system(None)


def test_a_link_is_followed_to_the_file_system_it_leads_to(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    mounts = f"/dev/a / ext4 rw 0 0\nserver {os.path.realpath(tmp_path)}/far nfs rw 0 0"
    assert file_system_type(tmp_path / "near" / "store.sqlite", mounts) == "nfs"


def test_a_network_file_system_gets_a_rollback_journal_and_a_warning(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    with SQLiteStore(path) as store:
        assert store.journal_mode == "wal"
        store.update({"uuid": "a"})
    monkeypatch.setattr(sqlite_file, "file_system_type", lambda path: "nfs4")
    store = SQLiteStore(path)
    with pytest.warns(UserWarning, match="lies on nfs4, a network file system"):
        store.connect()
    assert store.journal_mode == "delete"
    store.update({"uuid": "b"})
    assert store.count() == 2
    store.close()
    assert not Path(f"{path}-wal").exists()
    with SQLiteStore(path, journal="wal") as chosen:
        assert chosen.journal_mode == "wal"


def test_every_write_waits_for_the_disk(tmp_path):
    with SQLiteStore(tmp_path / "store.sqlite") as store:
        assert store.documents.file.connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("path", [":memory:", "", "file::memory:?cache=shared"])
def test_a_store_in_memory_is_refused(path):
    with pytest.raises(SQLiteStoreError, match="documents would vanish"):
        SQLiteStore(path)


def test_a_folder_is_refused_as_a_file(tmp_path):
    with pytest.raises(SQLiteStoreError, match=r"is a folder: give a file in it"):
        SQLiteStore(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SQLiteStoreError, match=r"folder .*nowhere does not exist"):
        SQLiteStore(tmp_path / "nowhere" / "store.sqlite").connect()


@pytest.mark.parametrize("name", ["", "sqlite_x", "valenceflow_store", "a\0"])
def test_a_collection_that_cannot_be_a_table_is_refused(tmp_path, name):
    with pytest.raises(SQLiteStoreError, match="cannot name a table"):
        SQLiteStore(tmp_path / "store.sqlite", name)


def test_collections_may_have_any_other_name(tmp_path):
    for name in ("jobs-1", 'a"b', "data sets", "naïve", "select"):
        with SQLiteStore(tmp_path / "store.sqlite", name, indexes=["it's", "a b.c"]) as store:
            store.update({"uuid": name, "it's": 1, "a b": {"c": 2}})
            assert store.count({"uuid": name, "it's": 1, "a b.c": 2}) == 1


def test_collections_that_differ_only_in_case_are_refused(tmp_path):
    with (
        SQLiteStore(tmp_path / "store.sqlite", "jobs"),
        pytest.raises(SQLiteStoreError, match="only in case"),
    ):
        SQLiteStore(tmp_path / "store.sqlite", "Jobs").connect()


def test_indexes_that_differ_only_in_case_are_refused(tmp_path):
    store = SQLiteStore(tmp_path / "store.sqlite", indexes=["state", "State"])
    with pytest.raises(SQLiteStoreError, match="only in case"):
        store.connect()


def test_a_store_of_a_newer_version_is_refused_with_both_versions_and_the_remedy(tmp_path):
    path = tmp_path / "store.sqlite"
    with SQLiteStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("UPDATE valenceflow_store SET value = '7' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    with pytest.raises(SQLiteStoreError, match=r"schema version 7, .* knows up to 1: upgrade with") as caught:
        SQLiteStore(path).connect()
    assert "\n" not in str(caught.value)


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "ase.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE systems (id INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(SQLiteStoreError, match="database of another program"):
        SQLiteStore(path).connect()


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but longer than a header of SQLite would be, or nearly so\n" * 20)
    with pytest.raises(SQLiteStoreError, match="is not a SQLite file"):
        SQLiteStore(path).connect()


def test_a_lock_that_lasts_is_an_error_that_says_how_long(tmp_path):
    path = tmp_path / "store.sqlite"
    with SQLiteStore(path, timeout=0.1) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SQLiteStoreError, match=r"locked by another process for 0\.1 s"):
            store.update({"uuid": "a"})
        assert store.count() == 0
        other.execute("ROLLBACK")
        other.close()
        store.update({"uuid": "a"})
        assert store.count() == 1


def _connect_as_nobody(path: str, answer) -> None:
    os.setgid(65534)
    os.setuid(65534)
    try:
        with SQLiteStore(path) as store:
            store.update({"uuid": "b"})
    except SQLiteStoreError as err:
        answer.send(str(err))
    else:
        answer.send("written")


def _error_of_an_ordinary_user(path: Path) -> str:
    """What connecting and writing says to a user whom permissions bind (root they do not)."""
    if os.geteuid() != 0:
        with pytest.raises(SQLiteStoreError) as caught, SQLiteStore(path) as store:
            store.update({"uuid": "b"})
        return str(caught.value)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_connect_as_nobody, args=(str(path), there))
    process.start()
    there.close()
    answer = here.recv()
    process.join()
    return answer


@pytest.fixture
def open_folder():
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        Path(folder).chmod(0o755)


def test_a_read_only_folder_is_one_clear_error(open_folder):
    open_folder.chmod(0o555)
    assert "cannot be written" in (error := _error_of_an_ordinary_user(open_folder / "store.sqlite"))
    assert "\n" not in error


def test_a_read_only_file_is_one_clear_error(open_folder):
    path = open_folder / "store.sqlite"
    with SQLiteStore(path) as store:
        store.update({"uuid": "a"})
    path.chmod(0o444)
    open_folder.chmod(0o555)
    assert "cannot be written" in (error := _error_of_an_ordinary_user(path))
    assert "\n" not in error


def test_a_read_only_file_in_an_open_folder_is_one_clear_error(open_folder):
    path = open_folder / "store.sqlite"
    with SQLiteStore(path) as store:
        store.update({"uuid": "a"})
    path.chmod(0o444)
    open_folder.chmod(0o777)
    assert "cannot be written" in _error_of_an_ordinary_user(path)
