"""Two-step campaigns through jobflow-remote on a real Slurm."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from valenceflow.flows.queues.jobs import ALIVE, of_state
from valenceflow.flows.queues.submission import hand_over, record_vanished
from valenceflow.flows.retry import mark_for_retry
from valenceflow.stores.builders import build_calculations
from valenceflow.stores.failure_groups import failure_groups

ENGINE = "rehearsal:springs"

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    # jobflow-remote 1.0.1 enters folders by monty's `cd`, which monty deprecates.
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning:jobflow_remote"),
]


def test_a_campaign_runs_through_the_queue_and_its_documents_come_back(trial):
    made = trial()
    prepared, queue = made.prepared(), made.queue()
    handed = list(hand_over(prepared, queue))
    assert [len(each.queue_ids) for each in handed] == [2, 2]
    assert all(each.queue_ids == () for each in hand_over(prepared, queue)), "what is in the queue is not handed over"
    made.run()
    assert {job.state for job in queue.jobs("trial")} == {"COMPLETED"}
    build_calculations(prepared.stores, made.campaign.cell, prepared.configurations)
    found = list(prepared.stores.collection("calculations").query({}, ["state", "relation"]))
    assert [(doc["state"], doc["relation"]) for doc in found] == [("completed", "kept")] * 2
    assert made.prepared().todo == []


@pytest.mark.parametrize(
    "max_jobs", [1, pytest.param(2, marks=pytest.mark.skipif(os.cpu_count() == 1, reason="one core runs one job"))]
)
def test_as_many_jobs_are_in_slurm_at_once_as_the_worker_allows(max_jobs, trial):
    made = trial(max_jobs=max_jobs)
    list(hand_over(made.prepared(), made.queue(fault="hang")))
    made.run_until(lambda: len(list(made.campaign.path.parent.glob("work/*/*/*/*/OSZICAR"))) == max_jobs)
    passes = iter([False, False, True])  # in which the runner could submit another
    made.run_until(lambda: next(passes))
    listed = subprocess.run(["squeue", "-h", "-o", "%T"], check=True, capture_output=True, text=True)
    assert listed.stdout.split() == ["RUNNING"] * max_jobs
    assert sorted(made.states()) == sorted(["RUNNING"] * max_jobs + ["UPLOADED"] * (2 - max_jobs) + ["WAITING"] * 2)
    made.queue().cancel(made.queue().jobs("trial"))


def test_a_job_that_the_queue_kills_is_explained_and_goes_on_where_it_was(trial):
    made = trial()
    prepared, queue = made.prepared(), made.queue(fault="hang")
    del prepared.todo[1:]
    list(hand_over(prepared, queue))
    made.run_until(made.has_left("CONTCAR"))
    subprocess.run(["scancel", "--state=running", "--user=root"], check=True)
    made.run_until(lambda: not of_state(queue.jobs("trial"), ALIVE))
    (vanished,) = record_vanished(
        prepared.stores, prepared.campaign.cell, prepared.configurations, queue.jobs("trial"), queue.place
    )
    (group,) = failure_groups(prepared.stores, "trial")
    assert group.reason == "vanished"
    assert "is FAILED: " in group.message
    assert "queue.err" in group.remedy

    assert mark_for_retry(made.campaign, ENGINE, "vanished")[0].configuration_id == vanished.configuration_id
    prepared, queue = made.prepared(), made.queue()
    del prepared.todo[1:]
    list(hand_over(prepared, queue))
    made.run()
    build_calculations(prepared.stores, made.campaign.cell, prepared.configurations)
    found = prepared.stores.collection("calculations").query_one({"attempt": 2})
    assert found["state"] == "completed"
    assert found["steps"]["surrogate relax"]["history"]["tried"] == [
        "went on from the CONTCAR of a run that was killed"
    ]


def test_a_job_that_overruns_its_wall_time_is_explained(trial):
    made = trial('launch: {remote: {resources: {time: "00:01:00"}}}\n')
    prepared, queue = made.prepared(), made.queue(fault="hang")
    del prepared.todo[1:]
    list(hand_over(prepared, queue))
    assert queue.wall_time_s("relax") == 60
    made.run_until(lambda: not of_state(queue.jobs("trial"), ALIVE))
    assert (
        len(
            record_vanished(
                prepared.stores, prepared.campaign.cell, prepared.configurations, queue.jobs("trial"), queue.place
            )
        )
        == 1
    )


def test_jobs_of_a_node_that_goes_down_are_run_when_it_is_back(trial):
    made = trial()
    prepared, queue = made.prepared(), made.queue()
    del prepared.todo[1:]
    list(hand_over(prepared, queue))
    made.run_until(made.has_left("CONTCAR"))
    node = subprocess.run(["sinfo", "-h", "-o", "%n"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["scontrol", "update", f"nodename={node}", "state=down", "reason=test"], check=True)
    time.sleep(2)
    # Slurm may have taken the node back by itself by now, and then has nothing to resume.
    subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=False)
    made.run()
    build_calculations(prepared.stores, made.campaign.cell, prepared.configurations)
    (found,) = prepared.stores.collection("calculations").query({})
    assert found["state"] == "completed"


def test_cancelled_jobs_end_and_a_later_run_hands_them_over_again(trial):
    made = trial()
    prepared, queue = made.prepared(), made.queue(fault="hang")
    list(hand_over(prepared, queue))
    assert queue.pause(queue.jobs("trial")) == 4
    assert made.states() == ["PAUSED"] * 4
    assert queue.resume(queue.jobs("trial")) == 4
    assert sorted(made.states()) == ["READY", "READY", "WAITING", "WAITING"]
    made.run_until(made.has_left("OSZICAR"))
    queue.cancel(queue.jobs("trial"))
    assert set(made.states()) <= {"USER_STOPPED", "PAUSED"}
    listed = subprocess.run(["squeue", "-h", "-t", "pending,running"], check=True, capture_output=True, text=True)
    assert listed.stdout == ""
    assert (
        record_vanished(
            prepared.stores, prepared.campaign.cell, prepared.configurations, queue.jobs("trial"), queue.place
        )
        == []
    )
    handed = list(hand_over(made.prepared(), queue))
    assert [len(each.queue_ids) for each in handed] == [2, 2]
