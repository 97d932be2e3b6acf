"""What a queue says of a campaign, read from the manager's own database."""

import json
from functools import partial
from types import SimpleNamespace

import mongomock_ng
import pymongo
import pytest
from mongomock_ng.store import ServerStore
from valenceflow.flows.queues import overview
from valenceflow.flows.queues.jobs import QueuedJob, configuration_state
from valenceflow.flows.queues.launches import LAUNCH_FILE, Launch, launches_of, remember_launch
from valenceflow.flows.queues.overview import queue_overview, refuse_queued

PASSWORD = "s3cret-word"
UUIDS = {"a": {"a1", "a2"}, "b": {"b1"}, "c": {"c1"}}


def job(uuid, state, configuration, error="", index=1):
    return {
        "uuid": uuid,
        "index": index,
        "db_id": f"id-{uuid}",
        "state": state,
        "remote": {"error": f"Traceback\n  line\n{error}\n"} if error else {},
        "job": {"name": "relax", "metadata": {"campaign": "small", "configuration_id": configuration}},
    }


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Function that puts jobs into the queue of a project; returns where that is."""
    server = ServerStore()
    monkeypatch.setattr(pymongo, "MongoClient", lambda *w, **options: mongomock_ng.MongoClient(_store=server))
    path = tmp_path / "project.yaml"
    path.write_text(
        "name: trial\nqueue: {store: {type: MongoStore, host: db.example.org, database: mine, collection_name: queue,"
        f" username: me, password: {PASSWORD}}}}}\n"
    )

    def fill(*jobs):
        mongomock_ng.MongoClient(_store=server)["mine"]["queue"].insert_many([dict(each) for each in jobs])
        return Launch("remote", "project trial", path)

    return fill


def test_configurations_are_counted_by_what_their_jobs_are_in(project):
    launch = project(
        job("a1", "COMPLETED", "a"),
        job("a2", "RUNNING", "a"),
        job("b1", "REMOTE_ERROR", "b", "ConnectionError: no route"),
        job("old", "FAILED", "b"),
        job("c1", "FAILED", "c"),
    )
    found = queue_overview("vasp", launch, "small", UUIDS)
    assert found.problem == ""
    assert found.states == {"a": "RUNNING", "b": "REMOTE_ERROR", "c": "FAILED"}
    assert [(each.queue_id, each.error) for each in found.errors] == [("id-b1", "ConnectionError: no route")]
    assert [each.uuid for each in found.failed] == ["c1"], "an earlier attempt's job does not count"


def test_what_is_held_back_behind_a_job_that_runs_is_known_and_does_not_hide_it(project):
    launch = project(
        job("a1", "RUNNING", "a"), job("a2", "PAUSED", "a"), job("b1", "PAUSED", "b"), job("c1", "USER_STOPPED", "c")
    )
    found = queue_overview("vasp", launch, "small", UUIDS)
    assert found.states == {"a": "RUNNING", "b": "PAUSED", "c": "USER_STOPPED"}
    assert found.held == {"a", "b"}
    assert found.goes_on


def test_other_campaigns_in_the_same_queue_are_not_counted(project):
    other = job("a1", "RUNNING", "a")
    other["job"]["metadata"]["campaign"] = "large"
    assert queue_overview("vasp", project(other), "small", UUIDS).states == {}


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
        (["COMPLETED", "READY"], "READY"),
        (["SUBMITTED", "WAITING"], "SUBMITTED"),
        (["RUNNING", "WAITING"], "RUNNING"),
        (["FAILED", "WAITING"], "FAILED"),
        (["USER_STOPPED", "PAUSED"], "USER_STOPPED"),
        (["RUNNING", "PAUSED"], "RUNNING"),
        (["COMPLETED", "PAUSED"], "PAUSED"),
        (["RUNNING", "OF_A_LATER_VERSION"], "OF_A_LATER_VERSION"),
    ],
)
def test_what_broke_decides_then_what_is_furthest(states, state):
    jobs = [QueuedJob("a", str(n), 1, str(n), each) for n, each in enumerate(states)]
    assert configuration_state(jobs) == state
    assert configuration_state(jobs[::-1]) == state


def test_a_database_that_fails_is_told_without_its_password(project, monkeypatch):
    def refuse(*words, **options):
        raise ConnectionError(f"mongodb://me:{PASSWORD}@db.example.org refused {PASSWORD}")

    launch = project(job("a1", "RUNNING", "a"))
    monkeypatch.setattr(pymongo, "MongoClient", refuse)
    found = queue_overview("vasp", launch, "small", UUIDS)
    assert "refused" in found.problem
    assert PASSWORD not in found.problem


def test_a_project_file_that_is_gone_is_a_problem_and_no_error(tmp_path):
    launch = Launch("remote", "project trial", tmp_path / "gone.yaml")
    assert "gone.yaml" in queue_overview("vasp", launch, "small", UUIDS).problem


@pytest.mark.parametrize("text", ["name: x", "queue: 3", "queue: {store: 3}"])
def test_a_project_file_without_a_queue_is_a_problem_in_words(text, tmp_path):
    (tmp_path / "project.yaml").write_text(text)
    found = queue_overview("vasp", Launch("remote", "project trial", tmp_path / "project.yaml"), "small", UUIDS)
    assert found.problem == f"{tmp_path}/project.yaml has no `queue: store:` with fields"


def planned(**uuids):
    return [SimpleNamespace(configuration_id=name, job_uuids={"relax": uuid}) for name, uuid in uuids.items()]


def test_what_a_queue_is_about_to_run_is_not_run_here_or_handed_to_another(tmp_path, monkeypatch):
    states = {"a": "READY", "b": "USER_STOPPED", "c": "PAUSED"}
    jobs = [QueuedJob(name, f"{name}1", 1, "7", state) for name, state in states.items()]
    monkeypatch.setattr(overview, "read_jobs", lambda *_: jobs)
    folder = tmp_path / "small"
    folder.mkdir()
    refuse = partial(refuse_queued, tmp_path / "my c.yaml", folder, "vasp")
    refuse(planned(a="a1"))  # no queue has anything of it
    remember_launch(folder, "vasp", Launch("remote", "project trial", tmp_path / "project.yaml"))
    for kind in (None, "fireworks"):
        with pytest.raises(ValueError, match=r"1 configuration is in project trial \(READY\) and would") as refused:
            refuse(planned(a="a1", b="b1"), kind)
        assert f"`valenceflow cancel '{tmp_path}/my c.yaml'` takes them out" in str(refused.value)
        assert "--engine vasp --launch remote`" in str(refused.value)
    refuse(planned(a="a1"), "remote")
    refuse(planned(a="later attempt", b="b1", c="c1"))  # nothing of these goes on by itself


def test_a_queue_that_cannot_say_what_it_runs_is_no_leave_to_run_it_here(tmp_path):
    remember_launch(tmp_path, "vasp", Launch("remote", "project trial", tmp_path / "gone.yaml"))
    with pytest.raises(ValueError, match=r"cannot be asked .*gone\.yaml.* delete .*launch\.json"):
        refuse_queued(tmp_path / "c.yaml", tmp_path, "vasp", planned(a="a1"))


def test_launches_are_remembered_by_engine_and_hold_no_password(tmp_path):
    first, second = Launch("remote", "p", tmp_path / "p.yaml"), Launch("fireworks", "l", None)
    remember_launch(tmp_path, "vasp", first)
    remember_launch(tmp_path, "rehearsal:springs", second)
    assert launches_of(tmp_path) == {"vasp": first, "rehearsal:springs": second}
    assert set(json.loads((tmp_path / LAUNCH_FILE).read_text())["vasp"]) == {"kind", "place", "file"}


@pytest.mark.parametrize("text", ["{", "[]", '{"vasp": {"kind": "lsf"}}', '{"vasp": 3}'])
def test_a_damaged_note_is_named_with_the_way_out(tmp_path, text):
    (tmp_path / LAUNCH_FILE).write_text(text)
    with pytest.raises(ValueError, match="delete it and submit again"):
        launches_of(tmp_path)
