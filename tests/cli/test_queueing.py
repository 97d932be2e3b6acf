"""`run --launch remote`: what is refused leaves nothing behind, and the summary adds up."""

from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console
from valenceflow.cli.queueing import _submit, _summary
from valenceflow.flows import runner
from valenceflow.flows.control import Quorum
from valenceflow.flows.queues import opening, submission
from valenceflow.flows.queues.submission import HandedOver
from valenceflow.stores import builders

SPRINGS = ("--engine", "rehearsal:springs")


def test_a_request_that_no_scheduler_could_grant_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, write_campaign, refused
):
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(tmp_path / "projects"))
    (tmp_path / "projects").mkdir()
    store = {"@module": "valenceflow.stores.sqlite", "@class": "SQLiteStore", "path": str(tmp_path / "s.sqlite")}
    data = {**store, "collection": "data", "key": "blob_uuid"}
    stores = {"docs_store": {**store, "collection": "jobs"}, "additional_stores": {"data": data}}
    (tmp_path / "store.yaml").write_text(yaml.safe_dump({"JOB_STORE": stores}))
    project = {
        "name": "trial",
        "workers": {"here": {"type": "local", "scheduler_type": "slurm", "work_dir": str(tmp_path / "work")}},
        "queue": {"store": {"type": "MemoryStore", "collection_name": "jobs"}},
        "jobstore": {"@module": "jobflow.core.store", "@class": "JobStore", **stores},
    }
    (tmp_path / "projects" / "trial.yaml").write_text(yaml.safe_dump(project))
    asked = {"remote": {"resources": {"nodes": -1, "time": "12:00:00"}}}
    path = write_campaign(tmp_path, store="store.yaml", charge={"sample": 1}, launch=asked)
    said = refused("run", path, *SPRINGS, "--launch", "remote")
    assert "project trial, worker here: resources of the step" in said
    assert "nodes = -1 is no whole number of at least 1" in said
    assert not (tmp_path / "small").exists()


def test_no_more_of_a_hopeless_campaign_is_handed_over(tmp_path, monkeypatch, write_campaign, refused):
    free = {"resources": lambda step: {}, "check_request": lambda step: None, "wall_time_s": lambda step: None}
    queue = SimpleNamespace(**free, place="trial", kind="fireworks")  # it cannot take anything
    queue.for_jobs_with = lambda environment: queue
    monkeypatch.setattr(opening, "open_queue", lambda *_: queue)
    monkeypatch.setattr(runner, "quorum_of", lambda prepared: Quorum(0.1, len(prepared.configurations), 2))
    path = write_campaign(tmp_path, charge={"sample": 1}, accept={"failed_at_most": 0.1})
    said = refused("run", path, *SPRINGS, "--launch", "fireworks")
    assert "configurations failed, more than accept.failed_at_most = 0.1 allows" in said
    assert not (tmp_path / "small" / "launch.json").exists()


@pytest.mark.parametrize(
    ("in_turn", "computed", "told"),
    [
        ("new", 0, "1 of 3 configurations handed to trial; 2 left for another run"),
        ("new there", 1, "1 of 3 configurations handed to trial; 1 is in it already; 1 needs nothing"),
        (
            "held held",
            0,
            "0 of 3 configurations handed to trial; 2 are in it already, 2 of them held back until now; "
            "1 left for another run",
        ),
    ],
)
def test_what_is_left_for_another_run_is_not_said_to_need_nothing(in_turn, computed, told, monkeypatch):
    made = {"new": (("7",), 0), "there": ((), 0), "held": ((), 1)}
    turns = [HandedOver(None, *made[word]) for word in in_turn.split()]
    prepared = SimpleNamespace(configurations=["a", "b", "c"], stores=None)
    monkeypatch.setattr(builders, "pending", lambda _, configurations: configurations[computed:])
    assert _summary(prepared, SimpleNamespace(place="trial"), turns) == told


def test_ctrl_c_tells_how_many_were_handed_over(monkeypatch, capsys):
    def hand_over(prepared, queue):
        yield HandedOver(None, ("7",))
        raise KeyboardInterrupt

    monkeypatch.setattr(submission, "hand_over", hand_over)
    with pytest.raises(KeyboardInterrupt):
        _submit(Console(), SimpleNamespace(todo=["a", "b"]), None)
    assert capsys.readouterr().out == "interrupted after 1 of 2 configurations; run again for the others\n"
