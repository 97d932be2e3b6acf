"""`status`, `pause` and `cancel` of a campaign whose jobs are in a queue, and what calculations cost."""

import json

import pytest
from valenceflow.cli.doctor import version_checks
from valenceflow.cli.places import find_place
from valenceflow.cli.status_states import cost_line, hopeless_lines, states_of, time_line
from valenceflow.flows.queues.jobs import QueuedJob
from valenceflow.flows.queues.launches import Launch, remember_launch
from valenceflow.flows.queues.overview import QueueOverview
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.costs import Cost, costs
from valenceflow.stores.overview import FractionOverview

ENGINE = "rehearsal:springs"


def queue(states, errors=()):
    return QueueOverview(ENGINE, Launch("remote", "project trial"), dict(enumerate(states)), list(errors))


@pytest.fixture
def campaign(tmp_path, write_campaign):
    """A campaign of four configurations, two of them done; returns its file."""
    path = write_campaign(tmp_path)
    folder = tmp_path / "small"
    folder.mkdir()
    stores = sqlite_stores(folder / "store.sqlite")
    stores.collection("campaigns").update([{"campaign": "small"}])
    place = {"campaign": "small", "engine": ENGINE, "fraction": 0.5}
    stores.collection("configurations").update(
        [
            {**place, "configuration_id": f"c{n}", "joint_key": f"3.{n}", "job_uuids": {"relax": f"u{n}"}}
            for n in range(4)
        ]
    )
    common = {"relation": "kept", "state": "completed", "latest": True, "audit": {"findings": []}, "steps": {}}
    stores.collection("calculations").update(
        [
            {**place, **common, "configuration_id": f"c{n}", "calculation_id": f"c{n}-1", "elapsed_s": 1800.0, **more}
            for n, more in enumerate([{"core_hours": 20.0}, {}])
        ]
    )
    stores.close()
    remember_launch(folder, ENGINE, Launch("remote", "project trial", tmp_path / "gone.yaml"))
    return path


def test_a_queue_that_cannot_be_asked_is_said_and_the_store_is_shown(campaign, call):
    answer = call("status", campaign)
    assert answer.code == 0
    assert "remote cannot be asked: " in answer.out
    assert f"doctor {campaign} --engine {ENGINE} --launch remote" in answer.out
    assert f"2 missing: valenceflow run {campaign} --engine {ENGINE} --launch remote" in answer.out
    assert "core-hours spent: 20 by 1" in answer.out
    assert "(1 more do not say)" in answer.out


def test_json_tells_states_queues_and_cost(campaign, call):
    told = json.loads(call("status", campaign, "--json").out)["small"]
    assert told["states"][ENGINE] == {"where": "remote", "not started": 2, "COMPLETED": 2}
    assert told["queues"][ENGINE]["kind"] == "remote"
    assert told["cost"][ENGINE]["core_hours"] == 20.0
    assert told["cost"][ENGINE]["elapsed_s"] == 3600.0


def test_other_versions_on_the_nodes_are_told_by_status_and_doctor(campaign, call):
    stores = sqlite_stores(campaign.parent / "small" / "store.sqlite")
    told = "pymatgen 2025.1.9 (submitted with 2026.10.24)"
    (one, *_) = stores.collection("calculations").query({})
    stores.collection("calculations").update([{**one, "other_versions": told}])
    stores.close()
    said = " ".join(call("status", campaign).out.split())
    assert f"1 calculation ran under other versions than this campaign was submitted with: {told}" in said
    assert json.loads(call("status", campaign, "--json").out)["small"]["other_versions"] == {told: 1}
    (check,) = version_checks(find_place(campaign, None))
    assert (check.ok, check.optional, check.found) == (False, True, f"1 calculation ran under {told}")
    assert "where jobs run" in check.remedy


def test_cost_of_a_campaign_adds_up(campaign):
    found = costs(sqlite_stores(campaign.parent / "small" / "store.sqlite"), "small")
    assert found == {ENGINE: Cost(calculations=2, timed=2, elapsed_s=3600.0, counted=1, core_hours=20.0)}
    assert found[ENGINE].mean_s == 1800.0


def test_states_are_those_of_the_queue_and_the_rest_is_not_started():
    rows = [FractionOverview(ENGINE, 0.5, 9, {"completed": 2, "failed": 1})]
    found = states_of(rows, None, queue(["RUNNING", "READY", "READY", "COMPLETED", "FAILED"]))
    assert found == {"RUNNING": 1, "READY": 2, "not started": 3, "COMPLETED": 2, "FAILED": 1}


def test_time_left_follows_what_runs_at_once():
    rows = [FractionOverview(ENGINE, 0.5, 12, {"completed": 2})]
    cost = Cost(calculations=2, timed=2, elapsed_s=7200.0)
    assert "about 5 h 00 min" in time_line(rows, queue(["RUNNING", "RUNNING", "READY"]), cost)
    assert time_line(rows, queue(["READY"]), cost) == ""
    assert cost_line(ENGINE, cost) == ""


def test_what_a_queue_could_not_carry_has_its_command(campaign, monkeypatch, call):
    from valenceflow.flows.queues import overview

    jobs = [
        QueuedJob("c2", "u2", 1, "7", "REMOTE_ERROR", "OSError: disk quota"),
        QueuedJob("c3", "u3", 1, "8", "PAUSED"),
    ]
    monkeypatch.setattr(overview, "read_jobs", lambda *_: jobs)
    said = call("status", campaign).out
    assert "1 job REMOTE_ERROR: OSError: disk quota (job 7)" in said
    assert "jf job retry --state REMOTE_ERROR -meta campaign=small" in said
    assert "1 held back; to go on: valenceflow run" in said
    assert "missing: valenceflow run" not in said, "what is in the queue is not to be handed over"
    assert "results: " not in said


def test_steps_that_a_failed_one_stopped_for_good_are_not_counted_beside_their_failure(campaign, monkeypatch, call):
    from valenceflow.flows.queues import overview

    jobs = [QueuedJob("c0", "u0", 1, "5", "STOPPED"), QueuedJob("c2", "u2", 1, "7", "STOPPED")]
    monkeypatch.setattr(overview, "read_jobs", lambda *_: jobs)
    said = call("status", campaign).out
    assert "1 stopped; to go on: valenceflow run" in said, "c0 has a calculation"
    told = json.loads(call("status", campaign, "--json").out)["small"]
    assert told["states"][ENGINE] == {"where": "remote", "STOPPED": 1, "not started": 1, "COMPLETED": 2}


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_pause_and_cancel_reach_into_the_queue(campaign, verb, monkeypatch, call):
    from valenceflow.flows.queues import opening

    done = []

    class Queue:
        place = "project trial"

        def jobs(self, name):
            return [QueuedJob("c2", "u2", 1, "7", "READY"), QueuedJob("c9", "u9", 1, "9", "READY")]

        def pause(self, jobs):
            done.append(("pause", [job.uuid for job in jobs]))
            return len(jobs)

        def cancel(self, jobs):
            done.append(("cancel", [job.uuid for job in jobs]))
            return len(jobs)

    monkeypatch.setattr(opening, "open_queue", lambda *_: Queue())
    answer = call(verb, campaign)
    assert answer.code == 0, answer.err
    assert done == [(verb, ["u2"])]
    assert f"run {campaign} --engine {ENGINE} --launch remote" in answer.out


def test_after_a_retry_the_run_to_type_goes_to_the_queue_again(campaign, monkeypatch, call):
    from valenceflow.flows import retry

    monkeypatch.setattr(retry, "mark_for_retry", lambda *_: ["c2"])
    told = call("retry", campaign, "--engine", ENGINE).out
    assert told == f"1 configuration marked; to run: valenceflow run {campaign} --engine {ENGINE} --launch remote\n"


def test_a_hopeless_campaign_in_a_queue_is_said_with_what_stops_it(tmp_path, write_campaign):
    rows = [FractionOverview(ENGINE, 0.5, 9, {"completed": 2, "failed": 1, "audit failed": 1})]
    path = write_campaign(tmp_path, accept={"failed_at_most": 0.2})
    told = list(hopeless_lines(rows, queue(["RUNNING"]), path))
    assert told[0] == "2 of 9 configurations failed, more than accept.failed_at_most = 0.2 allows"
    assert told[1] == f"  to stop the others: valenceflow cancel {path}"
    assert list(hopeless_lines(rows, queue(["FAILED"]), path)) == []
    assert list(hopeless_lines(rows, queue(["RUNNING"]), write_campaign(tmp_path))) == []


def test_the_title_says_whether_a_queue_goes_on(campaign, monkeypatch, call):
    from valenceflow.flows.queues import overview

    for state, title in (("RUNNING", "in project trial"), ("PAUSED", "not running"), ("FAILED", "not running")):
        monkeypatch.setattr(overview, "read_jobs", lambda *_, s=state: [QueuedJob("c2", "u2", 1, "7", s)])
        assert call("status", campaign).out.splitlines()[0].endswith(f"(REHEARSAL, not DFT): {title}")
