"""Several processes on one SQLite store: killed writers, four at once, forks, and jobflow."""

import multiprocessing
import os
import signal
import threading

import pytest
from jobflow import Flow, JobStore, job, run_locally
from monty.serialization import dumpfn
from valenceflow.stores.sqlite import SQLiteStore

FORK = multiprocessing.get_context("fork")

# jobflow's run_locally changes folders with monty's cd, which warns that it will go in 2028.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


def _write_until_killed(path, acknowledged):
    with SQLiteStore(path) as store:
        for n in range(100_000):
            store.update({"uuid": f"u{n}", "forces": [[0.1, 0.2, 0.3]] * 200})
            acknowledged.send(n)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_every_acknowledged_document_survives_a_killed_writer(tmp_path, journal):
    path = tmp_path / "store.sqlite"
    with SQLiteStore(path, journal=journal):
        pass
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_write_until_killed, args=(path, there))
    process.start()
    there.close()
    written = [here.recv() for _ in range(40)]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    try:
        while True:
            written.append(here.recv())
    except EOFError:
        pass  # all that was acknowledged before the kill has been read
    with SQLiteStore(path, journal=journal) as store:
        assert set(store.distinct("uuid")) >= {f"u{n}" for n in written}
        assert store.documents.file.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _write_batches(path, writer):
    with SQLiteStore(path, indexes=["writer"]) as store:
        for batch in range(10):
            store.update([{"uuid": f"{writer}-{batch}-{n}", "writer": writer} for n in range(10)])
            store.update({"uuid": "shared", "writer": writer})


def test_four_writers_on_a_new_file_and_a_reader_lose_nothing(tmp_path):
    path = tmp_path / "store.sqlite"
    processes = [FORK.Process(target=_write_batches, args=(path, writer)) for writer in range(4)]
    for process in processes:
        process.start()
    with SQLiteStore(path) as reader:
        while any(process.is_alive() for process in processes):
            for writer in range(4):
                # Batches are seen whole or not at all.
                assert reader.count({"writer": writer, "uuid": {"$ne": "shared"}}) % 10 == 0
        assert [process.exitcode for process in processes] == [0] * 4
        assert reader.count() == 401
        assert len(reader.distinct("uuid")) == 401


def _write_with(store, uuid):
    store.update({"uuid": uuid})
    store.close()


def test_a_connected_store_can_be_used_on_both_sides_of_a_fork(tmp_path):
    with SQLiteStore(tmp_path / "store.sqlite") as store:
        store.update({"uuid": "before"})
        child = FORK.Process(target=_write_with, args=(store, "child"))
        child.start()
        store.update({"uuid": "parent"})
        child.join()
        assert child.exitcode == 0
        assert set(store.distinct("uuid")) == {"before", "parent", "child"}


def test_a_store_is_closed_for_all_threads_at_once(tmp_path):
    store = SQLiteStore(tmp_path / "store.sqlite")
    store.connect()
    thread = threading.Thread(target=store.update, args=({"uuid": "a"},))
    thread.start()
    thread.join()
    assert len(store.documents.file._connections) == 2
    store.close()
    assert not store.documents.file._connections
    assert not (tmp_path / "store.sqlite-wal").exists()


@job(data="trajectory")
def relax(start):
    return {"energy": start - 1.0, "trajectory": [float(n) for n in range(500)]}


@job
def total(outputs):
    return sum(output["energy"] for output in outputs)


@pytest.fixture
def job_store(tmp_path):
    path = tmp_path / "store.sqlite"
    docs = SQLiteStore(path)
    return JobStore(docs, additional_stores={"data": SQLiteStore(path, "data", indexes=["job_uuid"])})


def test_a_jobflow_flow_runs_on_it_and_its_results_are_there_afterwards(job_store):
    relaxations = [relax(float(n)) for n in range(3)]
    summary = total([relaxation.output for relaxation in relaxations])
    run_locally(Flow([*relaxations, summary]), store=job_store, log=False, ensure_success=True)
    job_store.close()

    again = JobStore.from_dict(job_store.as_dict())
    again.connect()
    uuid = relaxations[1].uuid
    assert again.get_output(summary.uuid) == 0.0
    assert again.get_output(uuid, load=True)["trajectory"][-1] == 499.0
    assert again.get_output(uuid)["trajectory"]["store"] == "data"
    assert again.get_output(uuid, which="all", load={"data": True})[0]["energy"] == 0.0
    assert again.count({"output.energy": {"$gte": 0}}) == 2
    (found,) = again.query({"uuid": uuid}, properties=["output.energy"])
    assert found == {"uuid": uuid, "index": 1, "output": {"energy": 0.0}}
    again.remove_docs({"uuid": uuid})
    assert again.additional_stores["data"].count() == 2
    again.close()


def test_a_rerun_job_keeps_both_outputs_and_the_last_is_given(job_store):
    with job_store:
        job_store.update([{"uuid": "a", "index": n, "output": n * 10} for n in (2, 1, 3)])
        job_store.update({"uuid": "a", "index": 2, "output": 21})
        assert job_store.get_output("a") == 30
        assert job_store.get_output("a", which="first") == 10
        assert job_store.get_output("a", which=2) == 21
        assert job_store.get_output("a", which="all") == [10, 21, 30]


def test_a_yaml_file_of_jobflow_opens_it(job_store, tmp_path):
    with job_store:
        job_store.update({"uuid": "a", "index": 1, "output": 1})
    dumpfn(job_store, tmp_path / "dumped.yaml")
    (tmp_path / "written.yaml").write_text(
        f"""
docs_store:
  type: SQLiteStore
  path: {tmp_path}/store.sqlite
additional_stores:
  data: {{type: SQLiteStore, path: {tmp_path}/store.sqlite, collection: data, indexes: [job_uuid]}}
"""
    )
    (tmp_path / "full.yaml").write_text(
        f"""
"@module": jobflow.core.store
"@class": JobStore
docs_store: &docs
  "@module": valenceflow.stores.sqlite
  "@class": SQLiteStore
  path: {tmp_path}/store.sqlite
  collection: jobs
additional_stores:
  data:
    <<: *docs
    collection: data
    indexes: [job_uuid]
"""
    )
    for name in ("dumped.yaml", "written.yaml", "full.yaml"):
        with JobStore.from_file(tmp_path / name) as store:
            assert store.get_output("a") == 1
            assert store.additional_stores["data"].collection == "data"


def _run_flow(store, value, answer):
    work = relax(value)
    run_locally(Flow([work, total([work.output])]), store=store, log=False, ensure_success=True)
    answer.send(work.uuid)


def test_flows_of_several_processes_share_a_store(job_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job_store.connect()
    pipes = [FORK.Pipe(duplex=False) for _ in range(3)]
    processes = [FORK.Process(target=_run_flow, args=(job_store, float(n), p[1])) for n, p in enumerate(pipes)]
    for process in processes:
        process.start()
    uuids = [here.recv() for here, _ in pipes]
    for process in processes:
        process.join()
    assert [job_store.get_output(uuid)["energy"] for uuid in uuids] == [-1.0, 0.0, 1.0]
    assert job_store.count() == 6
    job_store.close()
