"""Campaigns that are stopped, killed, retried or started twice, on `springs`."""

import json
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
from valenceflow.stores.connect import sqlite_stores

SPRINGS = ("--engine", "rehearsal:springs")
ORDERINGS = {"Na": {"fraction": "1/2", "orderings": {"sample": 1}}}
STAND_IN = "valenceflow.flows.rehearsal.executable"
PATIENCE_S = 120


@pytest.fixture
def path(tmp_path, write_campaign):
    """Three orderings at x = 1/2, two steps each."""
    return write_campaign(tmp_path, working_ion=ORDERINGS, end_members=False)


@pytest.fixture
def launched(command_line):
    """Function that starts a command and makes sure that nothing of it outlives the test."""

    @contextmanager
    def start(*arguments):
        command, environment = command_line(*arguments)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        try:
            yield process
        finally:
            for left in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                left.kill()
            process.kill()
            process.communicate()

    return start


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")


def stand_ins(folder):
    """VASP processes that work under a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if STAND_IN in process.cmdline() and str(folder) in process.cwd():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def workers_of(launcher):
    found = []
    for child in psutil.Process(launcher.pid).children():
        with suppress(psutil.NoSuchProcess):  # one that was killed is a zombie until its launcher has seen it
            if "valenceflow.flows.worker" in child.cmdline():
                found.append(child)
    return found


def calculations(path):
    stores = sqlite_stores(path.parent / "small" / "store.sqlite")
    return {d["calculation_id"]: d for d in stores.collection("calculations").query({})}


def run_folders(path):
    return set((path.parent / "small" / "runs").glob("*/*/*"))


@pytest.mark.slow
def test_after_ctrl_c_a_second_run_goes_on_without_repeating_what_is_finished(path, launched, shell, call):
    with launched("run", path, *SPRINGS, "--workers", 1) as launcher:
        lines = iter(launcher.stdout)
        assert next(lines).startswith("small: 3 configurations")
        refused = call("run", path, *SPRINGS)  # two runs at once
        running = json.loads(call("status", path, "--json").out)["small"]["running"]
        next(line for line in lines if line.startswith("x = 0.500"))
        finished = wait_until(lambda: calculations(path), "a finished configuration")
        wait_until(lambda: stand_ins(path.parent) or launcher.poll() is not None, "a VASP process")
        interrupted = launcher.poll() is None
        launcher.send_signal(signal.SIGINT)
        code = launcher.wait(timeout=PATIENCE_S)
        said = "".join(lines)
    assert refused.code == 2
    assert "campaign small is being run by process" in refused.err
    assert running
    if interrupted:
        assert code == 130
        assert "stopped; finished configurations are kept" in said
    assert not stand_ins(path.parent)
    kept = {folder: (folder / "valenceflow-step.json.gz").stat().st_mtime for folder in done_folders(path)}
    assert kept
    answer = shell("run", path, *SPRINGS)
    assert answer.code == 0, answer
    documents = calculations(path)
    assert len(documents) == 3
    assert all(document["state"] == "completed" for document in documents.values())
    for name, document in finished.items():
        assert documents[name]["last_updated"] == document["last_updated"]
    assert all((folder / "valenceflow-step.json.gz").stat().st_mtime == changed for folder, changed in kept.items())
    # Two documents per configuration, and no step of any was run to its end twice.
    assert len(done_folders(path)) == 6


def done_folders(path):
    return {folder for folder in run_folders(path) if (folder / "valenceflow-step.json.gz").exists()}


@pytest.mark.slow
def test_a_configuration_whose_workers_are_killed_fails_alone_and_retry_mends_it(
    tmp_path, write_campaign, launched, call, shell
):
    path = write_campaign(tmp_path, working_ion=ORDERINGS, end_members=False, charge={"sample": 2})
    with launched("run", path, *SPRINGS, "--workers", 1) as launcher:
        first = kill_a_busy_worker(launcher, path.parent)
        # Once, its configuration goes on with another worker; twice, it is given up.
        kill_a_busy_worker(launcher, path.parent, other_than=first)
        assert launcher.wait(timeout=PATIENCE_S) == 1
    assert not stand_ins(path.parent)
    assert len(calculations(path)) == 2  # the run went on
    (lost,) = (d for d in calculations(path).values() if d["state"] == "failed")
    (failure,) = (step for step in lost["steps"].values() if step["document"] == "FailureDoc")
    assert failure["reason"] == "vanished"
    assert "exit code -9" in failure["message"]

    printed = call("status", path).out
    assert "1 failed: " in printed
    assert "vanished" in printed
    assert "valenceflow retry" in printed
    assert call("retry", path, *SPRINGS, "--reason", "vasp error").code == 2
    assert "1 configuration marked" in call("retry", path, *SPRINGS, "--reason", "vanished").out
    assert "1 missing: valenceflow run" in call("status", path).out
    assert shell("run", path, *SPRINGS).code == 0
    documents = calculations(path)
    again = documents[f"{lost['configuration_id']}-2"]
    assert (again["state"], again["relation"], again["latest"]) == ("completed", "kept", True)
    assert documents[lost["calculation_id"]]["latest"] is False
    assert len(json.loads(call("query", path, "--json").out)) == 2
    assert "vanished" not in call("status", path).out


def kill_a_busy_worker(launcher, folder, other_than=None):
    """SIGKILL to the one worker while its VASP runs; the VASP must end with it."""

    def busy():
        found = [worker for worker in workers_of(launcher) if worker.pid != other_than]
        return found and stand_ins(folder) and found[0]

    worker = wait_until(busy, "a VASP process")
    worker.send_signal(signal.SIGKILL)
    wait_until(lambda: not stand_ins(folder), "the end of the VASP process whose worker was killed")
    return worker.pid


@pytest.mark.slow
def test_an_injected_spin_flip_shows_as_a_lost_ordering_in_a_store_of_one_s_own(tmp_path, write_campaign, shell, call):
    (tmp_path / "mine.yaml").write_text(
        "JOB_STORE:\n"
        f"  docs_store: {{type: SQLiteStore, path: {tmp_path}/docs.sqlite, collection: jobs}}\n"
        f"  additional_stores:\n    data: {{type: SQLiteStore, path: {tmp_path}/data.sqlite, collection: data}}\n"
    )
    path = write_campaign(tmp_path, working_ion=ORDERINGS, end_members=False, store="mine.yaml")
    answer = shell("run", path, *SPRINGS, "--limit", 1, "--fault", "spin-flip")
    assert answer.code == 0
    assert "lost: moved" in answer.out
    assert not (tmp_path / "small" / "store.sqlite").exists()
    (row,) = json.loads(call("query", "--store", tmp_path / "mine.yaml", "--json", "--ordering", "lost").out)
    assert row["relation"] == "moved"
    assert row["achieved_key"] not in (None, row["intended_key"])
    assert json.loads(call("query", path, "--json").out) == [row]
    counts = json.loads(call("status", "--store", tmp_path / "mine.yaml", "--json").out)["small"]["fractions"][0]
    assert counts["relations"] == {"moved": 1}
    printed = call("status", path).out
    assert "small, rehearsal:springs (REHEARSAL, not DFT): not running" in printed


@pytest.mark.slow
def test_a_run_ends_before_its_wall_time_and_the_next_goes_on(path, shell):
    first = shell("run", path, *SPRINGS, "--limit", 1, "--fault", "hang", "--wall-time", "1:20")
    assert first.code == 75, first
    assert "ended early: the wall time is nearly over; the next run goes on where this one was" in first.out
    assert not stand_ins(path.parent)
    assert run_folders(path), "a configuration was started"
    again = shell("run", path, *SPRINGS, "--limit", 1, "--wall-time", "10:00")
    assert again.code == 0, again
    assert [found["state"] for found in calculations(path).values()] == ["completed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--wall-time", "soon"), "wall time 'soon': write H:M:S"),
        (("--launch", "cloud"), "--launch cloud: choose local, remote or fireworks"),
    ],
)
def test_a_run_asked_for_what_there_is_not_is_refused(path, refused, arguments, message):
    assert message in refused("run", path, *SPRINGS, *arguments)
