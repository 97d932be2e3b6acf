"""Documents handed over through an inbox: seen at once, committed by one process, never half, never lost."""

import errno
import multiprocessing
import os
import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from jobflow import Flow, job, run_locally
from valenceflow.stores import sqlite_collection
from valenceflow.stores.connect import sqlite_stores, stores_from_yaml
from valenceflow.stores.inbox import InboxCollection, handed_files, inbox_folder, read_handed, take_in
from valenceflow.stores.inbox_store import InboxStore
from valenceflow.stores.sqlite import SQLiteStore, SQLiteStoreError

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def launcher(tmp_path):
    with SQLiteStore(tmp_path / "store.sqlite", "jobs", journal="delete", indexes=["state"]) as store:
        yield store


@pytest.fixture
def worker(launcher):
    with InboxStore(launcher.path, "jobs") as store:
        yield store


def collect(launcher):
    return take_in(inbox_folder(launcher.path), lambda update: launcher if update.collection == "jobs" else None)


def test_a_worker_writes_nothing_to_the_file(launcher, worker):
    before = Path(launcher.path).read_bytes()
    worker.update([{"uuid": "a"}, {"uuid": "b"}])
    assert worker.count() == 2
    assert launcher.count() == 0
    assert Path(launcher.path).read_bytes() == before
    assert sorted(path.name for path in Path(launcher.path).parent.iterdir()) == ["inbox", "store.sqlite"]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        worker.documents.file.connection.execute("DELETE FROM jobs")


def test_the_launcher_takes_in_what_was_handed_over_and_the_worker_sees_the_same(launcher, worker):
    worker.update({"uuid": "a", "n": 1})
    worker.update({"uuid": "a", "n": 2})
    assert list(worker.query()) == [{"uuid": "a", "n": 2}]
    assert collect(launcher) == 2
    assert list(launcher.query()) == list(worker.query()) == [{"uuid": "a", "n": 2}]
    assert handed_files(inbox_folder(launcher.path)) == []
    assert collect(launcher) == 0


@pytest.mark.parametrize("clocks", [(2_000, 1_000, 500), (1_000, 1_000, 1_000), (4_102_444_800, 1, 2)])
def test_what_was_handed_over_later_counts_whatever_the_clocks_say(clocks, launcher, worker, monkeypatch):
    """Clocks of three machines, or one that is set back."""
    for number, seconds in enumerate(clocks):
        monkeypatch.setattr(time, "time_ns", lambda seconds=seconds: seconds * 10**9)
        worker.update({"uuid": "a", "number": number})
    assert [document["number"] for document in worker.query()] == [len(clocks) - 1]
    collect(launcher)
    assert [document["number"] for document in launcher.query()] == [len(clocks) - 1]


def test_answers_are_those_of_a_store_that_holds_everything(launcher, worker, tmp_path):
    """Random documents, written by either side, some taken in: the worker's view is the union."""
    generator = random.Random(7)
    with SQLiteStore(tmp_path / "all.sqlite", "jobs") as whole:
        for turn in range(60):
            uuid, index = f"u{generator.randint(0, 9)}", generator.randint(1, 2)
            document = {"uuid": uuid, "index": index, "state": generator.choice("abc"), "turn": turn}
            whole.update(document, ["uuid", "index"])
            worker.update(document, ["uuid", "index"])
            if generator.random() < 0.3:
                collect(launcher)
            order = {"turn": generator.choice([1, -1])}
            for criteria in ({}, {"uuid": uuid}, {"state": "a"}, {"turn": {"$gt": turn // 2}, "index": 1}):
                expected = list(whole.query(criteria, ["uuid", "turn"], sort=order, skip=1, limit=5))
                assert list(worker.query(criteria, ["uuid", "turn"], sort=order, skip=1, limit=5)) == expected
                assert worker.count(criteria) == whole.count(criteria)
                assert sorted(worker.distinct("state", criteria)) == sorted(whole.distinct("state", criteria))
                groups = [{h["state"]: len(d) for h, d in s.groupby("state", criteria)} for s in (worker, whole)]
                assert groups[0] == groups[1]


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_launcher_killed_while_taking_in_loses_and_doubles_nothing(where, launcher, worker, monkeypatch):
    """Before: nothing was committed. After: committed, and the files still lie there."""
    worker.update([{"uuid": "a"}, {"uuid": "b"}])

    class KilledError(Exception):
        pass

    def killed(*arguments, **options):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(*((sqlite_collection, "encode") if where == "before" else (Path, "unlink")), killed)
        with pytest.raises(KilledError):
            collect(launcher)
    assert launcher.count() == (0 if where == "before" else 2)
    assert worker.count() == 2
    assert collect(launcher) == 2
    assert sorted(launcher.distinct("uuid")) == ["a", "b"]
    assert launcher.count() == 2


def test_half_written_and_damaged_files_are_never_taken_for_documents(launcher, worker):
    worker.update({"uuid": "a"})
    folder = inbox_folder(launcher.path)
    (good,) = handed_files(folder)
    (folder / "00-x.jobs.json.partial").write_bytes(good.read_bytes()[:20])
    (folder / "01-x.jobs.json").write_bytes(good.read_bytes()[:20])
    with pytest.raises(ValueError, match="is damaged"):
        read_handed(folder / "01-x.jobs.json")
    assert collect(launcher) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["00-x.jobs.json.partial", "01-x.jobs.damaged"]
    assert launcher.distinct("uuid") == ["a"]


def test_an_update_for_another_store_is_left_alone(launcher, worker):
    with SQLiteStore(launcher.path, "a/b: odd"):
        pass
    with InboxStore(launcher.path, "a/b: odd") as odd:
        odd.update({"uuid": "x"})
        assert odd.count() == 1
        assert worker.count() == 0
        assert collect(launcher) == 0
        assert odd.count() == 1


def test_a_document_is_always_seen_while_it_is_being_taken_in(launcher, worker):
    stop = threading.Event()

    def launch():
        while not stop.is_set():
            collect(launcher)

    thread = threading.Thread(target=launch)
    thread.start()
    try:
        for n in range(60):
            worker.update({"uuid": f"u{n}"})
            assert worker.count({"uuid": {"$in": [f"u{m}" for m in range(n + 1)]}}) == n + 1
    finally:
        stop.set()
        thread.join()
    collect(launcher)
    assert launcher.count() == 60


@pytest.mark.parametrize("call", ["fsync", "mkdir"])
def test_an_inbox_that_cannot_be_written_is_one_line_and_leaves_nothing(call, worker, launcher, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "mkdir")), full)
        with pytest.raises(SQLiteStoreError, match=r"takes no document .*No space left on device.*: make room"):
            worker.update({"uuid": "a"})
    folder = inbox_folder(launcher.path)
    assert not folder.exists() or not list(folder.iterdir())
    assert worker.count() == 0


def test_a_worker_makes_no_file_and_no_collection(tmp_path):
    with pytest.raises(SQLiteStoreError, match="does not exist, and who only reads makes none"):
        InboxStore(tmp_path / "store.sqlite").connect()
    with SQLiteStore(tmp_path / "store.sqlite"):
        pass
    with pytest.raises(SQLiteStoreError, match="has no collection 'others'"):
        InboxStore(tmp_path / "store.sqlite", "others").connect()
    assert not inbox_folder(tmp_path / "store.sqlite").exists()


def test_network_file_systems_get_an_inbox_unless_told_otherwise(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    assert not SQLiteStore(path).has_inbox
    assert sqlite_stores(path).for_workers() is not None
    assert not sqlite_stores(path).has_inbox
    monkeypatch.setattr(sqlite_collection, "file_system_type", lambda place: "lustre")
    assert SQLiteStore(path).has_inbox
    assert not SQLiteStore(path, inbox=False).has_inbox
    workers = sqlite_stores(path, journal="delete").for_workers()
    assert [spec["@class"] for spec in (workers.docs_spec, workers.data_spec)] == ["InboxStore", "InboxStore"]
    assert isinstance(workers.docs(), InboxCollection)
    assert isinstance(workers.data(), InboxCollection)
    assert isinstance(workers.job_store().docs_store, InboxStore)


def test_a_yaml_can_ask_for_an_inbox(tmp_path):
    (tmp_path / "store.yaml").write_text(
        f"docs_store: &docs {{type: SQLiteStore, path: {tmp_path}/s.sqlite, collection: out, inbox: true}}\n"
        "additional_stores: {data: {<<: *docs, collection: blobs}}\n"
    )
    stores = stores_from_yaml(tmp_path / "store.yaml")
    assert stores.has_inbox
    workers = stores.for_workers()
    workers.docs().update({"uuid": "a"})
    workers.data().update({"blob_uuid": "b"})
    assert stores.waiting() == 2
    assert stores.take_in() == 2
    assert (stores.docs().count(), stores.data().count()) == (1, 1)
    workers.close()
    stores.close()


@job(data="frames")
def relax(start):
    return {"energy": start - 1.0, "frames": [float(n) for n in range(500)]}


@job
def total(outputs):
    return sum(output["energy"] for output in outputs)


@pytest.mark.parametrize("taking_in", [False, True])
def test_a_flow_resolves_its_references_whether_its_documents_wait_or_are_taken_in(taking_in, tmp_path):
    stores = sqlite_stores(tmp_path / "store.sqlite", journal="delete", inbox=True)
    job_store = stores.for_workers().job_store()
    first = relax(3.0)
    run_locally(Flow([first]), store=job_store, log=False, ensure_success=True)
    if taking_in:
        stores.take_in()
    second = total([first.output])
    run_locally(Flow([second]), store=job_store, log=False, ensure_success=True, allow_external_references=True)
    assert job_store.get_output(second.uuid) == 2.0
    assert job_store.get_output(first.uuid, load=True)["frames"][-1] == 499.0
    stores.take_in()
    with stores.job_store() as launcher:
        assert launcher.get_output(first.uuid, load=True)["frames"][-1] == 499.0
    job_store.close()
    stores.close()


def test_frames_are_stored_before_the_document_that_points_to_them(tmp_path):
    """A process killed between the two leaves a blob nobody uses, and no document without its frames."""
    stores = sqlite_stores(tmp_path / "store.sqlite")
    job_store = stores.job_store()
    with job_store:
        job_store.docs_store.update = refuse
        flow = Flow([relax(1.0)])
        with pytest.raises(RuntimeError, match="killed here"):
            run_locally(flow, store=job_store, log=False, raise_immediately=True)
        assert (job_store.docs_store.count(), job_store.additional_stores["data"].count()) == (0, 1)


def refuse(*arguments, **options):
    raise RuntimeError("killed here")
