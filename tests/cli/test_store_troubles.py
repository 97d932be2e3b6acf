"""A store of another campaign, gone, read-only, or on a full disk: one line each, nothing overwritten."""

import importlib.util
import json
import os
import random
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.runner import make_folder, plan, prepare, reach_store
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.inbox_store import InboxStore
from valenceflow.stores.sqlite import SQLiteStore, SQLiteStoreError
from valenceflow.stores.sqlite_file import CollectionError

SPRINGS = ("--engine", "rehearsal:springs")
KILLS = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.fixture
def started(write_campaign):
    """Function that starts a campaign without running anything."""

    def start(folder, **changes):
        folder.mkdir(exist_ok=True)
        path = write_campaign(folder, **changes)
        campaign = read_campaign(path)
        make_folder(campaign.folder)
        prepared = prepare(campaign, "rehearsal:springs", plan(campaign, "rehearsal:springs"))
        prepared.stores.close()
        return path, campaign.folder

    return start


@pytest.fixture
def mounted(tmp_path):
    """Function that mounts a small file system in memory, and mounts it again with other options."""
    place = tmp_path / "mounted"

    def mount(options):
        again = "remount," if place.exists() else ""
        place.mkdir(exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a file system in memory needs root")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fingerprint(folder):
    """Contents of every file; who looks may take the lock, and SQLite makes a -wal and a -shm for readers too."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm", "lock"))}


def test_a_store_of_another_campaign_is_refused_and_left_as_it_is(tmp_path, started, refused):
    path, folder = started(tmp_path / "one")
    _, other = started(tmp_path / "two", name="other")
    for file in folder.glob("store.sqlite*"):
        file.unlink()
    shutil.copyfile(other / "store.sqlite", folder / "store.sqlite")
    before = fingerprint(folder)
    for command in (("run", *SPRINGS), ("retry", *SPRINGS), ("rebuild",), ("status",), ("query",)):
        said = refused(command[0], path, *command[1:])
        assert "store.sqlite holds campaign other, not small: put it back" in said
    assert fingerprint(folder) == before


def test_doctor_tells_of_a_store_of_another_campaign(tmp_path, started, call):
    path, folder = started(tmp_path / "one")
    _, other = started(tmp_path / "two", name="other")
    shutil.copyfile(other / "store.sqlite", folder / "store.sqlite")
    (check,) = (c for c in json.loads(call("doctor", path, "--json").out) if c["name"] == "store")
    assert not check["ok"]
    assert "holds campaign other, not small" in check["found"]
    assert "valenceflow rebuild" in check["remedy"]


def test_a_store_in_the_campaigns_own_folder_waits_for_the_folder_and_one_elsewhere_does_not(tmp_path, write_campaign):
    for name, folder in (("own.yaml", "small"), ("elsewhere.yaml", "gone")):
        (tmp_path / name).write_text(
            f"docs_store: &d {{type: SQLiteStore, path: {folder}/store.sqlite, collection: jobs}}\n"
            "additional_stores: {data: {<<: *d, collection: data, indexes: [job_uuid]}}\n"
        )
    reach_store(read_campaign(write_campaign(tmp_path, store="own.yaml")))
    with pytest.raises(CollectionError, match="gone does not exist"):
        reach_store(read_campaign(write_campaign(tmp_path, store="elsewhere.yaml")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign.yaml", "elsewhere.yaml", "own.yaml"]


def test_a_lost_store_is_not_silently_begun_anew(tmp_path, started, refused, call):
    path, folder = started(tmp_path / "one")
    (folder / "runs" / "x").mkdir(parents=True)
    for file in folder.glob("store.sqlite*"):
        file.unlink()
    before = fingerprint(folder)
    for command in (("run", *SPRINGS), ("status",), ("query",)):
        said = refused(command[0], path, *command[1:])
        assert "store.sqlite is gone" in said
        assert "valenceflow rebuild" in said
    assert fingerprint(folder) == before
    assert "added: 12 configurations" in call("rebuild", path).out
    assert call("status", path).code == 0


def _database_without_a_table(path):
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE a (b); DROP TABLE a; VACUUM")
    connection.close()


@pytest.mark.parametrize("make", [Path.touch, _database_without_a_table], ids=["no byte", "no table"])
def test_who_only_looks_makes_no_store(tmp_path, write_campaign, refused, make):
    path = tmp_path / "empty.sqlite"
    make(path)
    before = path.read_bytes()
    looking = (
        ("hull", path), ("figures", path, "--to", tmp_path / "f"), ("query", "--store", path),
        ("report", "--store", path), ("status", "--store", path), ("build", "--store", path),
    )  # fmt: skip
    for command in looking:
        assert f"{path} is empty, so there is no store; `valenceflow run" in refused(*command)
    assert path.read_bytes() == before
    folder = tmp_path / "small"
    folder.mkdir()
    make(folder / "store.sqlite")
    assert "has not been started" in refused("status", write_campaign(tmp_path))
    (folder / "manifest.json").touch()
    assert "store.sqlite is empty: `valenceflow rebuild" in refused("status", tmp_path / "campaign.yaml")
    assert (folder / "store.sqlite").read_bytes() == before


def test_who_only_looks_makes_no_store_that_a_yaml_names(tmp_path, write_campaign, refused):
    docs = "docs_store: {type: SQLiteStore, path: s.sqlite, collection: jobs}\n"
    data = "additional_stores: {data: {type: SQLiteStore, path: s.sqlite, collection: data, key: blob_uuid}}\n"
    (tmp_path / "own.yaml").write_text(docs + data)
    assert "s.sqlite is gone, so there is no store" in refused("query", "--store", tmp_path / "own.yaml")
    assert "has not been started" in refused("status", write_campaign(tmp_path, store="own.yaml"))
    assert not (tmp_path / "s.sqlite").exists()


def test_a_read_only_store_is_one_line(mounted, started, refused):
    place = mounted("size=8m")
    path, folder = started(place)
    before = fingerprint(folder)
    mounted("ro,size=8m")
    for command in (("run", *SPRINGS), ("status",), ("query",), ("rebuild",)):
        said = refused(command[0], path, *command[1:])
        assert "cannot be written" in said or "Read-only file system" in said
    assert fingerprint(folder) == before


def test_a_file_that_only_others_may_write_is_one_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    with SQLiteStore(tmp_path / "store.sqlite") as store:
        store.update({"uuid": "a"})
    (tmp_path / "store.sqlite").chmod(0o444)
    with pytest.raises(SQLiteStoreError, match="cannot be written"):
        SQLiteStore(tmp_path / "store.sqlite").connect()


@pytest.mark.parametrize("way", ["wal", "delete", "inbox"])
def test_a_full_disk_keeps_what_was_acknowledged_and_goes_on_when_there_is_room(way, mounted):
    place = mounted("size=1500k")
    launcher = SQLiteStore(place / "store.sqlite", journal="wal" if way == "wal" else "delete")
    launcher.connect()
    store = InboxStore(launcher.path) if way == "inbox" else launcher
    store.connect()
    written = 0
    said = None
    while said is None:
        try:
            store.update({"uuid": f"u{written}", "text": "x" * 40_000})
            written += 1
        except SQLiteStoreError as error:
            said = str(error)
    assert "the disk is full; make room" in said or "takes no document (No space left on device): make room" in said
    assert "\n" not in said
    assert written > 5
    assert store.count() == written
    mounted("size=30m")
    store.update({"uuid": "after"})
    assert store.count() == written + 1
    assert launcher.damage() == []
    store.close()
    launcher.close()


@pytest.mark.slow
def test_a_campaign_on_a_full_disk_stops_with_one_line_and_goes_on_when_there_is_room(
    mounted, write_campaign, shell, call
):
    place = mounted("size=700k")
    full = {"Na": {"fraction": 1, "orderings": {"all": True}}}
    path = write_campaign(place, working_ion=full, end_members=False)
    answer = shell("run", path, *SPRINGS)
    assert answer.code != 0
    assert answer.err.count("\n") <= 1, answer.err
    assert "Traceback" not in answer.out + answer.err
    assert "No space left" in answer.out + answer.err or "disk" in answer.out + answer.err
    mounted("size=60m")
    call("retry", path, *SPRINGS)
    again = shell("run", path, *SPRINGS)
    assert again.code == 0, again
    assert "1 of 1 configuration done: 1 as meant" in again.out
    checks = json.loads(call("doctor", path, "--json").out)
    assert all(c["ok"] for c in checks if c["name"] in ("store", "integrity")), checks


@pytest.mark.slow
def test_with_an_inbox_kills_of_launcher_worker_and_vasp_lose_and_repeat_nothing(tmp_path, write_campaign):
    specification = importlib.util.spec_from_file_location("kills", KILLS)
    kills = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(kills)
    (tmp_path / "inbox.yaml").write_text(
        f"docs_store: &d {{type: SQLiteStore, path: {tmp_path}/kills/store.sqlite, collection: jobs, "
        "journal: delete, inbox: true}\nadditional_stores: {data: {<<: *d, collection: data, indexes: [job_uuid]}}\n"
    )
    campaign = write_campaign(
        tmp_path,
        name="kills",
        working_ion={"Na": {"fraction": "1/2", "orderings": {"sample": 1}}},
        charge={"sample": 2},
        end_members=False,
        launch={"workers": 2},
        store="inbox.yaml",
    )
    killed = kills.kill_at_random(campaign, 2, random.Random(4))
    kills.finish(campaign)
    counts = kills.check(campaign)
    assert sum(killed.values()) >= 1
    assert counts.pop("configurations") == 2
    assert set(counts.values()) == {0}, (counts, killed)
    assert (tmp_path / "kills" / "store-workers.yaml").exists()
    assert list((tmp_path / "kills" / "inbox").iterdir()) == []
    stores = sqlite_stores(tmp_path / "kills" / "store.sqlite")
    with stores.job_store() as job_store:
        for uuid in job_store.distinct("uuid"):
            for output in job_store.get_output(uuid, which="all", load=True):
                assert output["document"] == "FailureDoc" or output["frames"]["energies"]
    stores.close()
