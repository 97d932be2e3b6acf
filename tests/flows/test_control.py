"""Pausing, cancelling and giving up."""

import subprocess
import sys
import time

import psutil
import pytest
from valenceflow.flows import runner
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.control import Quorum, clear_requests, request, requested
from valenceflow.flows.launch import Finished, Started
from valenceflow.flows.leash import die_with_parent, leashed
from valenceflow.flows.runner import make_folder, plan, prepare, run_prepared


def test_requests_are_seen_until_they_are_cleared_and_cancelling_wins(tmp_path):
    assert requested(tmp_path) is None
    request(tmp_path, "pause")
    assert requested(tmp_path) == "pause"
    request(tmp_path, "cancel")
    assert requested(tmp_path) == "cancel"
    clear_requests(tmp_path)
    assert requested(tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "total", "failed", "lost"),
    [(0.1, 20, 2, False), (0.1, 20, 3, True), (0.0, 5, 0, False), (0.0, 5, 1, True), (1.0, 5, 5, False)],
)
def test_a_campaign_is_lost_once_more_failed_than_it_may_lose(allowed, total, failed, lost):
    quorum = Quorum(allowed, total, failed)
    assert quorum.is_lost is lost
    assert f"{failed} of {total}" in quorum.reason


def test_a_leashed_command_runs_as_itself_and_dies_with_its_parent(tmp_path):
    script = (
        "import subprocess, sys, shlex, time\n"
        f"child = subprocess.Popen(shlex.split({leashed('sleep 60')!r}), start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    for _ in range(2000):
        if child.name() == "sleep":
            break
        time.sleep(0.05)
    assert child.name() == "sleep", "the leash replaces itself by the command"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive


def test_a_process_whose_parent_is_gone_already_ends_at_once():
    script = f"import sys; sys.path.insert(0, ''); from {die_with_parent.__module__} import die_with_parent\n"
    script += "die_with_parent(parent=1 if __import__('os').getppid() != 1 else 2)\nprint('still here')\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -15
    assert "still here" not in done.stdout


class WorkersThatFail:
    """Workers whose every configuration comes back without a document."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, configurations, keep_starting):
        for configuration in configurations:
            if not keep_starting():
                return
            yield Started(configuration)
            yield Finished(configuration, "no document")


@pytest.fixture
def failing_run(tmp_path, write_campaign, monkeypatch):
    """Function that runs ten configurations that all fail; returns the run after each of them."""
    monkeypatch.setattr(runner, "Workers", WorkersThatFail)

    def run(**fields):
        campaign = read_campaign(write_campaign(tmp_path, end_members=False, **fields))
        make_folder(campaign.folder)
        prepared = prepare(campaign, "rehearsal:springs", plan(campaign, "rehearsal:springs"))
        assert len(prepared.todo) == 10
        return prepared, run_prepared(prepared, 1, {})

    return run


def test_a_hopeless_campaign_ends_early_with_its_reason_and_keeps_what_it_has(failing_run):
    prepared, events = failing_run(accept={"failed_at_most": 0.25})
    assert sum(isinstance(event, Finished) for event in events) == 3
    assert prepared.ended.startswith("3 of 10 configurations failed, more than accept.failed_at_most = 0.25 allows")
    assert prepared.stores.collection("calculations").count({}) == 3


def test_what_a_cancelled_campaign_has_stays_and_the_rest_is_left_for_the_next_run(failing_run):
    prepared, events = failing_run()
    started, finished = next(events), next(events)
    assert started.configuration is finished.configuration
    request(prepared.campaign.folder, "cancel")
    assert list(events) == []
    assert prepared.ended == "cancelled by `valenceflow cancel`; what is finished stays"
    assert prepared.stores.collection("calculations").count({}) == 1
    again = prepare(prepared.campaign, prepared.engine, prepared.configurations)
    assert len(again.todo) == 9
